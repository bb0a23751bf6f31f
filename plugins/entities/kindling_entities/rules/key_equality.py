"""What makes two keys the same, on every engine: as Spark compares, the zeros are equal, and NaN is equal to NaN.

Texts are compared by their characters alone: case, spaces at the end and the ways to write an accent count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kindling_entities.declare.quoting import quote
from kindling_entities.declare.types import type_name
from kindling_entities.errors import MergeKeyError

_FLOATING = frozenset({"float", "double"})


def refuse_nested_keys(entity_id: str, keys: Sequence[str], frame: pa.Schema) -> None:
    """Refuse a key of a type that not every engine compares.

    Raises:
        MergeKeyError: names it.
    """
    for key in keys:
        kind = frame.field(key).type
        if pa.types.is_nested(kind):
            raise MergeKeyError(
                f"Key column {key!r} of the frame for {entity_id!r} is {type_name(kind)}. A key is a plain value: "
                "give its fields columns of their own, or make a text of it."
            )


def same_form(keys: pa.Table) -> pa.Table:
    """Give equal keys the same bits, so that they are found by grouping."""
    for index, field in enumerate(keys.schema):
        if pa.types.is_floating(field.type):
            values = keys.column(index)
            zero, nan = pa.scalar(0.0, field.type), pa.scalar(float("nan"), field.type)
            made = pc.if_else(pc.is_nan(values), nan, pc.add(values, zero))
            keys = keys.set_column(index, field.name, made)
    return keys


def same_form_sql(name: str, kind: str) -> str:
    """SQL of a column, with the same bits for values that are equal.

    Args:
        kind: its type, as SQL has it.
    """
    column = quote(name)
    if kind not in _FLOATING:
        return column
    return f"if(isnan({column}), cast('NaN' as {kind}), {column} + cast(0 as {kind}))"


def with_same_form(frame: Any, keys: Iterable[str]) -> Any:
    """A Spark frame whose key columns have the same bits where they are equal; itself where that is so anyhow."""
    kinds = {field.name: field.dataType.simpleString() for field in frame.schema.fields}
    if not any(kinds.get(key) in _FLOATING for key in keys):
        return frame
    wanted = set(keys)
    columns = [
        f"{same_form_sql(name, kind)} as {quote(name)}" if name in wanted else quote(name)
        for name, kind in kinds.items()
    ]
    return frame.selectExpr(*columns)
