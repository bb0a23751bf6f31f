"""SCD type 2 on each engine, against a plain Python model of a history."""

from __future__ import annotations

import random
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_of_history import batches_at_random, changes_at_random, history_of

from kindling_core import App
from kindling_entities import (
    Commit,
    DataEntityManager,
    Entities,
    EntityError,
    EntityStore,
    MergeKeyError,
    SchemaError,
    Transaction,
)
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import EntityDefinitionError
from kindling_entities.protocols import Table

Row = tuple[int, str | None, int, int | None]


@pytest.fixture
def store(engine: Any, tmp_path: Path) -> EntityStore:
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    declared = {"scd": 2, "keys": ["k"], "sequence_by": "at", "delete_when": "gone"}
    store.manager.register_entity("dim.t", surrogate_key="sk", **declared)
    return store


def changes(*rows: tuple[Any, ...]) -> pa.Table:
    full = [(*row, False) if len(row) == 3 else row for row in rows]
    columns = dict(zip(("k", "v", "at", "gone"), map(list, zip(*full, strict=True)), strict=True))
    schema = pa.schema({"k": pa.int64(), "v": pa.string(), "at": pa.int64(), "gone": pa.bool_()})
    return pa.table(columns, schema=schema)


def history(store: EntityStore) -> list[Row]:
    found = store.engine.to_reader(store.read_entity("dim.t")).read_all().to_pylist()
    assert all(row["is_current"] == (row["valid_to"] is None) for row in found)
    assert len({row["sk"] for row in found}) == len(found)
    told = [(row["k"], row["v"], row["valid_from"], row["valid_to"]) for row in found]
    return sorted(told, key=lambda row: (row[0], str(row[1]), row[2]))


def test_a_change_closes_the_old_row_and_opens_a_new_one(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10), (2, "x", 10)))
    commit = store.merge_to_entity("dim.t", changes((1, "b", 20)))
    assert history(store) == [(1, "a", 10, 20), (1, "b", 20, None), (2, "x", 10, None)]
    assert (commit.rows_inserted, commit.rows_updated) == (1, 1)


def test_a_batch_may_hold_several_changes_of_a_key(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "b", 20), (1, "a", 10), (1, "c", 30)))
    assert history(store) == [(1, "a", 10, 20), (1, "b", 20, 30), (1, "c", 30, None)]


def test_the_same_batch_again_changes_nothing(store: EntityStore) -> None:
    batch = changes((1, "a", 10), (1, "b", 20), (2, "x", 10), (2, None, 30, True))
    store.merge_to_entity("dim.t", batch)
    before = history(store)
    commit = store.merge_to_entity("dim.t", batch)
    assert (commit.rows_inserted, commit.rows_updated) == (0, 0)
    assert history(store) == before == [(1, "a", 10, 20), (1, "b", 20, None), (2, "x", 10, 30)]


def test_a_row_that_says_the_same_begins_nothing(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10)))
    store.merge_to_entity("dim.t", changes((1, "a", 20)))
    assert history(store) == [(1, "a", 10, None)]


def test_a_late_change_falls_into_its_place(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10), (1, "c", 30)))
    store.merge_to_entity("dim.t", changes((1, "b", 20)))
    store.merge_to_entity("dim.t", changes((1, "before", 5)))
    assert history(store) == [(1, "a", 10, 20), (1, "b", 20, 30), (1, "before", 5, 10), (1, "c", 30, None)]


def test_a_delete_closes_and_a_later_row_opens_again(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10)))
    store.merge_to_entity("dim.t", changes((1, None, 20, True)))
    assert history(store) == [(1, "a", 10, 20)]
    store.merge_to_entity("dim.t", changes((1, "a", 30)))
    assert history(store) == [(1, "a", 10, 20), (1, "a", 30, None)]


def test_a_late_row_before_a_delete_ends_at_the_delete(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10), (1, None, 30, True), (1, "z", 50)))
    store.merge_to_entity("dim.t", changes((1, "b", 20)))
    assert history(store) == [(1, "a", 10, 20), (1, "b", 20, 30), (1, "z", 50, None)]


def test_a_correction_at_the_same_moment_replaces_the_row_and_keeps_its_key(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10)))
    key = store.engine.to_reader(store.read_entity("dim.t")).read_all()["sk"].to_pylist()
    store.merge_to_entity("dim.t", changes((1, "A", 10)))
    assert history(store) == [(1, "A", 10, None)]
    assert store.engine.to_reader(store.read_entity("dim.t")).read_all()["sk"].to_pylist() == key


def test_null_and_text_are_different_values(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, None, 10)))
    store.merge_to_entity("dim.t", changes((1, "", 20)))
    assert [row[1:] for row in sorted(history(store), key=lambda row: row[2])] == [(None, 10, 20), ("", 20, None)]


