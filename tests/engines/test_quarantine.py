"""Quarantines on each engine: what they hold, what is released into the entity, and what is removed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core.signals import BlinkerSignalProvider
from kindling_entities import (
    DataEntityManager,
    EntityStore,
    Transaction,
    expect,
    expect_or_drop,
    expect_or_fail,
    expect_or_quarantine,
    foreign_key,
    unique,
)
from kindling_entities.errors import EntityNotFoundError, SchemaError, UnknownEntityError, UnsupportedError
from kindling_entities.quarantine.release import ACCEPTED, Quarantine

BAD = pa.table({"id": [1, 2, 3], "v": [10, -1, -2]})


def store_of(engine: Any, root: Path) -> EntityStore:
    return EntityStore(DataEntityManager(BlinkerSignalProvider(strict=True)), engine, "lake", root)


@pytest.fixture
def store(engine: Any, tmp_path: Path) -> EntityStore:
    return store_of(engine, tmp_path)


def rows(store: EntityStore, entity_id: str, *columns: str) -> list[Any]:
    found = store.engine.to_reader(store.read_entity(entity_id)).read_all().to_pylist()
    told = [tuple(row[name] for name in columns) if len(columns) > 1 else row[columns[0]] for row in found]
    return sorted(told, key=repr)


def again(store: EntityStore, *expectations: Any, **declaration: Any) -> EntityStore:
    """The next deployment of the job: the same tables, other expectations."""
    made = store_of(store.engine, store.base_dir)
    made.manager.register_entity("t.f", expectations=expectations, **declaration)
    return made


@pytest.mark.parametrize(
    "declaration",
    [
        {},
        {"write_mode": "append"},
        {"write_mode": "merge", "keys": ["id"]},
        {"partition_columns": ["id"], "overwrite_scope": "partitions"},
        {"scd": 2, "keys": ["id"]},
        {"provider": "parquet", "write_mode": "append"},
    ],
    ids=["overwrite", "append", "merge", "partitions", "history", "files"],
)
def test_rows_that_pass_now_are_released_once(store: EntityStore, declaration: dict[str, Any]) -> None:
    store = again(store, expect_or_quarantine("positive", "v > 0"), **declaration)
    store.write("t.f", BAD, None)
    assert rows(store, "t.f", "id") == [1]
    unchanged = Quarantine(store, "t.f").retry()
    assert (unchanged.released, unchanged.failing, unchanged.version) == (0, 2, None)
    store = again(store, expect_or_quarantine("plausible", "v > -2"), **declaration)
    done = Quarantine(store, "t.f").retry()
    assert (done.released, done.failing, done.accepted) == (1, 1, 0)
    assert rows(store, "t.f", "id", "v") == [(1, 10), (2, -1)]
    assert rows(store, "t.f__quarantine", "id", "_quarantine_reason") == [(3, "positive")]
    assert Quarantine(store, "t.f").retry().released == 0
    assert rows(store, "t.f", "id", "v") == [(1, 10), (2, -1)]


def test_only_a_warning_lets_a_row_out_that_does_not_meet_it(store: EntityStore) -> None:
    store = again(store, expect_or_quarantine("positive", "v > 0"), write_mode="append")
    store.write("t.f", BAD, None)
    store = again(
        store, expect("two", "id <> 2"), expect_or_drop("three", "id <> 3"), unique("id"), write_mode="append"
    )
    done = Quarantine(store, "t.f").retry()
    assert (done.released, done.failing) == (1, 1)
    assert rows(store, "t.f", "id") == [1, 2]
    store = again(store, expect_or_fail("three", "id <> 3"), write_mode="append")
    assert Quarantine(store, "t.f").retry().failing == 1
    assert rows(store, "t.f__quarantine", "id") == [3]


def test_a_row_whose_key_was_accepted_since_does_not_replace_what_is_newer(store: EntityStore) -> None:
    declaration: dict[str, Any] = {"write_mode": "merge", "keys": ["id"]}
    store = again(store, expect_or_quarantine("positive", "v > 0"), **declaration)
    store.write("t.f", BAD, None)
    store.write("t.f", pa.table({"id": [2], "v": [7]}), None)
    kept = Quarantine(store, "t.f")
    told = store.engine.to_reader(kept.frame()).read_all().to_pylist()
    assert sorted((row["id"], row[ACCEPTED]) for row in told) == [(2, True), (3, False)]
    store = again(store, **declaration)
    done = Quarantine(store, "t.f").retry()
    assert (done.released, done.accepted, done.dropped) == (1, 1, 0)
    assert rows(store, "t.f", "id", "v") == [(1, 10), (2, 7), (3, -2)]
    done = Quarantine(store, "t.f__quarantine").retry("drop")
    assert (done.released, done.accepted, done.dropped) == (0, 1, 1)
    assert rows(store, "t.f__quarantine", "id") == []
    assert rows(store, "t.f", "id", "v") == [(1, 10), (2, 7), (3, -2)]


def test_an_accepted_row_is_written_over_where_that_is_asked_for(store: EntityStore) -> None:
    declaration: dict[str, Any] = {"write_mode": "merge", "keys": ["id"]}
    store = again(store, expect_or_quarantine("positive", "v > 0"), **declaration)
    store.write("t.f", BAD, None)
    store.write("t.f", pa.table({"id": [2], "v": [7]}), None)
    store = again(store, **declaration)
    assert Quarantine(store, "t.f").retry("write").released == 2
    assert rows(store, "t.f", "id", "v") == [(1, 10), (2, -1), (3, -2)]


def test_of_several_rows_of_a_key_the_newest_is_released(store: EntityStore) -> None:
    declaration: dict[str, Any] = {"write_mode": "merge", "keys": ["id"]}
    store = again(
        store,
        expect_or_quarantine("positive", "v > 0"),
        unique("id", action="quarantine"),
        expect_or_quarantine("id", "id is not null"),
        **declaration,
    )
    store.write("t.f", pa.table({"id": [2, None], "v": [-1, -1]}), None)
    store.write("t.f", pa.table({"id": [2, 5, 5], "v": [-3, 8, 9]}), None)
    store = again(store, **declaration)
    done = Quarantine(store, "t.f").retry()
    assert (done.released, done.older, done.unclear) == (1, 1, 3)
    assert rows(store, "t.f", "id", "v") == [(2, -3)]
    assert Quarantine(store, "t.f").retry().accepted == 1


def test_rows_are_removed_by_age_reason_and_acceptance(store: EntityStore) -> None:
    declaration: dict[str, Any] = {"write_mode": "merge", "keys": ["id"]}
    store = again(
        store,
        expect_or_quarantine("a, b", "v > 0"),
        expect_or_quarantine("b", "id <> 3"),
        **declaration,
    )
    store.write("t.f", BAD, None)
    kept = Quarantine(store, "t.f")
    assert kept.reasons() == {"a, b": 2, "b": 1}
    with pytest.raises(SchemaError, match=r"reason 'a'\. There are: 'a, b', 'b'"):
        kept.frame(reason="a")
    now = datetime.now(timezone.utc)
    assert kept.frame(before=now - timedelta(hours=1)).count() == 0
    assert kept.frame(before=now + timedelta(hours=1)).count() == 2
    assert kept.purge(kept.frame(reason="b", look_up_accepted=False)) == 1
    assert rows(store, "t.f__quarantine", "id") == [2]
    store.write("t.f", pa.table({"id": [2], "v": [7]}), None)
    assert kept.purge(kept.frame(accepted=True)) == 1
    assert kept.count() == 0


def test_a_quarantine_stays_readable_when_its_expectations_are_gone(store: EntityStore) -> None:
    store = again(store, expect_or_quarantine("positive", "v > 0"))
    store.write("t.f", BAD, None)
    store = again(store)
    assert store.tables.left_quarantines() == ["t.f__quarantine"]
    assert rows(store, "t.f__quarantine", "id") == [2, 3]
    assert store.tables.ids() == ["t.f", "t.f__quarantine"]
    assert Quarantine(store, "t.f").retry().released == 2
    assert rows(store, "t.f", "id") == [1, 2, 3]


def test_what_has_no_quarantine_is_told(store: EntityStore) -> None:
    store.manager.register_entity("t.f")
    store.manager.register_entity("t.m", provider="memory", expectations=[expect_or_quarantine("v", "v > 0")])
    with pytest.raises(EntityNotFoundError, match=r"no 't\.f__quarantine': nothing of 't\.f'"):
        Quarantine(store, "t.f")
    with pytest.raises(UnknownEntityError):
        Quarantine(store, "t.nothing")
    with pytest.raises(UnsupportedError, match="kept in memory"):
        Quarantine(store, "t.m")
    store = again(store, expect_or_quarantine("v", "v > 0"), provider="parquet")
    store.write("t.f", BAD, None)
    with pytest.raises(UnsupportedError, match="overwritten as one file"):
        Quarantine(store, "t.f").retry()


def test_a_release_that_fails_leaves_both_tables_as_they_were(store: EntityStore) -> None:
    declaration: dict[str, Any] = {"write_mode": "append", "schema_policy": "fail"}
    store = again(store, expect_or_quarantine("positive", "v > 0"), **declaration)
    store.write("t.f", BAD, None)
    store.write("t.f__quarantine", pa.table({"_quarantine_key": ["k"], "_quarantine_reason": ["x"], "w": [1]}), "merge")
    store = again(store, **declaration)
    with pytest.raises(SchemaError):
        Quarantine(store, "t.f").retry()
    assert rows(store, "t.f__quarantine", "_quarantine_reason") == ["positive", "positive", "x"]
    assert rows(store, "t.f", "id") == [1]


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_repeated_write_does_not_take_its_own_rows_for_those_of_others(store: EntityStore, mode: str) -> None:
    store.manager.register_entity(
        "t.u",
        write_mode=mode,
        keys=["id"],
        expectations=[unique("v", action="quarantine"), foreign_key("above", "t.u", "id", action="quarantine")],
    )
    frame = pa.table({"id": [1, 2], "v": [1, 2], "above": [None, 1]})
    for _ in range(2):
        commit = store.write("t.u", frame, None, Transaction("p", 1))
    assert commit.skipped
    assert len(rows(store, "t.u", "id")) == 2
    assert not store.check_entity_exists("t.u__quarantine")


def test_a_row_that_comes_twice_in_one_append_is_kept_twice(store: EntityStore) -> None:
    store = again(store, expect_or_quarantine("positive", "v > 0"), write_mode="append")
    frame = pa.table({"v": [-1, -1, -2, 3, 3]})
    for _ in range(2):
        store.write("t.f", frame, None)
        assert rows(store, "t.f__quarantine", "v") == [-1, -1, -2]
    store = again(store, write_mode="append")
    assert Quarantine(store, "t.f").retry().released == 3
    assert rows(store, "t.f", "v") == [-1, -1, -2, 3, 3, 3, 3]


def test_a_column_without_values_goes_to_the_quarantine_as_it_is_declared(store: EntityStore) -> None:
    store = again(
        store, expect_or_quarantine("p", "v > 0"), write_mode="append", columns={"v": "bigint", "n": "string"}
    )
    store.write("t.f", pa.table({"v": [1, -3], "n": pa.nulls(2)}), None)
    store.write("t.f", pa.table({"v": [-4], "n": ["x"]}), None)
    assert rows(store, "t.f__quarantine", "v", "n") == [(-3, None), (-4, "x")]


def test_an_empty_quarantine_does_not_hold_its_entity_to_old_columns(store: EntityStore) -> None:
    store = again(store, expect_or_quarantine("p", "v > 0"), write_mode="append")
    store.write("t.f", pa.table({"v": [-1]}), None)
    # The advice of the error that a changed type gets: the table is overwritten once.
    kept = store.engine.to_reader(store.read_entity("t.f__quarantine")).read_all()
    store.write("t.f", pa.table({"v": [1.5]}), "overwrite")
    store.write("t.f__quarantine", kept, "overwrite")
    with pytest.raises(SchemaError, match=r"release or remove the rows of 't\.f__quarantine' first"):
        store.write("t.f", pa.table({"v": [-1.5]}), None)
    quarantine = Quarantine(store, "t.f")
    assert quarantine.purge(quarantine.frame()) == 1
    store.write("t.f", pa.table({"v": [-1.5]}), None)
    assert rows(store, "t.f__quarantine", "v") == [-1.5]
    assert rows(store, "t.f", "v") == [1.5]


@pytest.mark.parametrize(
    "declaration",
    [
        {"write_mode": "merge", "missing_rows": "delete"},
        {"scd": 2, "missing_rows": "close"},
        {"scd": 2, "missing_rows": "close", "sequence_by": "at"},
        {"provider": "memory", "write_mode": "merge", "missing_rows": "delete"},
    ],
    ids=["merge", "history", "sequence", "memory"],
)
def test_a_quarantined_row_of_a_full_snapshot_is_not_missing(store: EntityStore, declaration: dict[str, Any]) -> None:
    declaration = {"keys": ["id"], **declaration}
    store = again(store, expect_or_quarantine("positive", "v > 0"), **declaration)

    def current() -> list[Any]:
        found = store.engine.to_reader(store.read_entity("t.f")).read_all().to_pylist()
        return sorted((row["id"], row["v"]) for row in found if row.get("is_current", True))

    store.write("t.f", pa.table({"id": [1, 2, 3], "v": [1, 2, 3], "at": [1, 1, 1]}), None)
    store.write("t.f", pa.table({"id": [1, 2], "v": [10, -20], "at": [2, 2]}), None)
    assert current() == [(1, 10), (2, 2)]
    store.write("t.f", pa.table({"id": [1, 2], "v": [-1, -20], "at": [3, 2]}), None)
    assert current() == [(1, 10), (2, 2)]
    if declaration.get("provider") == "memory":
        return
    store = again(store, **declaration)
    done = Quarantine(store, "t.f").retry("write")
    assert (done.released, done.failing) == (2, 0)
    assert current() == [(1, -1), (2, -20)]
    assert Quarantine(store, "t.f").count() == 0


def test_columns_of_any_name_are_released(store: EntityStore) -> None:
    declaration: dict[str, Any] = {"write_mode": "merge", "keys": ["a.b", "count"]}
    store = again(store, expect_or_quarantine("it's 'so'", "`a.b` > 0"), **declaration)
    store.write("t.f", pa.table({"a.b": [1, -1, -2], "count": [1, 1, 1], "q't": ["x", "y", "z"]}), None)
    store.write("t.f__quarantine", pa.table({"_quarantine_key": ["k"], "_quarantine_reason": ["odd"]}), "merge")
    kept = Quarantine(store, "t.f")
    assert kept.reasons() == {"it's 'so'": 2, "odd": 1}
    assert kept.purge(kept.frame(reason="odd")) == 1
    store = again(store, **declaration)
    assert Quarantine(store, "t.f").retry().released == 2
    assert rows(store, "t.f", "a.b", "q't") == [(-1, "y"), (-2, "z"), (1, "x")]
