"""Walks over Arrow types: lists, maps and structs down to what they are made of. Pure functions."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa


def holds(kind: pa.DataType, test: Callable[[pa.DataType], bool]) -> bool:
    """Whether a type, or a type within it, passes a test."""
    return test(kind) or any(holds(kind.field(index).type, test) for index in range(kind.num_fields))


def with_leaves(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with each type that holds no other changed; lists, maps and structs stay what they are."""
    if pa.types.is_list(kind):
        return pa.list_(with_leaves(kind.value_type, change))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, with_leaves(field.type, change)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(with_leaves(kind.key_type, change), with_leaves(kind.item_type, change))
    return change(kind)