def test_two_rows_for_one_moment_and_null_keys_are_refused_by_name(store: EntityStore) -> None:
    with pytest.raises(MergeKeyError, match="k=1, sequence=10"):
        store.merge_to_entity("dim.t", changes((1, "a", 10), (1, "b", 10)))
    assert not store.check_entity_exists("dim.t")


@pytest.mark.parametrize("seed", [20131, 7])
def test_any_order_of_arrival_gives_the_history_of_the_changes(engine: Any, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    declared = {"scd": 2, "keys": ["k"], "sequence_by": "at", "delete_when": "gone", "track": ["v"]}
    store.manager.register_entity("dim.t", surrogate_key="sk", **declared)
    made = changes_at_random(chance, keys=5, moments=6)
    kinds = {"k": pa.int64(), "v": pa.string(), "at": pa.int64(), "gone": pa.bool_(), "note": pa.string()}
    for batch in [*batches_at_random(chance, made)[:5], made]:
        rows = [{"k": one.key, "v": one.value, "at": one.at, "gone": one.gone, "note": one.note} for one in batch]
        store.merge_to_entity("dim.t", pa.Table.from_pylist(rows, pa.schema(kinds)))
    found = store.engine.to_reader(store.read_entity("dim.t")).read_all().to_pylist()
    told = [(row["k"], row["v"], row["note"], row["valid_from"], row["valid_to"]) for row in found]
    assert sorted(told, key=repr) == history_of(made)


def test_a_delete_may_arrive_before_its_row(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, None, 20, True), (2, None, 20, True)))
    assert history(store) == []
    store.merge_to_entity("dim.t", changes((1, "a", 10)))
    assert history(store) == [(1, "a", 10, 20)]
    store.merge_to_entity("dim.t", changes((1, None, 30, True), (2, "b", 30)))
    store.merge_to_entity("dim.t", changes((1, "c", 25)))
    assert history(store) == [(1, "a", 10, 20), (1, "c", 25, 30), (2, "b", 30, None)]


def test_a_row_that_repeated_the_state_ends_what_falls_between(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 1), (1, "a", 3)))
    assert history(store) == [(1, "a", 1, None)]
    store.merge_to_entity("dim.t", changes((1, "b", 2)))
    assert history(store) == [(1, "a", 1, 2), (1, "a", 3, None), (1, "b", 2, 3)]


def test_a_late_row_equal_to_its_successor_does_not_split_the_state(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 3)))
    commit = store.merge_to_entity("dim.t", changes((1, "a", 1)))
    assert history(store) == [(1, "a", 1, None)]
    assert (commit.rows_inserted, commit.rows_updated, commit.rows_deleted) == (1, 0, 1)


def test_a_delete_in_the_moment_of_its_row_leaves_no_row(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10)))
    store.merge_to_entity("dim.t", changes((1, None, 10, True)))
    assert history(store) == []
    store.merge_to_entity("dim.t", changes((1, "z", 5)))
    assert history(store) == [(1, "z", 5, 10)]


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        (pa.list_(pa.string()), ["red, blue"], ["red", "blue"]),
        (pa.list_(pa.string()), [], [""]),
        (pa.list_(pa.string()), [None], ["null"]),
        (pa.struct({"a": pa.string(), "b": pa.string()}), {"a": "1, 2", "b": "3"}, {"a": "1", "b": "2, 3"}),
        (pa.map_(pa.string(), pa.string()), [("a", "1, b -> 2")], [("a", "1"), ("b", "2")]),
        (pa.string(), None, "\0"),
        (pa.list_(pa.binary()), [b"\x80"], [b"\x81"]),
    ],
    ids=str,
)
def test_values_that_print_alike_are_changes(
    engine: Any, tmp_path: Path, kind: pa.DataType, first: Any, second: Any
) -> None:
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("dim.v", scd=2, keys=["k"], sequence_by="at")
    for at, value in enumerate([first, second, second]):
        store.merge_to_entity("dim.v", pa.table({"k": [1], "v": pa.array([value], kind), "at": [at]}))
    found = store.engine.to_reader(store.read_entity("dim.v")).read_all().to_pylist()
    assert sorted((row["valid_from"], row["valid_to"]) for row in found) == [(0, 1), (1, None)]


def test_the_order_of_a_maps_entries_is_no_change(engine: Any, tmp_path: Path) -> None:
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("dim.m", scd=2, keys=["k"], sequence_by="at")
    kind = pa.map_(pa.string(), pa.int64())
    for at, value in enumerate([[("a", 1), ("b", 2)], [("b", 2), ("a", 1)]]):
        store.merge_to_entity("dim.m", pa.table({"k": [1], "v": pa.array([value], kind), "at": [at]}))
    assert store.read_entity("dim.m").count() == 1


