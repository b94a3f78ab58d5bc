"""Pseudonyms and their keys, and that nobody's values leave the tables."""
