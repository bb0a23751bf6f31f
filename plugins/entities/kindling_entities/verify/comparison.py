"""Compare two tables of the same entity, row by row, and say readably where they differ.

Rows are split by their keys into parts that fit into memory; the other parts wait in files.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from kindling_entities.declare.nested import holds
from kindling_entities.declare.schema import normal_schema
from kindling_entities.declare.types import parse_type, type_name
from kindling_entities.temporary import own_folder
from kindling_entities.verify.value_equality import identities, rank, same

_SHOWN = 5
_PARTS = 64
_HELD_BYTES = 64 * 1024 * 1024
# Rows of the same key that do not pair by their order are compared each with each, up to this many rows.
_TRIED_ROWS = 200
_KEY = "__kindling_key"

_Rows = dict[bytes, list[dict[str, Any]]]


@dataclass(frozen=True)
class Comparison:
    """How two tables compare.

    Attributes:
        rows: of the first and of the second table; None where there is no table.
        compared: rows of each that were compared; fewer than ``rows`` where a sample was taken.
        differences: a readable line each; empty means equal.
        note: what was not compared, and why; empty if everything was.
    """

    entity_id: str
    rows: tuple[int | None, int | None]
    differences: list[str] = field(default_factory=list)
    compared: tuple[int, int] = (0, 0)
    note: str = ""

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare(
    entity_id: str,
    first: pa.Table | pa.RecordBatchReader,
    second: pa.Table | pa.RecordBatchReader,
    keys: Sequence[str],
    names: tuple[str, str],
    sample: float = 1.0,
    *,
    declared: Mapping[str, str] | None = None,
    ignored: Sequence[str] = (),
    held_bytes: int = _HELD_BYTES,
) -> Comparison:
    """Compare by key, column by column; streams are read once and never held whole.

    Args:
        keys: columns that identify a row; they need not be unique. Without any, rows are matched by all columns that
            hold no floating-point numbers.
        names: of the two sides, for the messages.
        sample: the share of the keys that is compared, 0 to 1; the same keys on both sides, with all their rows.
            Without keys, the share of the different rows.
        declared: column -> type that both must have.
        ignored: columns whose values are not compared, since they depend on the time of the write.
        held_bytes: what is held of each side before rows wait in files.
    """
    readers = [source.to_reader() if isinstance(source, pa.Table) else source for source in (first, second)]
    # Types that hold the same values, such as large strings, are no difference.
    schemas = [normal_schema(reader.schema) for reader in readers]
    differences = _declared_differences(schemas, declared or {}, names) + _schema_differences(
        schemas[0], schemas[1], names
    )
    shared = [name for name in schemas[0].names if name in schemas[1].names and name not in ignored]
    keyed = [key for key in keys if key in shared]
    by = keyed or [
        name for name in shared if not any(holds(schema.field(name).type, pa.types.is_floating) for schema in schemas)
    ]
    finding = _Finding(by, [name for name in shared if name not in by], bool(keyed), names)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(own_folder("compare")).path)
        left, right = (
            _Parts(reader, shared, by, sample if by else 1.0, folder / str(number), held_bytes)
            for number, reader in enumerate(readers)
        )
        for part in range(_PARTS):
            finding.add(left.rows(part), right.rows(part))
    note = f"not compared: {', '.join(ignored)} (the time of the write)" if ignored else ""
    differences += finding.differences()
    if left.total != right.total and not finding.lost:
        differences.append(f"{left.total} row(s) on {names[0]}, {right.total} on {names[1]}")
    return Comparison(entity_id, (left.total, right.total), differences, (left.taken, right.taken), note)


def _declared_differences(
    schemas: Sequence[pa.Schema], declared: Mapping[str, str], names: tuple[str, str]
) -> list[str]:
    differences = []
    for column, text in declared.items():
        wanted = type_name(parse_type(text))
        for schema, side in zip(schemas, names, strict=True):
            have = type_name(schema.field(column).type) if column in schema.names else "missing"
            if have != wanted:
                differences.append(f"column {column!r} is declared {wanted} and is {have} on {side}")
    return differences


def _schema_differences(first: pa.Schema, second: pa.Schema, names: tuple[str, str]) -> list[str]:
    differences = []
    for name in dict.fromkeys([*first.names, *second.names]):
        kinds = [
            type_name(schema.field(name).type) if name in schema.names else "missing" for schema in (first, second)
        ]
        if kinds[0] != kinds[1]:
            differences.append(f"column {name!r} is {kinds[0]} on {names[0]} and {kinds[1]} on {names[1]}")
    return differences


class _Parts:
    """The rows of a side, split by a digest of their keys; reads the stream when it is made.

    Attributes:
        total: rows of the stream.
        taken: rows of the sample.
    """

    def __init__(
        self,
        reader: pa.RecordBatchReader,
        columns: Sequence[str],
        by: Sequence[str],
        sample: float,
        folder: Path,
        held_bytes: int,
    ) -> None:
        self.total = self.taken = 0
        self._folder = folder
        self._held: dict[int, list[pa.RecordBatch]] = defaultdict(list)
        self._bytes = 0
        self._files: dict[int, Any] = {}
        for batch in reader:
            self.total += batch.num_rows
            chosen: dict[int, list[int]] = defaultdict(list)
            digests = _digests(batch, by)
            for index, digest in enumerate(digests):
                if sample >= 1 or int.from_bytes(digest[:8], "big") < sample * 2**64:
                    chosen[digest[-1] % _PARTS].append(index)
            arrays = [batch.column(batch.schema.get_field_index(name)) for name in columns]
            rest = pa.RecordBatch.from_arrays([*arrays, pa.array(digests, pa.binary())], [*columns, _KEY])
            for part, indices in chosen.items():
                self.taken += len(indices)
                rows = rest.take(pa.array(indices, pa.int64()))
                self._held[part].append(rows)
                self._bytes += rows.nbytes
            if self._bytes > held_bytes:
                self._spill()
        if self._files:
            self._spill()
            for writer in self._files.values():
                writer.close()

    def _spill(self) -> None:
        self._folder.mkdir(exist_ok=True)
        for part, batches in self._held.items():
            for batch in batches:
                if part not in self._files:
                    self._files[part] = pa.ipc.new_stream(str(self._folder / str(part)), batch.schema)
                self._files[part].write_batch(batch)
        self._held.clear()
        self._bytes = 0

    def rows(self, part: int) -> _Rows:
        """Rows of a part by the digest of their key."""
        found: _Rows = defaultdict(list)
        for batch in self._batches(part):
            for row in batch.to_pylist():
                found[row.pop(_KEY)].append(row)
        return found

    def _batches(self, part: int) -> Iterator[pa.RecordBatch]:
        yield from self._held.pop(part, ())
        if part in self._files:
            with pa.OSFile(str(self._folder / str(part)), "rb") as file:
                yield from pa.ipc.open_stream(file)


def _digests(batch: pa.RecordBatch, by: Sequence[str]) -> list[bytes]:
    """Hash a key; the result is the same on both sides and in each process, unlike Python's hash of texts."""
    if not by:
        return [bytes(16)] * batch.num_rows
    columns = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in by]
    texts = map(identities, zip(*columns, strict=True))
    return [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]


