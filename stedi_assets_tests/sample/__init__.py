"""Tests of `stedi_assets.sample`."""