def test_a_clock_that_was_set_back_makes_no_past_row_current(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("dim.u", scd=2, keys=["k"], delete_when="v = 'gone'")
    for when, value in (("2026-05-01T12:00:00+00:00", "a"), ("2026-05-01T11:00:00+00:00", "b")):
        monkeypatch.setattr("kindling_entities.providers._ordered.utc_now", lambda when=when: when)
        store.merge_to_entity("dim.u", pa.table({"k": [1], "v": [value]}))
    found = store.engine.to_reader(store.read_entity("dim.u")).read_all().to_pylist()
    ends = {row["v"]: (row["valid_from"], row["valid_to"]) for row in found}
    assert ends["a"][1] == ends["b"][0] == ends["a"][0] + timedelta(microseconds=1)
    assert ends["b"][1] is None


def test_a_full_snapshot_closes_what_it_lacks(store: EntityStore, tmp_path: Path) -> None:
    store.manager.register_entity("dim.s", scd=2, keys=["k"], sequence_by="at", missing_rows="close")

    def rows() -> list[tuple[Any, ...]]:
        found = store.engine.to_reader(store.read_entity("dim.s")).read_all().to_pylist()
        return sorted((row["k"], row["v"], row["valid_from"], row["valid_to"]) for row in found)

    for snapshot in ([(1, "a", 1), (2, "b", 1)], [(2, "b", 2), (3, "c", 2)]):
        store.merge_to_entity("dim.s", changes(*snapshot).drop(["gone"]))
    assert rows() == [(1, "a", 1, 2), (2, "b", 1, None), (3, "c", 2, None)]
    with pytest.raises(EntityError, match="would close every row"):
        store.merge_to_entity("dim.s", changes((1, "a", 1)).drop(["gone"]).slice(0, 0))
    store.merge_to_entity("dim.s", changes((1, "A", 3), (3, "c", 3)).drop(["gone"]))
    assert rows() == [(1, "A", 3, None), (1, "a", 1, 2), (2, "b", 1, 3), (3, "c", 2, None)]


def test_exact_repeats_in_one_frame_are_one_change(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10), (1, "a", 10), (1, None, 20, True), (1, None, 20, True)))
    assert history(store) == [(1, "a", 10, 20)]


def test_a_null_sequence_is_refused_by_name(store: EntityStore) -> None:
    with pytest.raises(MergeKeyError, match="k=1, sequence=None.*'at'"):
        store.merge_to_entity(
            "dim.t", pa.table({"k": [1], "v": ["a"], "at": pa.array([None], pa.int64()), "gone": [False]})
        )


def test_a_write_that_is_refused_leaves_no_memory(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10)))
    wrong = changes((2, None, 20, True)).set_column(1, "v", pa.array([1], pa.int64()))
    with pytest.raises(SchemaError, match="column 'v'"):
        store.merge_to_entity("dim.t", wrong)
    store.merge_to_entity("dim.t", changes((2, "b", 10)))
    assert history(store) == [(1, "a", 10, None), (2, "b", 10, None)]


def test_rows_that_break_a_rule_of_the_table_leave_no_memory(store: EntityStore) -> None:
    store.manager.register_entity(
        "dim.r", scd=2, keys=["k"], sequence_by="at", delete_when="gone", properties={"delta.appendOnly": "true"}
    )
    store.merge_to_entity("dim.r", changes((1, "a", 10)))
    with pytest.raises(EntityError):
        store.merge_to_entity("dim.r", changes((2, None, 20, True), (1, "b", 20)))
    location = store.location("dim.r") + "__kindling_events"
    events = Table("dim.r__kindling_events", location)
    assert store.engine.describe(events) is None or store.engine.read(events).count() == 0


@pytest.mark.parametrize("name", ["__seq", "count", "a.b", "c0", "seq", "gone", "it's", "stored", "a b", "Größe"])
def test_columns_may_have_any_name(engine: Any, tmp_path: Path, name: str) -> None:
    if engine.name != "embedded" and name == "a b":
        pytest.skip("Delta Lake takes it with column mapping alone, and refuses it by name")
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("dim.n", scd=2, keys=[name], sequence_by="at", delete_when="v = 'x'")
    store.manager.register_entity("dim.v", scd=2, keys=["k"], sequence_by="at", delete_when="k < 0")
    for at, value in ((3, "x"), (2, "b"), (1, "a"), (4, "b"), (5, "b")):
        store.merge_to_entity("dim.n", pa.table({name: [1], "v": [value], "at": [at]}))
        store.merge_to_entity("dim.v", pa.table({"k": [1], name: [value], "at": [at]}))
    found = store.engine.to_reader(store.read_entity("dim.n")).read_all().to_pylist()
    assert sorted((row[name], row["v"], row["valid_from"], row["valid_to"] or 0) for row in found) == [
        (1, "a", 1, 2),
        (1, "b", 2, 3),
        (1, "b", 4, 0),
    ]
    found = store.engine.to_reader(store.read_entity("dim.v")).read_all().to_pylist()
    assert sorted((row[name], row["valid_from"], row["valid_to"] or 0) for row in found) == [
        ("a", 1, 2),
        ("b", 2, 3),
        ("b", 4, 0),
        ("x", 3, 4),
    ]


