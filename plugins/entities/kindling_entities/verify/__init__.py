"""Comparing two tables of the same entity."""
