"""Lives of tables: what is done to them step by step, and what a model of plain rows says that they then hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from matrix_sides import Side
from matrix_values import Row, arrow, column, differences, plain

Findings = dict[str, list[str]]
OWN = {"id": "bigint", "p": "int"}


class Looks:
    """Compares what both sides read with the model, and gathers what differs by column."""

    def __init__(self, sides: Sequence[Side], kinds: Mapping[str, str], by: str = "id") -> None:
        self.findings: Findings = {}
        self._sides = list(dict.fromkeys(sides))
        self._kinds, self._by = kinds, by

    def at(self, step: str, entity_id: str, wanted: Sequence[Row], **options: Any) -> None:
        """Read an entity on each side."""
        for side in self._sides:
            found = side.do("read", entity_id, **options)
            assert found is not None
            self.compare(f"{step}, read by {side.name}", wanted, found)

    def compare(self, step: str, wanted: Sequence[Row], found: pa.Table) -> None:
        """Compare one table."""
        for name, told in differences(wanted, found, self._by, self._kinds).items():
            self.findings.setdefault(name, []).append(f"{step}: {told}")


def rows_of(values: Mapping[str, Sequence[Any]]) -> list[Row]:
    """One row for each value of the type that has most, and one of NULL; ``p`` puts neighbours into one partition."""
    count = max(map(len, values.values())) + 1
    columns = {column(kind): [*edges, *[None] * (count - len(edges))] for kind, edges in values.items()}
    return [{"id": n, "p": n // 2, **{name: all_of[n] for name, all_of in columns.items()}} for n in range(count)]


def rotated(rows: Sequence[Row], which: Sequence[int]) -> list[Row]:
    """Some of the rows, each with the values of the one before it."""
    return [{**rows[n - 1], "id": rows[n]["id"], "p": rows[n]["p"]} for n in which]


def replaced(rows: Sequence[Row], by: Sequence[Row]) -> list[Row]:
    """What a merge by id leaves."""
    return list(({row["id"]: row for row in rows} | {row["id"]: row for row in by}).values())


def life(first: Side, second: Side, values: Mapping[str, Sequence[Any]]) -> Findings:
    """What one side writes the other reads, appends to, merges into, maintains, copies, and reads in its past."""
    kinds = OWN | {column(kind): kind for kind in values}
    rows = rows_of(values)
    look, half = Looks([first, second], kinds), len(rows) // 2
    fed = {"properties": {"delta.enableChangeDataFeed": "true"}}
    keyed: dict[str, Any] = {"declared": {"write_mode": "merge", "keys": ["id"], **fed}}

    first.do("overwrite", "m.t", arrow(rows[:half], kinds), declared=fed, frame=True)
    second.do("append", "m.t", arrow(rows[half:], kinds), declared=fed)
    look.at("append", "m.t", rows)
    merged = rotated(rows, range(0, len(rows), 3))
    second.do("merge", "m.t", arrow(merged, kinds), frame=True, **keyed)
    now = replaced(rows, merged)
    look.at("merge", "m.t", now)
    second.do("maintain", "m.t", declared={"maintenance": {"vacuum": False}})
    look.at("compact", "m.t", now)
    first.do("append", "m.t", arrow([{**row, "id": row["id"] + 1000} for row in rows], kinds))
    now = now + [{**row, "id": row["id"] + 1000} for row in rows]
    second.do("maintain", "m.t", declared={"maintenance": {"vacuum": False, "order_by": ["id"]}})
    look.at("z-order", "m.t", now)
    look.at("time travel", "m.t", rows[:half], version=0)
    look.at("time travel", "m.t", rows, version=1)
    for side in {first.name: first, second.name: second}.values():
        changed = side.do("changes", "m.t", start_version=1, declared=fed)
        assert changed is not None
        kind = changed["_change_type"].to_pylist()
        version = changed["_commit_version"].to_pylist()
        for which, wanted in [("update_preimage", rows[::3]), ("update_postimage", merged)]:
            mask = pa.array([k == which and v == 2 for k, v in zip(kind, version, strict=True)])
            look.compare(f"change feed {which}, read by {side.name}", wanted, changed.filter(mask))

    second.do("rewrite", "m.copy", of="m.t")
    look.at("copy", "m.copy", now)

    parts: dict[str, Any] = {"declared": {"partition_columns": ["p"], "overwrite_scope": "partitions"}}
    first.do("overwrite", "m.parts", arrow(rows, kinds), **parts)
    again = rotated(rows, [n for n in range(len(rows)) if n % 4 > 1])
    second.do("overwrite", "m.parts", arrow(again, kinds), frame=True, **parts)
    look.at("partition overwrite", "m.parts", replaced(rows, again), **parts)
    return look.findings


def files(first: Side, second: Side, values: Mapping[str, Sequence[Any]], provider: str) -> Findings:
    """Files of one side, read by the other and written again."""
    kinds = OWN | {column(kind): kind for kind in values}
    rows = rows_of(values)
    declared = {"declared": {"provider": provider, "columns": kinds}}
    look = Looks([first, second], kinds)
    first.do("overwrite", "m.f", arrow(rows, kinds), frame=True, **declared)
    look.at(provider, "m.f", rows, **declared)
    second.do("append", "m.f", arrow([{**row, "id": row["id"] + 1000} for row in rows], kinds), **declared)
    look.at(f"{provider}, append", "m.f", rows + [{**row, "id": row["id"] + 1000} for row in rows], **declared)
    return look.findings


def _alone(values: Mapping[str, Sequence[Any]], rest: Mapping[str, Any]) -> Iterator[tuple[str, int, Row]]:
    """Rows that differ from ``rest`` in one column: (type, position of the value, row)."""
    for kind, edges in values.items():
        for position, value in enumerate(edges):
            yield kind, position, {**rest, column(kind): value}


def history(first: Side, second: Side, values: Mapping[str, Sequence[Any]]) -> Findings:
    """SCD2: each type is a key, its values are that key's states; each differs from the one before it."""
    columns = {column(kind): kind for kind in values}
    given = {"k": "string", "at": "bigint", **columns}
    declared = {"declared": {"scd": 2, "keys": ["k"], "sequence_by": "at", "surrogate_key": "sk"}}
    events = [
        {"k": column(kind), "at": position, **row}
        for kind, position, row in _alone(
            {kind: [*edges, None, edges[0]] for kind, edges in values.items()}, dict.fromkeys(columns)
        )
    ]
    sides = (first, second)
    # The late ones fall between those that are there, so that stored rows are written again by the other side.
    for number, part in enumerate((events[::2], events[1::2], events)):
        sides[number % 2].do("merge", "m.h", arrow(part, given), **declared)
    findings: Findings = {}
    for side in dict.fromkeys(sides):
        found = side.do("read", "m.h", **declared)
        assert found is not None
        told = found.to_pylist()
        if len({row["sk"] for row in told}) != len(told):
            findings.setdefault("k", []).append("surrogate keys collide")
        for kind, name in zip(values, columns, strict=True):
            mine = sorted((row for row in told if row["k"] == name), key=lambda row: row["at"])
            wanted = [(event["at"], plain(event[name])) for event in events if event["k"] == name]
            have = [(row["at"], plain(row[name])) for row in mine]
            if have != wanted:
                lost = [position for position, _ in wanted if position not in {at for at, _ in have}]
                edges = [*values[kind], None, values[kind][0]]
                shown = [(str(edges[n - 1])[:60], str(edges[n])[:60]) for n in lost[:3]]
                findings.setdefault(name, []).append(f"read by {side.name}: lost {shown or 'none, but values differ'}")
            ends = [row["valid_to"] for row in mine]
            if not findings.get(name) and ends != [*(row["at"] for row in mine[1:]), None]:
                findings.setdefault(name, []).append(f"read by {side.name}: ends are {ends}")
    return findings


