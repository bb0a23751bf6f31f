"""Frames in and out of Spark, and the SQL that casts and checks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from kindling_entities.declare.casts import cast_table
from kindling_entities.declare.quoting import quote
from kindling_entities.declare.schema import normal_schema, refuse_nameless
from kindling_entities.declare.types import type_name
from kindling_entities.engines._frames import to_reader
from kindling_entities.engines._staging import Staging
from kindling_entities.rules.row_hash import row_hash

# Found in the text of the error that Spark raises for a row with a bad key.
BAD_KEY = "kindling: merge key is null or not unique"


def schema_of(frame: Any) -> pa.Schema:
    """The schema of a Spark frame in normal types."""
    from pyspark.sql.pandas.types import to_arrow_schema

    return normal_schema(to_arrow_schema(frame.schema))


def from_arrow(session: Any, data: pa.Table | pa.RecordBatchReader, staging: Staging | None, limit_bytes: int) -> Any:
    """Make a Spark frame.

    Args:
        staging: of files that driver and executors share; larger data go through such a file.
    """
    streamed = isinstance(data, pa.RecordBatchReader)
    if staging is not None and (streamed or data.nbytes > limit_bytes):
        return session.read.parquet(staging.stage(to_reader(data)))
    table = data.read_all() if streamed else data
    schema = normal_schema(table.schema)
    if not table.num_rows:
        # pyspark cannot look for timestamps in arrays without chunks.
        return session.createDataFrame([], schema=ddl(schema))
    # The DDL distinguishes timestamps with and without a zone.
    return session.createDataFrame(cast_table(table, schema), schema=ddl(schema))


def ddl(schema: pa.Schema) -> str:
    refuse_nameless(schema)
    return ", ".join(f"{quote(field.name)} {type_name(field.type)}" for field in schema)


def cast(frame: Any, have: pa.Schema, wanted: pa.Schema) -> Any:
    """Cast a Spark frame to a schema by column name; a column that it lacks becomes null."""
    if have.equals(wanted):
        return frame
    columns = []
    for field in wanted:
        index = have.get_field_index(field.name)
        name = quote(field.name)
        if index >= 0 and have.field(index).type == field.type:
            columns.append(name)
        else:
            columns.append(f"cast({name if index >= 0 else 'null'} as {type_name(field.type)}) as {name}")
    return frame.selectExpr(*columns)


def guarded(frame: Any, schema: pa.Schema, keys: Sequence[str]) -> Any:
    """Make a frame fail while it is written if a key is null or occurs twice: no pass of its own.

    The keys are what a merge shuffles by anyhow, so the window costs only a sort.
    """
    count = "__kindling_key_count"
    nulls = " or ".join(f"{quote(key)} is null" for key in keys)
    partition = ", ".join(map(quote, keys))
    counted = frame.selectExpr(*map(quote, schema.names), f"count(1) over (partition by {partition}) as {count}")
    first = schema.field(keys[0])
    failing = f"cast(raise_error('{BAD_KEY}') as {type_name(first.type)})"
    checked = f"if({count} > 1 or {nulls}, {failing}, {quote(keys[0])}) as {quote(keys[0])}"
    return counted.selectExpr(*(checked if name == keys[0] else quote(name) for name in schema.names))


def without_repeats(frame: Any, schema: pa.Schema) -> Any:
    """Leave out rows that equal another in every column."""
    digest = "__kindling_row"
    rows = frame.selectExpr(*map(quote, schema.names), f"{row_hash(schema.names, schema)} as {digest}")
    return rows.dropDuplicates([digest]).selectExpr(*map(quote, schema.names))
