"""Step 3: marks know the version that their pipe wrote."""

from __future__ import annotations

from sqlalchemy import Connection

from kindling_state.sql.migrations.columns import add_columns


def upgrade(connection: Connection) -> None:
    """Add the column."""
    add_columns(connection, "kindling_marks", {"version_written": "BIGINT"})
