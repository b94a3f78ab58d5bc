"""Runs that are killed or collide: what lies in the lake meanwhile and afterwards."""
