"""Rows that were kept out of a table: for which reasons, and how they are released into it."""
