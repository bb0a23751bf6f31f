"""Step 2: leases, and small records of features. As they were then, whatever tables.py says now."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Connection, Float, Integer, MetaData, String, Table, Text


def upgrade(connection: Connection) -> None:
    """Make the tables."""
    tables = MetaData()
    Table(
        "kindling_leases",
        tables,
        Column("name", Text, primary_key=True),
        Column("owner_id", String(64), nullable=False),
        Column("host", Text, nullable=False),
        Column("pid", Integer, nullable=False),
        Column("started", Text, nullable=False),
        Column("told", Text, nullable=False),
        Column("expires", Float, nullable=False),
    )
    Table(
        "kindling_records",
        tables,
        Column("space", String(64), primary_key=True),
        Column("key", Text, primary_key=True),
        Column("value", JSON, nullable=False),
        Column("version", BigInteger, nullable=False),
    )
    tables.create_all(connection)
