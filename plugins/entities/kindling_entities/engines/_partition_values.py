"""Refuses partition values that would read back changed, before the commit, and names them.

A partition value travels as text, in the name of a folder and in the log. What was measured is in docs/engines.md,
"Partition values".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from urllib.parse import quote as percent

import pyarrow as pa
import pyarrow.compute as pc

from kindling_entities.declare.casts import shown
from kindling_entities.declare.names import no_partition
from kindling_entities.declare.types import type_name
from kindling_entities.errors import DataError, UnsupportedError
from kindling_entities.protocols import Table

# The folder of a null partition, by Hive's convention.
NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
LONGEST_NAME_BYTES = 255
# The years from 1 to 9999, which a text of a date holds in four digits.
FIRST_DAY, LAST_DAY = -719162, 2932896
MICROSECONDS_A_DAY = 86_400_000_000

Check = Callable[["pa.RecordBatch | pa.Table"], None]

READS_AS_NULL = "would read back as NULL"
IS_NULL_FOLDER = "is the folder of NULL"
NEGATIVE_ZERO = "is another partition than 0.0, although the two are equal"
OUT_OF_YEARS = "lies outside of the years 1 to 9999"
TOO_LONG = f"makes the name of a folder longer than {LONGEST_NAME_BYTES} bytes"
NEGATIVE_FRACTION = "is a negative fraction, which delta-rs writes into the log in a form that nobody reads"


def refuse_types(table: Table, schema: pa.Schema, names: Iterable[str]) -> None:
    """Refuse partition columns of a type whose values do not survive, or that Delta Lake does not allow.

    Raises:
        UnsupportedError: names column and type.
    """
    for name in names:
        index = schema.get_field_index(name)
        if index < 0:
            continue
        why = no_partition(name)
        if why is not None:
            raise UnsupportedError(f"{table.entity_id!r}: partition column {name!r}: {why}. Rename it.")
        kind = schema.field(index).type
        if pa.types.is_binary(kind) or pa.types.is_nested(kind):
            raise UnsupportedError(
                f"{table.entity_id!r}: partition column {name!r} is {type_name(kind)}, whose values do not come back "
                "from a partition as they went in. Partition by a string, number, boolean, date or timestamp."
            )


def refusal(table: Table, column: str, value: str, why: str) -> DataError:
    """Word the error of a value."""
    return DataError(
        f"{table.entity_id!r}: the value {value} of partition column {column!r} {why}. Nothing was written. "
        "Replace it in the pipe, or partition by another column."
    )


def checker(
    table: Table, schema: pa.Schema, names: Iterable[str]
) -> Callable[[pa.RecordBatch | pa.Table], None] | None:
    """Make what refuses the values that delta-rs does not keep; None without partition columns.

    Raises:
        UnsupportedError: by ``refuse_types``.
    """
    columns = [name for name in names if name in schema.names]
    if not columns:
        return None
    refuse_types(table, schema, columns)

    def check(batch: pa.RecordBatch | pa.Table) -> None:
        for name in columns:
            values = pc.unique(batch.column(name)).drop_null()
            for why, bad in _unsafe(name, values):
                if len(bad):
                    raise refusal(table, name, shown(bad[0]), why)

    return check


def _unsafe(name: str, values: pa.Array) -> Iterable[tuple[str, pa.Array]]:
    kind = values.type
    t = pa.types
    if t.is_string(kind):
        yield READS_AS_NULL, values.filter(pc.equal(values, ""))
        yield IS_NULL_FOLDER, values.filter(pc.equal(values, NULL_FOLDER))
        # Each byte takes three at most.
        long = values.filter(
            pc.greater(pc.binary_length(values), (LONGEST_NAME_BYTES - 3 * len(name.encode()) - 1) // 3)
        )
        yield TOO_LONG, _longer(name, long, str)
    elif t.is_decimal(kind) and kind.scale:
        found = [v for v in values.to_pylist() if v < 0 and v != v.to_integral_value()]
        yield NEGATIVE_FRACTION, pa.array(found, kind)
    elif t.is_floating(kind):
        zeros = values.filter(pc.equal(values, pa.scalar(0.0, kind)))
        yield NEGATIVE_ZERO, pa.array([v for v in zeros.to_pylist() if math.copysign(1, v) < 0], kind)
        yield TOO_LONG, _longer(name, values.filter(pc.is_finite(values)), _digits)
    elif t.is_date(kind):
        yield OUT_OF_YEARS, _outside(values, values.cast(pa.int32()), FIRST_DAY, LAST_DAY)
    elif t.is_timestamp(kind):
        first, last = FIRST_DAY * MICROSECONDS_A_DAY, (LAST_DAY + 1) * MICROSECONDS_A_DAY - 1
        yield OUT_OF_YEARS, _outside(values, values.cast(pa.int64()), first, last)


def _outside(values: pa.Array, numbers: pa.Array, first: int, last: int) -> pa.Array:
    return values.filter(pc.or_(pc.less(numbers, first), pc.greater(numbers, last)))


def _digits(value: float) -> str:
    # The log has numbers without an exponent.
    return format(Decimal(repr(value)), "f")


def _longer(name: str, values: pa.Array, text: Callable[[object], str] | Callable[[float], str]) -> pa.Array:
    limit = LONGEST_NAME_BYTES - len(percent(name, safe="")) - 1
    return pa.array([v for v in values.to_pylist() if len(percent(text(v), safe="")) > limit], values.type)
