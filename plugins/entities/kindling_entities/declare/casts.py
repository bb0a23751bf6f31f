"""Casts of rows to a schema that lose no value, or fail with the first value that would be lost."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from kindling_entities.declare.types import type_name
from kindling_entities.errors import DataError, SchemaError


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Cast a batch to a schema by column name; a column that it lacks becomes null.

    Raises:
        DataError: a value would not stay the same; names column and value.
    """
    if batch.schema.equals(schema):
        return batch
    arrays = []
    for column in schema:
        index = batch.schema.get_field_index(column.name)
        if index < 0:
            arrays.append(pa.nulls(batch.num_rows, column.type))
        else:
            array = batch.column(index)
            arrays.append(array if array.type == column.type else _cast(array, column))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def cast_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast a table as ``cast_batch`` does."""
    if table.schema.equals(schema):
        return table
    return pa.Table.from_batches([cast_batch(batch, schema) for batch in table.to_batches()], schema)


def _cast(array: pa.Array, column: pa.Field) -> pa.Array:
    try:
        return array.cast(column.type)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"Column {column.name!r}: {_lost(array, column.type)} of type {array.type} cannot be kept as "
            f"{type_name(column.type)} ({str(error).splitlines()[0]}). Cast or round it in the pipe."
        ) from None
    except pa.ArrowNotImplementedError:
        raise SchemaError(
            f"Column {column.name!r}: type {array.type} cannot be kept as {type_name(column.type)}. "
            "Cast it in the pipe."
        ) from None


def _lost(array: pa.Array, kind: pa.DataType) -> str:
    """The first value that a cast loses, found by halves."""
    while len(array) > 1:
        half = array[: len(array) // 2]
        try:
            half.cast(kind)
        except pa.ArrowInvalid:
            array = half
        else:
            array = array[len(half) :]
    return shown(array[0])


def shown(value: pa.Scalar) -> str:
    """A value for people; at most 80 characters of it."""
    try:
        text = str(value.as_py()) if pa.types.is_temporal(value.type) else repr(value.as_py())
    except (ValueError, OverflowError, pa.ArrowException):
        # Python has no such date or time.
        text = str(value.value) if pa.types.is_temporal(value.type) else "a value"
    return text if len(text) <= 80 else f"{text[:77]}..."


def cast_reader(reader: pa.RecordBatchReader, schema: pa.Schema) -> pa.RecordBatchReader:
    """Cast a stream of batches to a schema, batch by batch."""
    if reader.schema.equals(schema):
        return reader

    def batches() -> Iterable[pa.RecordBatch]:
        for batch in reader:
            yield cast_batch(batch, schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