def quarantine(first: Side, second: Side, values: Mapping[str, Sequence[Any]]) -> Findings:
    """Rows that differ in one value alone are all kept aside, once each, also when both sides write them."""
    columns = {column(kind): kind for kind in values}
    given = {"k": "string", **columns}
    declared = {"declared": {"write_mode": "append", "quarantine_unless": "k = 'never'"}}
    rows = [
        {"k": column(kind), **row}
        for kind, _, row in _alone({kind: [*edges, None] for kind, edges in values.items()}, dict.fromkeys(columns))
    ]
    for side in (first, second):
        side.do("append", "m.q", arrow(rows, given), frame=side is first, **declared)
    findings: Findings = {}
    for side in dict.fromkeys((first, second)):
        found = side.do("read", "m.q__quarantine")
        assert found is not None
        for name in columns:
            wanted = sorted(repr(plain(row[name])) for row in rows if row["k"] == name)
            have = sorted(repr(plain(row[name])) for row in found.to_pylist() if row["k"] == name)
            if wanted != have:
                lost = [text[:80] for text in wanted if text not in have]
                findings.setdefault(name, []).append(
                    f"read by {side.name}: {len(have)} rows, should be {len(wanted)}; lost {lost[:4]}"
                )
    return findings


def keys(first: Side, second: Side, values: Mapping[str, Sequence[Any]]) -> Findings:
    """A merge by all columns at once: rows differ in one key alone, so each must find itself and no other."""
    columns = {column(kind): kind for kind in values}
    given = {"id": "bigint", "who": "string", **columns}
    declared = {"declared": {"write_mode": "merge", "keys": list(columns)}}
    rest = {column(kind): edges[-1] for kind, edges in values.items()}
    rows = [
        {"id": n, "who": first.name, **row}
        for n, (_, _, row) in enumerate(_alone({kind: edges[:-1] for kind, edges in values.items()}, rest))
    ]
    look = Looks([first, second], given)
    first.do("merge", "m.k", arrow(rows[::2], given), **declared)
    second.do("merge", "m.k", arrow([{**row, "who": "second"} for row in rows], given), frame=True, **declared)
    look.at("merge by keys", "m.k", [{**row, "who": "second"} for row in rows])
    return look.findings


