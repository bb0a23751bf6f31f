"""Rows that were kept out of a table: why, and how they get into it."""