def test_a_history_of_an_earlier_version_goes_on_as_it_is(store: EntityStore) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10), (1, "b", 20), (2, "x", 10)))
    rows = store.engine.to_reader(store.read_entity("dim.t")).read_all()
    old = pa.array([f"digest of another version {row}" for row in range(rows.num_rows)])
    keys = pa.array([f"key of another version {row}" for row in range(rows.num_rows)])
    rows = rows.set_column(rows.column_names.index("row_hash"), "row_hash", old)
    rows = rows.set_column(rows.column_names.index("sk"), "sk", keys)
    store.write_to_entity("dim.t", rows)
    commit = store.merge_to_entity("dim.t", changes((1, "b", 20), (2, "x", 15)))
    assert (commit.rows_inserted, commit.rows_updated, commit.rows_deleted) == (0, 0, 0)
    store.merge_to_entity("dim.t", changes((1, "c", 30)))
    found = store.engine.to_reader(store.read_entity("dim.t")).read_all().to_pylist()
    assert {row["sk"] for row in found if row["v"] != "c"} == set(keys.to_pylist())
    assert history(store) == [(1, "a", 10, 20), (1, "b", 20, 30), (1, "c", 30, None), (2, "x", 10, None)]


def test_a_commit_between_the_reading_and_the_merge_is_not_lost(
    store: EntityStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.merge_to_entity("dim.t", changes((1, "a", 10)))
    engine, merge = store.engine, store.engine.merge

    def merge_late(*arguments: Any, **options: Any) -> Commit:
        monkeypatch.setattr(engine, "merge", merge)
        # Another writer, after the rows of this merge were computed from what was stored.
        store.merge_to_entity("dim.t", changes((1, "b", 20)))
        return merge(*arguments, **options)

    monkeypatch.setattr(engine, "merge", merge_late)
    store.merge_to_entity("dim.t", changes((1, "c", 30)), transaction=Transaction("p", 1))
    assert history(store) == [(1, "a", 10, 20), (1, "b", 20, 30), (1, "c", 30, None)]
    info = store.tables.describe("dim.t")
    assert info is not None
    # One commit each: the late one is not mended by a commit of its own.
    assert info.version == 2


def test_without_a_sequence_the_time_of_the_write_counts(engine: Any, tmp_path: Path) -> None:
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("dim.u", scd=2, keys=["k"])
    for value in ("a", "a", "b"):
        store.merge_to_entity("dim.u", pa.table({"k": [1], "v": [value]}))
    found = store.engine.to_reader(store.read_entity("dim.u")).read_all().to_pylist()
    assert sorted((row["v"], row["is_current"]) for row in found) == [("a", False), ("b", True)]
    ends = {row["v"]: (row["valid_from"], row["valid_to"]) for row in found}
    assert ends["a"][1] == ends["b"][0]


def test_bytes_are_tracked(engine: Any, tmp_path: Path) -> None:
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("dim.b", scd=2, keys=["k"], sequence_by="at", surrogate_key="sk")
    for at, value in ((1, b"\xff"), (2, b"\xff"), (3, b"\xfe")):
        store.merge_to_entity("dim.b", pa.table({"k": [b"\x80"], "v": [value], "at": [at]}))
    found = store.engine.to_reader(store.read_entity("dim.b")).read_all().to_pylist()
    assert sorted((row["at"], row["valid_to"]) for row in found) == [(1, 3), (3, None)]


def test_a_column_that_the_history_makes_is_refused_in_a_frame(store: EntityStore) -> None:
    with pytest.raises(SchemaError, match="'valid_to'.*made by scd=2"):
        store.merge_to_entity("dim.t", pa.table({"k": [1], "at": [1], "gone": [False], "valid_to": [1]}))


@pytest.mark.parametrize(
    "declared",
    [
        {"scd": 3, "keys": ["k"]},
        {"scd": 2},
        {"scd": 1, "keys": ["k"], "track": ["v"]},
        {"scd": 2, "keys": ["Row_Hash"]},
        {"scd": 2, "keys": ["k"], "columns": {"k": "int"}, "sequence_by": "when"},
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(EntityDefinitionError):
        EntityDefinition("dim.t", **declared)


def test_a_history_is_refused_where_the_storage_keeps_none() -> None:
    entities = Entities()
    entities.entity("dim.t", scd=2, keys=["k"], provider="memory")
    with pytest.raises(EntityDefinitionError, match="'memory'"):
        App(["entities"], environ={}).mount(entities)
