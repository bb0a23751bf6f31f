"""Step 6: runs keep the values of the options that they were started with."""

from __future__ import annotations

from sqlalchemy import Connection

from kindling_state.sql.migrations.columns import add_columns


def upgrade(connection: Connection) -> None:
    """Add the column."""
    add_columns(connection, "kindling_runs", {"options": "JSON NOT NULL DEFAULT '{}'"})
