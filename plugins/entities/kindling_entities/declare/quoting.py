"""Names and texts as Spark SQL writes them."""

from __future__ import annotations


def quote_text(value: str) -> str:
    """A text as SQL has it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote(name: str) -> str:
    """Write a column's name as Spark SQL takes it."""
    return "`" + name.replace("`", "``") + "`"