class _Finding:
    """What differs, gathered part by part.

    Attributes:
        lost: whether a side has rows that the other lacks.
    """

    def __init__(self, by: Sequence[str], columns: Sequence[str], keyed: bool, names: tuple[str, str]) -> None:
        self._by, self._columns, self._names = by, columns, names
        self._what = "key(s) have rows" if keyed else "row(s) are"
        self._lost = (_Examples(), _Examples())
        self._values: dict[str, _Examples] = defaultdict(_Examples)

    @property
    def lost(self) -> bool:
        return any(lost.count for lost in self._lost)

    def add(self, left: _Rows, right: _Rows) -> None:
        """Compare a part of each side."""
        for key in dict.fromkeys([*left, *right]):
            mine, others = left.get(key, []), right.get(key, [])
            if mine == others:
                continue
            label = ", ".join(f"{name}={(mine or others)[0][name]!r}" for name in self._by) or "any row"
            if len(mine) != len(others):
                self._lost[len(others) > len(mine)].add(label)
            for row, other in _unequal(mine, others, self._columns):
                for name in self._columns:
                    if not same(row[name], other[name]):
                        self._values[name].add(
                            f"{label}: {row[name]!r} on {self._names[0]}, {other[name]!r} on {self._names[1]}"
                        )

    def differences(self) -> list[str]:
        """A line for each kind of difference."""
        differences = []
        for lost, names in zip(self._lost, (self._names, self._names[::-1]), strict=True):
            if lost.count:
                more = f" and {lost.count - _SHOWN} more" if lost.count > _SHOWN else ""
                shown = "; ".join(lost.first)
                differences.append(f"{lost.count} {self._what} on {names[0]} that {names[1]} lacks: {shown}{more}")
        for name, found in sorted(self._values.items()):
            differences.append(f"column {name!r} differs in {found.count} row(s), such as {found.first[0]}")
        return differences


class _Examples:
    """Counts findings, and keeps the first few in the order of their texts: each call shows the same examples."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, text: str) -> None:
        self.count += 1
        bisect.insort(self.first, text if len(text) <= 500 else text[:500] + "...")
        del self.first[_SHOWN:]


def _unequal(
    mine: list[dict[str, Any]], others: list[dict[str, Any]], columns: Sequence[str]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pair the rows of a key, which have no order, and return the pairs that differ."""

    def matches(row: dict[str, Any], other: dict[str, Any]) -> bool:
        return all(same(row[name], other[name]) for name in columns)

    if len(mine) > 1 or len(others) > 1:
        order: Callable[[dict[str, Any]], Any] = lambda row: [rank(row[name]) for name in columns]  # noqa: E731
        mine, others = sorted(mine, key=order), sorted(others, key=order)
    left = [row for row, other in zip(mine, others, strict=False) if not matches(row, other)] + mine[len(others) :]
    right = [other for row, other in zip(mine, others, strict=False) if not matches(row, other)] + others[len(mine) :]
    if len(mine) > 1 or len(others) > 1:
        for row in left[:_TRIED_ROWS]:
            found = next((at for at, other in enumerate(right[:_TRIED_ROWS]) if matches(row, other)), None)
            if found is not None:
                left.remove(row)
                del right[found]
    return list(zip(left, right, strict=False))
