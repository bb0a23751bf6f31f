"""Predicates over partition values as delta-rs reads them. Pure functions."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pyarrow as pa

from kindling_entities.errors import UnsupportedError


def partition_predicate(values: pa.Table) -> str:
    """Return a predicate that holds for exactly the partitions in ``values``, nulls included."""
    names = values.column_names
    if len(names) == 1:
        column = _column(names[0])
        given = values.column(0).to_pylist()
        texts = [_literal(v, values.schema.field(0)) for v in given if v is not None]
        parts = [f"{column} IN ({', '.join(texts)})"] if texts else []
        parts += [f"{column} IS NULL"] if len(texts) < len(given) else []
        return " OR ".join(parts)
    fields = list(values.schema)
    return " OR ".join("(" + " AND ".join(_equals(f, row[f.name]) for f in fields) + ")" for row in values.to_pylist())


def _equals(field: pa.Field, value: Any) -> str:
    name = _column(field.name)
    return f"{name} IS NULL" if value is None else f"{name} = {_literal(value, field)}"


def _column(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(value: Any, field: pa.Field) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, decimal.Decimal):
        # A bare number of many digits would be a double.
        return f"arrow_cast('{value:f}', 'Decimal128({field.type.precision}, {field.type.scale})')"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime.datetime):
        return f"arrow_cast('{value.isoformat()}', '{_timestamp(value)}')"
    if isinstance(value, datetime.date):
        return f"CAST('{value.isoformat()}' AS DATE)"
    raise UnsupportedError(
        f"Partitions by column {field.name!r} of type {type(value).__name__} cannot be overwritten one by one. "
        'Use overwrite_scope="table", or partition by a string, number, boolean or date.'
    )


def _timestamp(value: datetime.datetime) -> str:
    return 'Timestamp(Microsecond, Some("UTC"))' if value.tzinfo else "Timestamp(Microsecond, None)"
