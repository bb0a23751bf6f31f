"""How Spark makes a table of Delta Lake: CREATE TABLE with columns, place, partitions and properties."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from kindling_entities.declare.quoting import quote, quote_text
from kindling_entities.engines._retry import RaceLost
from kindling_entities.engines.spark import _frames, _log
from kindling_entities.engines.spark._errors import mapped_errors
from kindling_entities.protocols import Table


def ensure(session: Any, table: Table, schema: pa.Schema) -> bool:
    """Create an empty table if there is none; return whether it was created."""
    if _log.newest_version(session, table) is not None:
        return False
    parts = [f"create table {_log.identifier(table)} ({_frames.ddl(schema)}) using delta"]
    if table.name and table.location:
        parts.append(f"location {quote_text(table.location)}")
    if table.cluster_columns:
        parts.append(f"cluster by ({', '.join(map(quote, table.cluster_columns))})")
    if table.partition_columns:
        parts.append(f"partitioned by ({', '.join(map(quote, table.partition_columns))})")
    if table.description:
        parts.append(f"comment {quote_text(table.description)}")
    if table.properties:
        pairs = ", ".join(f"{quote_text(key)} = {quote_text(value)}" for key, value in table.properties.items())
        parts.append(f"tblproperties ({pairs})")
    make_schema(session, table)
    try:
        with mapped_errors(table, "Creating"):
            session.sql(" ".join(parts)).collect()
    except RaceLost:
        return False
    return True


def make_schema(session: Any, table: Table) -> None:
    """Create the schema (database) of a named table if there is none.

    Looked up first, because creating it takes more privileges.
    """
    if table.name is None:
        return
    schema = ".".join(map(quote, table.name[:-1]))
    with mapped_errors(table, "Creating the schema of"):
        if not session.catalog.databaseExists(schema):
            session.sql(f"create schema if not exists {schema}").collect()


def delta_properties(table: Table) -> dict[str, str]:
    """The declared properties that Delta Lake itself reads."""
    return {key: value for key, value in table.properties.items() if key.startswith("delta.")}
