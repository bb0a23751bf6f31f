"""Compare two tables of the same entity, row by row, and say readably where they differ."""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from kindling_entities.schema import type_name

_SHOWN = 5
# Sums of doubles depend on the order of addition, which no engine promises.
_RELATIVE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Comparison:
    """How two tables compare.

    Attributes:
        rows: of the first and of the second, after sampling.
        differences: one readable line each; empty means equal.
    """

    entity_id: str
    rows: tuple[int, int]
    differences: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare(
    entity_id: str,
    first: pa.Table,
    second: pa.Table,
    keys: Sequence[str],
    names: tuple[str, str],
    sample: float = 1.0,
) -> Comparison:
    """Compare by key, column by column.

    Args:
        keys: columns that identify a row. Without any, rows are matched by all columns but floating-point ones.
        names: of the two sides, for the messages.
        sample: the share of the keys that is compared, 0 to 1; the same keys on both sides.
    """
    told = _schema_differences(first.schema, second.schema, names)
    shared = [name for name in first.column_names if name in second.column_names]
    by = [key for key in keys if key in shared] or [
        name for name in shared if not pa.types.is_floating(first.schema.field(name).type)
    ]
    left, right = (_grouped(table.select(shared), by, sample) for table in (first, second))
    told += _missing(left, right, by, names) + _missing(right, left, by, names[::-1])
    told += _values(left, right, by, [name for name in shared if name not in by], names)
    return Comparison(entity_id, (_count(left), _count(right)), told)


def _schema_differences(first: pa.Schema, second: pa.Schema, names: tuple[str, str]) -> list[str]:
    told = []
    for name in dict.fromkeys([*first.names, *second.names]):
        kinds = [
            type_name(schema.field(name).type) if name in schema.names else "missing" for schema in (first, second)
        ]
        if kinds[0] != kinds[1]:
            told.append(f"column {name!r} is {kinds[0]} on {names[0]} and {kinds[1]} on {names[1]}")
    return told


def _grouped(table: pa.Table, by: Sequence[str], sample: float) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for batch in table.to_batches():
        for row in batch.to_pylist():
            key = ", ".join(f"{name}={row[name]!r}" for name in by)
            if sample >= 1 or zlib.crc32(key.encode()) < sample * 2**32:
                found[key].append(row)
    return found


def _count(groups: dict[str, list[dict[str, Any]]]) -> int:
    return sum(map(len, groups.values()))


def _missing(
    here: dict[str, list[dict[str, Any]]],
    there: dict[str, list[dict[str, Any]]],
    by: Sequence[str],
    names: tuple[str, str],
) -> list[str]:
    lost = [key for key, rows in here.items() if len(rows) > len(there.get(key, ()))]
    if not lost:
        return []
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return [f"{len(lost)} key(s) have rows on {names[0]} that {names[1]} lacks: {'; '.join(lost[:_SHOWN])}{more}"]


def _values(
    left: dict[str, list[dict[str, Any]]],
    right: dict[str, list[dict[str, Any]]],
    by: Sequence[str],
    columns: Sequence[str],
    names: tuple[str, str],
) -> list[str]:
    found: dict[str, list[str]] = defaultdict(list)
    for key, rows in left.items():
        others = right.get(key, [])
        # Rows of one key have no order; laid side by side by their values, equal ones meet.
        pairs = zip(sorted(rows, key=repr), sorted(others, key=repr), strict=False)
        for one, other in pairs:
            for name in columns:
                if not _same(one[name], other[name]):
                    found[name].append(f"{key}: {one[name]!r} on {names[0]}, {other[name]!r} on {names[1]}")
    return [f"column {name!r} differs in {len(told)} row(s), such as {told[0]}" for name, told in sorted(found.items())]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=_RELATIVE_TOLERANCE)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)
