"""Batches to csv and json in forms that the readers take back without loss, given the declared columns."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from kindling_entities.declare.types import type_name
from kindling_entities.errors import DataError, UnsupportedError
from kindling_entities.formats._options import TextOptions


def write_json(reader: pa.RecordBatchReader, stream: Any) -> int:
    """Write an object a line; return the number of rows.

    Binary is base64; decimals, dates and timestamps are texts; NaN and the infinities are the texts "NaN", "Infinity"
    and "-Infinity". A map is an object where its keys are texts, else an array of objects with ``key`` and ``value``.
    """
    rows = 0
    shapes = [(field.name, _shape(field.type)) for field in reader.schema]
    for batch in reader:
        columns = [_texts(column).to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True) if columns else ():
            made = {name: shape(value) for (name, shape), value in zip(shapes, row, strict=True)}
            stream.write((json.dumps(made, ensure_ascii=False, allow_nan=False) + "\n").encode())
        rows += batch.num_rows
    return rows


def write_csv(what: str, reader: pa.RecordBatchReader, stream: Any, options: TextOptions) -> int:
    """Write a csv file; return the rows. Binary is base64, texts are quoted, and null is an empty field.

    Raises:
        UnsupportedError: a column is an array, a map or a struct.
    """
    for field in reader.schema:
        if pa.types.is_nested(field.type):
            raise UnsupportedError(
                f"{what}: column {field.name!r} is {type_name(field.type)}, which csv cannot hold. Use provider='json' "
                "or 'parquet', or make it a text."
            )
    schema = pa.schema([(field.name, _csv_type(field.type)) for field in reader.schema])
    rows = 0
    writing = pa.csv.WriteOptions(include_header=options.header, delimiter=options.delimiter)
    with pa.csv.CSVWriter(stream, schema, write_options=writing) as writer:
        for batch in reader:
            writer.write_batch(
                pa.RecordBatch.from_arrays([_csv_column(column) for column in batch.columns], schema=schema)
            )
            rows += batch.num_rows
    return rows


def _csv_type(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_binary(kind) or pa.types.is_null(kind) else kind


def _csv_column(column: pa.Array) -> pa.Array:
    if pa.types.is_binary(column.type):
        return _base64(column)
    if pa.types.is_temporal(column.type):
        _refuse_far(column)
    return column.cast(_csv_type(column.type))


def _refuse_far(column: pa.Array) -> None:
    """Refuse years of other than four digits, which texts of dates do not have."""
    years = pc.min_max(pc.year(column)).as_py()
    least, greatest = years["min"] or 0, years["max"] or 0
    if least < 0 or greatest > 9999:
        raise DataError(
            f"A value of type {type_name(column.type)} lies in the year "
            f"{least if least < 0 else greatest}; csv and json hold the years 0 to 9999. Correct it "
            "in the pipe, or use provider='parquet'."
        )


def _base64(column: pa.Array) -> pa.Array:
    texts = [None if value is None else base64.b64encode(value).decode("ascii") for value in column.to_pylist()]
    return pa.array(texts, pa.string())


def _texts(column: pa.Array) -> pa.Array:
    """Replace what json has no form for by its text, at any depth."""
    kind, t = column.type, pa.types
    if t.is_binary(kind):
        return _base64(column)
    if t.is_temporal(kind):
        _refuse_far(column)
        # Arrow prints dates that Python does not have.
        return column.cast(pa.string())
    if t.is_decimal(kind):
        return column.cast(pa.string())
    if t.is_struct(kind):
        fields = [_texts(column.field(index)) for index in range(kind.num_fields)]
        names = [field.name for field in kind]
        return pa.StructArray.from_arrays(fields, names, mask=column.is_null()) if names else column
    if t.is_map(kind):
        keys, items = _texts(column.keys), _texts(column.items)
        made = pa.MapArray.from_arrays(column.offsets, keys, items)
        return _with_nulls(made, column)
    if t.is_list(kind):
        return _with_nulls(pa.ListArray.from_arrays(column.offsets, _texts(column.values)), column)
    return column


def _with_nulls(made: pa.Array, column: pa.Array) -> pa.Array:
    if not column.null_count:
        return made
    return pc.if_else(column.is_valid(), made, pa.scalar(None, made.type))


def _shape(kind: pa.DataType) -> Callable[[Any], Any]:
    """Make a function that turns a Python value of a column into what ``json`` writes."""
    t = pa.types
    if t.is_floating(kind):
        return _number
    if t.is_list(kind):
        item = _shape(kind.value_type)
        return _same if item is _same else lambda value: None if value is None else [item(element) for element in value]
    if t.is_map(kind):
        key, item = _shape(kind.key_type), _shape(kind.item_type)
        if t.is_string(kind.key_type):
            return lambda value: None if value is None else {name: item(other) for name, other in value}
        return lambda value: (
            None if value is None else [{"key": key(name), "value": item(other)} for name, other in value]
        )
    if t.is_struct(kind):
        parts = {field.name: _shape(field.type) for field in kind}
        return lambda value: None if value is None else {name: shape(value[name]) for name, shape in parts.items()}
    return _same


def _same(value: Any) -> Any:
    return value


def _number(value: float | None) -> Any:
    if value is None or value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
