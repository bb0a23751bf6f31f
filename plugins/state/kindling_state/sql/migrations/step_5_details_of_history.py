"""Step 5: history has edges, details and ranges, runs can be asked to cancel, and leases have fencing tokens."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table

from kindling_state.sql.migrations.columns import add_columns

_JSON = "JSON NOT NULL DEFAULT '{}'"


def upgrade(connection: Connection) -> None:
    """Add the columns, and the counter that fencing tokens come from."""
    cancel = {"cancel_by": "TEXT", "cancel_at": "VARCHAR(40)"}
    add_columns(connection, "kindling_runs", {"inputs": _JSON, "outputs": _JSON, **cancel})
    add_columns(connection, "kindling_attempts", {"note": "TEXT", "details": _JSON, "ranges_read": _JSON})
    add_columns(connection, "kindling_leases", {"token": "BIGINT NOT NULL DEFAULT 0"})
    tables = MetaData()
    Table(
        "kindling_counters",
        tables,
        Column("name", String(64), primary_key=True),
        Column("value", BigInteger, nullable=False),
    )
    tables.create_all(connection)
