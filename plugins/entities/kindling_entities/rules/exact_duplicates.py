"""Exact repeats among rows that share a key."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def comparable(value: Any) -> Any:
    """What two equal Python values of a column have in common; all NaN are equal, as are 0.0 and -0.0."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    if isinstance(value, dict):
        return tuple(sorted((name, comparable(item)) for name, item in value.items()))
    if isinstance(value, list):
        return tuple(map(comparable, value))
    if isinstance(value, tuple):
        return ("pair", *map(comparable, value))
    return value


def marks(
    table: pa.Table, keys: Sequence[str], seen: dict[Hashable, Hashable]
) -> tuple[list[bool], list[tuple[Any, ...]]]:
    """Return which rows to keep, and the keys that have different rows.

    Args:
        seen: key -> its row, of tables before; rows are added.
    """
    maps = [index for index, field in enumerate(table.schema) if pa.types.is_map(field.type)]
    columns = [column.to_pylist() for column in table.columns]
    positions = [table.schema.get_field_index(key) for key in keys]
    kept: list[bool] = []
    different: list[tuple[Any, ...]] = []
    for values in zip(*columns, strict=True):
        # The entries of a map have no order.
        row = tuple(
            frozenset(map(comparable, value)) if index in maps and value is not None else comparable(value)
            for index, value in enumerate(values)
        )
        key = tuple(row[position] for position in positions)
        kept.append(key not in seen)
        if seen.setdefault(key, row) != row:
            different.append(tuple(values[position] for position in positions))
    return kept, different


def without_repeats(
    batches: Iterable[pa.RecordBatch], keys: Sequence[str], repeated: pa.Table, different: list[Any]
) -> Iterator[pa.RecordBatch]:
    """Leave out rows that equal an earlier row of the same key.

    Args:
        repeated: the keys that come more than once; other rows are not looked at.
        different: is given the keys that have different rows.
    """
    wanted = {tuple(map(comparable, row.values())) for row in repeated.to_pylist()}
    seen: dict[Hashable, Hashable] = {}
    for batch in batches:
        of_keys = zip(*(batch.column(batch.schema.get_field_index(key)).to_pylist() for key in keys), strict=True)
        watched = [tuple(map(comparable, key)) in wanted for key in of_keys]
        positions = [index for index, is_watched in enumerate(watched) if is_watched]
        if not positions:
            yield batch
            continue
        kept, found = marks(pa.Table.from_batches([batch.take(pa.array(positions))]), keys, seen)
        different.extend(found)
        mask = [True] * batch.num_rows
        for position, keep in zip(positions, kept, strict=True):
            mask[position] = keep
        yield batch if all(mask) else batch.filter(pa.array(mask, pa.bool_()))


def repeated_keys_of(columns: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The keys that come more than once."""
    # By number, since a grouping takes a name that begins with a point or a bracket for a path.
    numbers = list(map(str, range(len(keys))))
    counted = columns.select(list(keys)).rename_columns(numbers).group_by(numbers).aggregate([([], "count_all")])
    found = counted.select(numbers).rename_columns(list(keys))
    if counted.num_rows == columns.num_rows:
        return found.slice(0, 0)
    return found.filter(pc.greater(counted.column("count_all"), 1))
