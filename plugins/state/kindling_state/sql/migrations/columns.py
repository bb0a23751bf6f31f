"""How a step adds columns."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, inspect, text


def add_columns(connection: Connection, table: str, columns: Mapping[str, str]) -> None:
    """Add those columns that a table lacks.

    Earlier versions made a new database with the tables of that day, so that it may have a column of a later step.

    Args:
        columns: name -> type and constraints, as SQL.
    """
    known = {column["name"] for column in inspect(connection).get_columns(table)}
    for name, kind in columns.items():
        if name not in known:
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {name} {kind}"))