def historic_keys(first: Side, second: Side, values: Mapping[str, Sequence[Any]]) -> Findings:
    """SCD2 by all columns at once: rows differ in one key alone, and each has two states, one of each side."""
    columns = {column(kind): kind for kind in values}
    given = {"id": "bigint", "at": "bigint", **columns}
    declared = {"declared": {"scd": 2, "keys": list(columns), "sequence_by": "at", "surrogate_key": "sk"}}
    rest = {column(kind): edges[-1] for kind, edges in values.items()}
    rows = [
        {"id": n, "at": 1, **row}
        for n, (_, _, row) in enumerate(_alone({kind: edges[:-1] for kind, edges in values.items()}, rest))
    ]
    later = [{**row, "id": row["id"] + 1000, "at": 2} for row in rows]
    look = Looks([first, second], given)
    first.do("merge", "m.s", arrow(rows, given), **declared)
    second.do("merge", "m.s", arrow(later, given), frame=True, **declared)
    look.at("history by keys", "m.s", [*rows, *later], **declared)
    found = first.do("read", "m.s", **declared)
    assert found is not None
    surrogates, ends = set(found["sk"].to_pylist()), sorted(map(str, found["valid_to"].to_pylist()))
    if len(surrogates) != 2 * len(rows) or ends != ["2"] * len(rows) + ["None"] * len(rows):
        look.findings.setdefault("k", []).append(f"{len(surrogates)} surrogate keys, ends are {ends}")
    return look.findings


def partitions(first: Side, second: Side, values: Mapping[str, Sequence[Any]]) -> Findings:
    """All columns are partition columns; rows differ in one of them alone."""
    columns = {column(kind): kind for kind in values}
    given = {"id": "bigint", **columns}
    declared = {"declared": {"partition_columns": list(columns), "overwrite_scope": "partitions", "keys": ["id"]}}
    rest = {column(kind): edges[-1] for kind, edges in values.items()}
    rows = [
        {"id": n, **row}
        for n, (_, _, row) in enumerate(_alone({kind: [*edges[:-1], None] for kind, edges in values.items()}, rest))
    ]
    look = Looks([first, second], given)
    first.do("overwrite", "m.p", arrow(rows, given), **declared)
    look.at("partitions", "m.p", rows, **declared)
    again = [{**row, "id": row["id"] + 1000} for row in rows[::2]]
    second.do("overwrite", "m.p", arrow(again, given), frame=True, **declared)
    now = [*rows[1::2], *again]
    look.at("partitions overwritten", "m.p", now, **declared)
    second.do("merge", "m.p", arrow(now, given), **declared)
    look.at("partitions merged", "m.p", now, **declared)
    return look.findings
