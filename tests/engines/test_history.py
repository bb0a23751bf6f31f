"""SCD type 2 on each engine, against a plain Python model of a history."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import Commit, DataEntityManager, EntityStore, MergeKeyError, SchemaError, Transaction
from kindling_entities.entity import EntityDefinition
from kindling_entities.errors import EntityDefinitionError

Row = tuple[int, str | None, int, int | None]


@pytest.fixture
def store(engine: Any, tmp_path: Path) -> EntityStore:
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    declared = {"scd": 2, "keys": ["k"], "sequence_by": "at", "delete_when": "gone"}
    store.manager.register_entity("dim.t", surrogate_key="sk", **declared)
    return store


def changes(*rows: tuple[int, str | None, int] | tuple[int, str | None, int, bool]) -> pa.Table:
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


def test_any_order_of_arrival_gives_the_history_of_the_events(store: EntityStore) -> None:
    """Every value differs from every other, so that no event is swallowed by an equal neighbour."""
    seed = random.Random(20131)
    moments = [(k, at, seed.random() < 0.3) for k in range(6) for at in range(8)]
    events = [(k, None if gone else f"{k}-{at}", at, gone) for k, at, gone in moments]
    wanted: list[Row] = []
    for k in range(6):
        mine = [event for event in events if event[0] == k]
        for one, following in zip(mine, [*mine[1:], None], strict=True):
            if not one[3]:
                wanted.append((k, one[1], one[2], None if following is None else following[2]))
    # Deletes are remembered as the end of a row, so they come with or after the row that they end.
    seed.shuffle(rows := [event for event in events if not event[3]])
    for start in range(0, len(rows), 9):
        store.merge_to_entity("dim.t", changes(*rows[start : start + 9]))
    store.merge_to_entity("dim.t", changes(*(event for event in events if event[3])))
    assert history(store) == sorted(wanted)


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
    info = store.describe("dim.t")
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
        {"scd": 2, "keys": ["k"], "provider": "memory"},
        {"scd": 2, "keys": ["k"], "columns": {"k": "int"}, "sequence_by": "when"},
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(EntityDefinitionError):
        EntityDefinition("dim.t", **declared)
