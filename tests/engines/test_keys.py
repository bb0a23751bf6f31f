"""Which keys are the same: one meaning on every engine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core.signals import BlinkerSignalProvider
from kindling_entities import DataEntityManager, EntityStore, MergeKeyError, foreign_key, unique
from kindling_entities.protocols import Table

NAN = math.nan
FLOATING = [pa.float32(), pa.float64()]


def keyed(kind: Any, keys: list[Any], first: int = 0) -> pa.Table:
    return pa.table({"k": pa.array(keys, kind), "v": list(range(first, first + len(keys)))})


def stored(engine: Any, table: Table) -> list[tuple[str, int]]:
    rows = engine.to_reader(engine.read(table)).read_all().to_pylist()
    # The sign of a zero is that of the newest row.
    return sorted((repr(row["k"]).replace("-0.0", "0.0"), row["v"]) for row in rows)


@pytest.fixture
def store(engine: Any, tmp_path: Path) -> EntityStore:
    return EntityStore(DataEntityManager(BlinkerSignalProvider(strict=True)), engine, "lake", tmp_path)


@pytest.mark.parametrize("kind", FLOATING)
def test_zeros_are_one_merge_key_and_nan_is_one(engine: Any, table: Table, kind: Any) -> None:
    engine.merge(table, keyed(kind, [0.0, NAN, 1.5]), ["k"])
    commit = engine.merge(table, keyed(kind, [-0.0, NAN, math.inf], 10), ["k"])
    assert (commit.rows_updated, commit.rows_inserted) == (2, 1)
    assert stored(engine, table) == [("0.0", 10), ("1.5", 2), ("inf", 12), ("nan", 11)]
    engine.merge(table, keyed(kind, [0.0], 20), ["k"])
    assert ("0.0", 20) in stored(engine, table)


@pytest.mark.parametrize("kind", FLOATING)
@pytest.mark.parametrize("twice", [[0.0, -0.0], [NAN, NAN]])
def test_equal_keys_of_one_frame_are_refused(engine: Any, table: Table, kind: Any, twice: list[float]) -> None:
    engine.merge(table, keyed(kind, [1.0]), ["k"])
    with pytest.raises(MergeKeyError, match="'test.t'"):
        engine.merge(table, keyed(kind, twice, 10), ["k"])
    assert stored(engine, table) == [("1.0", 0)]


def test_texts_are_compared_by_their_characters(engine: Any, table: Table) -> None:
    keys = ["\u00e9", "e\u0301", "a", "A", "a ", " a", "", "\u00df", "ss", "SS", "\uff21", "a\x00"]
    engine.merge(table, keyed(pa.string(), keys), ["k"])
    commit = engine.merge(table, keyed(pa.string(), list(reversed(keys)), 100), ["k"])
    assert (commit.rows_updated, commit.rows_inserted) == (len(keys), 0)
    assert len(stored(engine, table)) == len(keys)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (pa.struct([("a", pa.float64())]), {"a": 0.0}),
        (pa.list_(pa.int64()), [1]),
        (pa.map_(pa.string(), pa.int64()), [("a", 1)]),
    ],
    ids=["struct", "array", "map"],
)
def test_a_nested_key_is_refused_by_name(engine: Any, table: Table, kind: Any, key: Any) -> None:
    with pytest.raises(MergeKeyError, match="Key column 'k' of the frame for 'test.t' is .*A key is a plain value"):
        engine.merge(table, keyed(kind, [key]), ["k"])
    assert not engine.exists(table)


@pytest.mark.parametrize("kind", FLOATING)
def test_zeros_and_nan_have_one_history_each(store: EntityStore, kind: Any) -> None:
    store.manager.register_entity("dim.t", scd=2, keys=["k"], sequence_by="at")
    for at, zero in enumerate([0.0, -0.0, 0.0]):
        changes = pa.table({"k": pa.array([zero, NAN], kind), "v": [f"{at}"] * 2, "at": [at, at]})
        store.merge_to_entity("dim.t", changes)
    found = store.engine.to_reader(store.read_entity("dim.t")).read_all().to_pylist()
    told = sorted((repr(row["k"]), row["v"], row["valid_to"]) for row in found)
    assert told == [(key, f"{at}", (1, 2, None)[at]) for key in ("0.0", "nan") for at in range(3)]


@pytest.mark.parametrize("kind", FLOATING)
def test_zeros_are_no_two_unique_values(store: EntityStore, kind: Any) -> None:
    store.manager.register_entity("t.u", expectations=[unique("k", action="drop")])
    store.append_to_entity("t.u", keyed(kind, [0.0, -0.0, NAN, NAN, 1.0]))
    store.append_to_entity("t.u", keyed(kind, [1.0, -2.0], 10))
    rows = store.engine.to_reader(store.read_entity("t.u")).read_all().to_pylist()
    assert sorted((row["k"], row["v"]) for row in rows) == [(-2.0, 11), (1.0, 4)]


@pytest.mark.parametrize("kind", FLOATING)
def test_a_foreign_key_finds_either_zero_and_doubles_no_row(store: EntityStore, kind: Any) -> None:
    store.manager.register_entity("t.parent")
    store.manager.register_entity("t.child", expectations=[foreign_key("k", "t.parent", action="drop")])
    store.write_to_entity("t.parent", keyed(kind, [0.0, -0.0, NAN]))
    store.write_to_entity("t.child", keyed(kind, [0.0, -0.0, NAN, 7.0]))
    rows = store.engine.to_reader(store.read_entity("t.child")).read_all().to_pylist()
    assert sorted(row["v"] for row in rows) == [0, 1, 2]
