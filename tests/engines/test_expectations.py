"""Expectations on each engine: what is written, what is kept out, what is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core.signals import BlinkerSignalProvider
from kindling_entities import (
    Commit,
    DataEntityManager,
    EntityStore,
    ExpectationError,
    SchemaError,
    Transaction,
    expect,
    expect_or_drop,
    expect_or_fail,
    expect_or_quarantine,
    foreign_key,
    not_null,
    unique,
)
from kindling_entities.errors import EntityDefinitionError, EntityNotFoundError

FLIGHTS = pa.table(
    {
        "id": [1, 2, 3, 4, 5],
        "carrier": ["AA", "UA", "XX", None, "AA"],
        "delay": [5, -500, None, 10, 20],
    }
)


@pytest.fixture
def store(engine: Any, tmp_path: Path) -> EntityStore:
    return EntityStore(DataEntityManager(BlinkerSignalProvider(strict=True)), engine, "lake", tmp_path)


def rows(store: EntityStore, entity_id: str, *columns: str) -> list[Any]:
    found = store.engine.to_reader(store.read_entity(entity_id)).read_all().to_pylist()
    told = [tuple(row[name] for name in columns) if len(columns) > 1 else row[columns[0]] for row in found]
    return sorted(told, key=repr)


def failed(commit: Commit) -> dict[str, int]:
    assert len({one.rows_passed + one.rows_failed for one in commit.expectations}) == 1
    return {one.name: one.rows_failed for one in commit.expectations}


def test_rows_that_do_not_meet_a_condition_are_counted_or_left_out(store: EntityStore) -> None:
    store.manager.register_entity(
        "t.f",
        expectations=[
            expect("plausible", "delay > -120"),
            expect_or_drop("has carrier", "carrier is not null -- told by the airline"),
            expect_or_fail("id", "id > 0"),
        ],
    )
    heard: list[dict[str, Any]] = []
    provider = BlinkerSignalProvider()
    store.manager.set_signal_provider(provider)
    provider.on("entity.*", lambda sender, signal_name, **fields: heard.append({"signal": signal_name, **fields}))
    commit = store.write_to_entity("t.f", FLIGHTS)
    assert failed(commit) == {"plausible": 2, "has carrier": 1, "id": 0}
    assert commit.rows_written == 4
    assert rows(store, "t.f", "id") == [1, 2, 3, 5]
    told = [
        (one["expectation"], one["action"], one["rows_passed"], one["rows_failed"])
        for one in heard
        if one["signal"] == "entity.expectation_evaluated"
    ]
    assert told == [("plausible", "warn", 3, 2), ("has carrier", "drop", 4, 1), ("id", "fail", 5, 0)]
    names = [one["signal"].removeprefix("entity.") for one in heard]
    assert names == ["before_write", *["expectation_evaluated"] * 3, "after_write", "version_updated"]
    assert len({one["operation_id"] for one in heard}) == 1
    appended = store.append_to_entity("t.f", FLIGHTS.slice(3))
    assert (failed(appended)["has carrier"], appended.rows_written) == (1, 1)


@pytest.mark.parametrize("mode", ["overwrite", "append", "merge"])
@pytest.mark.parametrize("provider", ["delta", "memory"])
def test_a_failed_expectation_leaves_the_table_as_it_was(store: EntityStore, mode: str, provider: str) -> None:
    store.manager.register_entity(
        "t.f",
        keys=["id"],
        provider=provider,
        expectations=[expect_or_fail("plausible", "delay > -120"), expect("known", "carrier in ('AA', 'UA')")],
    )
    store.write_to_entity("t.f", FLIGHTS.slice(4))
    version = store.get_entity_version("t.f")
    with pytest.raises(ExpectationError, match=r"'plausible' \(2 of 5 rows\)") as caught:
        store.write("t.f", FLIGHTS, mode)
    assert [(one.name, one.rows_failed) for one in caught.value.results] == [("plausible", 2), ("known", 2)]
    assert caught.value.details["expectations"][0]["rows_failed"] == 2
    assert store.get_entity_version("t.f") == version
    assert rows(store, "t.f", "id") == [5]


def test_an_overwrite_keeps_the_rows_of_the_newest_in_the_quarantine(store: EntityStore) -> None:
    store.manager.register_entity(
        "t.f",
        expectations=[
            expect_or_quarantine("plausible", "delay > -120"),
            expect_or_quarantine("carrier's known", "carrier in ('AA', 'UA')"),
            expect_or_drop("small", "id < 5"),
        ],
    )
    commit = store.write_to_entity("t.f", FLIGHTS)
    assert failed(commit) == {"plausible": 2, "carrier's known": 2, "small": 1}
    assert rows(store, "t.f", "id") == [1]
    assert rows(store, "t.f__quarantine", "id", "_quarantine_reason") == [
        (2, "plausible"),
        (3, "plausible, carrier's known"),
        (4, "carrier's known"),
    ]
    store.write_to_entity("t.f", FLIGHTS.slice(3))
    assert rows(store, "t.f__quarantine", "id") == [4]
    store.write_to_entity("t.f", FLIGHTS.slice(0, 1))
    assert rows(store, "t.f__quarantine", "id") == []
    version = store.get_entity_version("t.f__quarantine")
    store.write_to_entity("t.f", FLIGHTS.slice(0, 1))
    assert store.get_entity_version("t.f__quarantine") == version


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_other_writes_add_each_distinct_row_to_the_quarantine_once(store: EntityStore, mode: str) -> None:
    store.manager.register_entity(
        "t.f", keys=["id"], write_mode=mode, expectations=[expect_or_quarantine("plausible", "delay > -120")]
    )
    store.write("t.f", FLIGHTS, None, Transaction("p", 1))
    assert rows(store, "t.f__quarantine", "id") == [2, 3]
    again = store.write("t.f", FLIGHTS, None, Transaction("p", 1))
    assert again.skipped
    assert again.expectations == ()
    store.write("t.f", FLIGHTS.slice(1, 2), None, Transaction("p", 2))
    assert rows(store, "t.f__quarantine", "id") == [2, 3]
    assert rows(store, "t.f", "id") == [1, 4, 5]


def test_unique_looks_at_the_frame_and_at_the_rows_that_stay(store: EntityStore) -> None:
    store.manager.register_entity("t.u", keys=["id"], expectations=[unique("a", "b", action="drop")])
    frame = pa.table({"id": [1, 2, 3, 4, 5], "a": [1, 1, 2, None, None], "b": ["x", "x", "x", "y", "y"]})
    assert failed(store.write_to_entity("t.u", frame)) == {"a, b unique": 2}
    assert rows(store, "t.u", "id") == [3, 4, 5]
    more = pa.table({"id": [6, 7], "a": [2, 3], "b": ["x", "x"]})
    assert failed(store.append_to_entity("t.u", more)) == {"a, b unique": 1}
    assert rows(store, "t.u", "id") == [3, 4, 5, 7]
    # Row 3 is replaced, so its values are free; those of row 7 are not.
    merged = pa.table({"id": [3, 8, 9], "a": [9, 2, 3], "b": ["x", "x", "x"]})
    assert failed(store.merge_to_entity("t.u", merged)) == {"a, b unique": 1}
    assert rows(store, "t.u", "id") == [3, 4, 5, 7, 8]


def test_not_null_and_unique_keys_are_found_before_a_merge_refuses_them(store: EntityStore) -> None:
    store.manager.register_entity(
        "t.m",
        keys=["id"],
        write_mode="merge",
        expectations=[not_null("id", action="quarantine"), unique("id", action="quarantine")],
    )
    commit = store.write("t.m", pa.table({"id": [1, 1, None, 2], "v": [1, 2, 3, 4]}), None)
    assert failed(commit) == {"id is not null": 1, "id unique": 2}
    assert rows(store, "t.m", "id") == [2]
    assert rows(store, "t.m__quarantine", "v", "_quarantine_reason") == [
        (1, "id unique"),
        (2, "id unique"),
        (3, "id is not null"),
    ]


def test_a_foreign_key_refers_to_rows_of_another_entity(store: EntityStore) -> None:
    store.manager.register_entity("t.airlines")
    store.manager.register_entity(
        "t.f", expectations=[foreign_key("carrier", "t.airlines", "code", action="quarantine")]
    )
    with pytest.raises(EntityNotFoundError, match=r"t\.airlines"):
        store.write_to_entity("t.f", FLIGHTS)
    assert not store.check_entity_exists("t.f")
    store.write_to_entity("t.airlines", pa.table({"code": ["AA", "UA", "UA", None], "name": ["a", "u", "u", "-"]}))
    assert failed(store.write_to_entity("t.f", FLIGHTS)) == {"carrier in t.airlines": 1}
    assert rows(store, "t.f", "id") == [1, 2, 4, 5]


def test_a_foreign_key_may_refer_to_its_own_entity(store: EntityStore) -> None:
    store.manager.register_entity("t.staff", keys=["id"], expectations=[foreign_key("boss", "t.staff", "id")])
    store.write_to_entity("t.staff", pa.table({"id": [1, 2], "boss": [None, 1]}))
    store.append_to_entity("t.staff", pa.table({"id": [3], "boss": [2]}))
    with pytest.raises(ExpectationError, match="boss in t.staff"):
        store.append_to_entity("t.staff", pa.table({"id": [4], "boss": [9]}))
    store.merge_to_entity("t.staff", pa.table({"id": [5, 6], "boss": [6, 3]}))
    assert rows(store, "t.staff", "id") == [1, 2, 3, 5, 6]


def test_overwritten_partitions_are_checked_against_the_others(store: EntityStore) -> None:
    store.manager.register_entity(
        "t.p", partition_columns=["day"], overwrite_scope="partitions", expectations=[unique("id")]
    )
    store.write_to_entity("t.p", pa.table({"id": [1, 2], "day": ["mon", "tue"]}))
    store.write_to_entity("t.p", pa.table({"id": [2], "day": ["tue"]}))
    with pytest.raises(ExpectationError, match="id unique"):
        store.write_to_entity("t.p", pa.table({"id": [1], "day": ["tue"]}))


def test_a_history_takes_what_meets_its_expectations(store: EntityStore) -> None:
    store.manager.register_entity(
        "t.h",
        scd=2,
        keys=["k"],
        sequence_by="at",
        expectations=[expect_or_quarantine("v", "v is not null"), unique("v", action="drop")],
    )
    schema = pa.schema({"k": pa.int64(), "v": pa.string(), "at": pa.int64()})
    store.merge_to_entity("t.h", pa.table({"k": [1, 2], "v": ["a", None], "at": [1, 1]}, schema=schema))
    store.merge_to_entity("t.h", pa.table({"k": [1, 3, 4], "v": ["b", "c", "b"], "at": [2, 2, 2]}, schema=schema))
    store.merge_to_entity("t.h", pa.table({"k": [5, 1], "v": ["c", "a"], "at": [3, 3]}, schema=schema))
    assert rows(store, "t.h", "k", "v", "is_current") == [(1, "a", True), (3, "c", True)]
    assert rows(store, "t.h__quarantine", "k") == [2]


def test_declared_columns_are_cast_after_the_expectations(store: EntityStore) -> None:
    store.manager.register_entity(
        "t.c", columns={"id": "bigint", "carrier": "string"}, expectations=[expect_or_drop("odd", "id % 2 = 1")]
    )
    frame = pa.table({"id": pa.array([1, 2, 3], pa.int32()), "carrier": ["a", "b", "c"]})
    assert store.write_to_entity("t.c", frame).rows_written == 2
    assert rows(store, "t.c", "id") == [1, 3]
    assert store.append_to_entity("t.c", frame).rows_written == 2


def test_what_the_frame_lacks_is_named(store: EntityStore) -> None:
    store.manager.register_entity("t.f", expectations=[expect("wind", "wind_speed < 100 and ID > 0")])
    with pytest.raises(SchemaError, match="Expectation 'wind' of 't.f' needs column.*'wind_speed'.*it has 'id'"):
        store.write_to_entity("t.f", FLIGHTS)
    store.manager.register_entity("t.q", expectations=[expect_or_quarantine("id", "id > 0")])
    with pytest.raises(SchemaError, match="_quarantine_key"):
        store.write_to_entity("t.q", pa.table({"id": [1], "_quarantine_key": ["x"]}))


def test_what_the_engine_cannot_evaluate_is_told_with_its_expectation(store: EntityStore) -> None:
    store.manager.register_entity("t.f", expectations=[expect("fine", "id > 0"), expect("typo", "no_such(id) > 0")])
    with pytest.raises(EntityDefinitionError, match=r"'t\.f': expectation 'typo' cannot be evaluated: .*no_such"):
        store.write_to_entity("t.f", FLIGHTS)


def test_rows_of_any_type_are_told_apart_in_a_quarantine(store: EntityStore) -> None:
    store.manager.register_entity("t.b", write_mode="append", expectations=[expect_or_quarantine("id", "id > 9")])
    frame = pa.table(
        {
            "id": [1, 1, 2],
            "bytes": [b"\x00\xff", b"\x00\xfe", None],
            "inner": [{"b": b"\xff"}] * 3,
            "list": [[1], [1], None],
            "day": pa.array([1, 1, 2], pa.date32()),
        }
    )
    for _ in range(2):
        store.append_to_entity("t.b", frame)
    assert len(rows(store, "t.b__quarantine", "id")) == 3


def test_an_empty_frame_is_written_and_counted(store: EntityStore) -> None:
    store.manager.register_entity("t.f", expectations=[expect_or_drop("id", "id > 0"), unique("id")])
    assert failed(store.write_to_entity("t.f", FLIGHTS.slice(0, 0))) == {"id": 0, "id unique": 0}
    assert rows(store, "t.f", "id") == []
