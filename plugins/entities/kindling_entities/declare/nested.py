"""Walks through nested Arrow types and arrays: lists, maps and structs. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa


def holds(kind: pa.DataType, test: Callable[[pa.DataType], bool]) -> bool:
    """Whether a type, or a type within it, passes a test."""
    return test(kind) or any(holds(kind.field(index).type, test) for index in range(kind.num_fields))


def with_leaves(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with each type that holds no other changed, in the order of a file's columns; the rest stays."""
    if pa.types.is_list(kind):
        return pa.list_(with_leaves(kind.value_type, change))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, with_leaves(field.type, change)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(with_leaves(kind.key_type, change), with_leaves(kind.item_type, change))
    return change(kind)


def leaves(path: str, array: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """The arrays of plain values that an array is made of, each with its path: ``v.element.a``, ``m.key``, ``m.value``.

    What lies under a null is left out.
    """
    kind, t = array.type, pa.types
    if isinstance(array, pa.ExtensionArray):
        yield from leaves(path, array.storage)
    elif t.is_struct(kind):
        for field, part in zip(kind, array.flatten(), strict=True):
            yield from leaves(f"{path}.{field.name}", part)
    elif t.is_map(kind):
        yield from leaves(f"{path}.key", array.keys)
        yield from leaves(f"{path}.value", array.items)
    elif t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        yield from leaves(f"{path}.element", array.flatten())
    else:
        yield path, array
