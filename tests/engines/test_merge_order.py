"""Merges by sequence, deletes by condition and full snapshots on each engine, and in memory."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import Commit, DataEntityManager, EntityError, EntityStore, MergeKeyError, SchemaError
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import EntityDefinitionError, UnsupportedError
from kindling_entities.kinds import StorageKind
from kindling_entities.providers.memory import MemoryProvider

SCHEMA = pa.schema({"k": pa.int64(), "v": pa.string(), "at": pa.int64(), "gone": pa.bool_()})


def make_store(engine: Any, folder: Path, provider: str = "delta", **declared: Any) -> EntityStore:
    store = EntityStore(DataEntityManager(), engine, "lake", folder)
    store.manager.register_entity("t.m", write_mode="merge", keys=["k"], provider=provider, **declared)
    return store


def rows_of(*rows: tuple[Any, ...]) -> pa.Table:
    full = [(*row, False) if len(row) == 3 else row for row in rows]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in full], SCHEMA)


def stored(store: EntityStore) -> list[tuple[int, str | None, int]]:
    found = store.engine.to_reader(store.read_entity("t.m")).read_all().to_pylist()
    return sorted((row["k"], row["v"], row["at"]) for row in found)


def figures(commit: Commit) -> tuple[int | None, int | None, int | None]:
    return commit.rows_inserted, commit.rows_updated, commit.rows_deleted


@pytest.fixture(params=["delta", "memory"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_older_row_never_replaces_a_newer_one(engine: Any, tmp_path: Path, provider: str) -> None:
    store = make_store(engine, tmp_path, provider, sequence_by="at")
    assert figures(store.merge_to_entity("t.m", rows_of((1, "march", 3), (2, "march", 3)))) == (2, 0, 0)
    assert figures(store.merge_to_entity("t.m", rows_of((1, "february", 2), (3, "february", 2)))) == (1, 0, 0)
    assert stored(store) == [(1, "march", 3), (2, "march", 3), (3, "february", 2)]
    # The same moment again is a correction.
    assert figures(store.merge_to_entity("t.m", rows_of((2, "corrected", 3)))) == (0, 1, 0)
    assert stored(store) == [(1, "march", 3), (2, "corrected", 3), (3, "february", 2)]


def test_of_several_rows_of_a_key_in_one_frame_the_newest_wins(engine: Any, tmp_path: Path, provider: str) -> None:
    store = make_store(engine, tmp_path, provider, sequence_by="at")
    store.merge_to_entity("t.m", rows_of((1, "b", 2), (1, "c", 3), (1, "a", 1), (2, "x", 1)))
    assert stored(store) == [(1, "c", 3), (2, "x", 1)]


def test_different_rows_of_one_key_and_moment_are_refused_by_name(engine: Any, tmp_path: Path, provider: str) -> None:
    store = make_store(engine, tmp_path, provider, sequence_by="at")
    with pytest.raises(MergeKeyError, match="k=1, sequence=2"):
        store.merge_to_entity("t.m", rows_of((1, "a", 2), (1, "b", 2)))
    with pytest.raises(MergeKeyError, match="null.*k=1, sequence=None"):
        store.merge_to_entity("t.m", rows_of((1, "a", None)))
    assert not store.check_entity_exists("t.m")


@pytest.mark.parametrize("declared", [{}, {"sequence_by": "at"}, {"delete_when": "gone"}], ids=str)
def test_exact_repeats_in_one_frame_are_one_row(
    engine: Any, tmp_path: Path, provider: str, declared: dict[str, Any]
) -> None:
    store = make_store(engine, tmp_path, provider, **declared)
    for _ in range(2):
        store.merge_to_entity("t.m", rows_of((1, "a", 1), (2, None, 1), (2, None, 1), (2, None, 1)))
        assert stored(store) == [(1, "a", 1), (2, None, 1)]
    with pytest.raises(MergeKeyError, match="k=2"):
        store.merge_to_entity("t.m", rows_of((2, "a", 1), (2, "b", 1)))


def test_a_row_may_delete_its_key(engine: Any, tmp_path: Path, provider: str) -> None:
    store = make_store(engine, tmp_path, provider, delete_when="gone")
    store.merge_to_entity("t.m", rows_of((1, "a", 1), (2, "b", 1), (3, None, 1, True)))
    assert stored(store) == [(1, "a", 1), (2, "b", 1)]
    commit = store.merge_to_entity("t.m", rows_of((1, None, 2, True), (2, "B", 2), (4, None, 2, True), (5, "e", 2)))
    assert figures(commit) == (1, 1, 1)
    assert stored(store) == [(2, "B", 2), (5, "e", 2)]
    # Without a sequence what arrives is newer.
    store.merge_to_entity("t.m", rows_of((1, "back", 0)))
    assert stored(store) == [(1, "back", 0), (2, "B", 2), (5, "e", 2)]


def test_a_delete_is_remembered_before_and_after_its_row(engine: Any, tmp_path: Path, provider: str) -> None:
    store = make_store(engine, tmp_path, provider, sequence_by="at", delete_when="gone")
    store.merge_to_entity("t.m", rows_of((1, None, 5, True), (2, "b", 1)))
    store.merge_to_entity("t.m", rows_of((2, None, 5, True)))
    assert stored(store) == []
    commit = store.merge_to_entity("t.m", rows_of((1, "late", 3), (2, "late", 4), (3, "c", 1)))
    assert figures(commit) == (1, 0, 0)
    assert stored(store) == [(3, "c", 1)]
    store.merge_to_entity("t.m", rows_of((1, "new", 6)))
    store.merge_to_entity("t.m", rows_of((1, None, 4, True), (3, None, 0, True)))
    assert stored(store) == [(1, "new", 6), (3, "c", 1)]


def test_any_order_and_batching_gives_the_same_rows(engine: Any, tmp_path: Path, provider: str) -> None:
    chance = random.Random(1312)
    for turn in range(3):
        store = make_store(engine, tmp_path / str(turn), provider, sequence_by="at", delete_when="gone")
        changes = [
            (k, None if gone else f"{k}-{at}", at, gone)
            for k in range(5)
            for at in range(6)
            if chance.random() < 0.6
            for gone in [chance.random() < 0.4]
        ]
        newest = {k: (k, v, at, gone) for k, v, at, gone in sorted(changes, key=lambda one: one[2])}
        chance.shuffle(changes)
        while changes:
            size = chance.randint(1, len(changes))
            store.merge_to_entity("t.m", rows_of(*changes[:size]))
            changes = changes[size:]
        assert stored(store) == sorted(row[:3] for row in newest.values() if not row[3])


def test_a_full_snapshot_deletes_what_it_lacks(engine: Any, tmp_path: Path, provider: str) -> None:
    store = make_store(engine, tmp_path, provider, missing_rows="delete")
    store.merge_to_entity("t.m", rows_of((1, "a", 1), (2, "b", 1)))
    assert figures(store.merge_to_entity("t.m", rows_of((2, "B", 2), (3, "c", 2)))) == (1, 1, 1)
    assert stored(store) == [(2, "B", 2), (3, "c", 2)]
    with pytest.raises(EntityError, match="no rows, and missing_rows='delete' would delete every row"):
        store.merge_to_entity("t.m", rows_of())
    assert stored(store) == [(2, "B", 2), (3, "c", 2)]


def test_a_snapshot_may_say_what_is_deleted_besides(engine: Any, tmp_path: Path, provider: str) -> None:
    store = make_store(engine, tmp_path, provider, missing_rows="delete", delete_when="gone")
    store.merge_to_entity("t.m", rows_of((1, "a", 1), (2, "b", 1), (3, "c", 1)))
    store.merge_to_entity("t.m", rows_of((2, "b", 2, True), (3, "C", 2)))
    assert stored(store) == [(3, "C", 2)]


def test_an_overwrite_forgets_deletes(engine: Any, tmp_path: Path, provider: str) -> None:
    store = make_store(engine, tmp_path, provider, sequence_by="at", delete_when="gone")
    store.merge_to_entity("t.m", rows_of((1, None, 5, True), (2, "b", 1)))
    store.write_to_entity("t.m", rows_of((2, "b", 1)))
    store.merge_to_entity("t.m", rows_of((1, "a", 3)))
    assert stored(store) == [(1, "a", 3), (2, "b", 1)]


def test_a_table_without_the_sequence_gets_it(engine: Any, tmp_path: Path, provider: str) -> None:
    store = make_store(engine, tmp_path, provider)
    store.merge_to_entity("t.m", pa.table({"k": [1, 2], "v": ["a", "b"]}))
    store.manager.register_entity("t.o", write_mode="merge", keys=["k"], provider=provider, sequence_by="at")
    with pytest.raises(SchemaError, match="'at'"):
        store.merge_to_entity("t.o", pa.table({"k": [1]}))
    if provider == "delta":
        ordered = make_store(engine, tmp_path, provider, sequence_by="at")
        ordered.merge_to_entity("t.m", pa.table({"k": [1], "v": ["A"], "at": [1]}))
        ordered.merge_to_entity("t.m", pa.table({"k": [1, 2], "v": ["old", "B"], "at": [0, 0]}))
        assert stored(ordered) == [(1, "A", 1), (2, "B", 0)]


def test_another_writers_delete_is_seen_although_no_row_tells_of_it(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(engine, tmp_path, sequence_by="at", delete_when="gone")
    store.merge_to_entity("t.m", rows_of((9, "z", 1), (8, None, 1, True)))
    merge = engine.merge

    def merge_late(table: Any, *arguments: Any, **options: Any) -> Commit:
        monkeypatch.setattr(engine, "merge", merge)
        # After the deletes that are known were read.
        store.merge_to_entity("t.m", rows_of((1, None, 5, True)))
        return merge(table, *arguments, **options)

    monkeypatch.setattr(engine, "merge", merge_late)
    store.merge_to_entity("t.m", rows_of((1, "late", 3)))
    assert stored(store) == [(9, "z", 1)]


def test_maintenance_takes_the_remembered_deletes_along(engine: Any, tmp_path: Path) -> None:
    store = make_store(engine, tmp_path, sequence_by="at", delete_when="gone")
    for key in range(3):
        store.merge_to_entity("t.m", rows_of((key, None, 5, True), (key + 10, "a", 1)))
    done = store.tables.maintain("t.m", dry_run=False)
    assert done.files_compacted == 6
    store.merge_to_entity("t.m", rows_of((0, "late", 3), (1, "new", 6)))
    assert stored(store) == [(1, "new", 6), (10, "a", 1), (11, "a", 1), (12, "a", 1)]


def test_another_kind_of_storage_that_knows_no_order_is_refused(engine: Any, tmp_path: Path) -> None:
    unordered = StorageKind("unordered", MemoryProvider)
    store = EntityStore(DataEntityManager(kinds={"unordered": unordered}), engine, "lake", tmp_path)
    store.manager.register_entity("t.m", write_mode="merge", keys=["k"], provider="unordered", sequence_by="at")
    with pytest.raises(UnsupportedError, match="'unordered' knows no sequence_by"):
        store.merge_to_entity("t.m", rows_of((1, "a", 1)))


def test_names_that_a_merge_uses_itself_are_refused(engine: Any, tmp_path: Path) -> None:
    store = make_store(engine, tmp_path, sequence_by="at")
    with pytest.raises(SchemaError, match="'_Kindling_gone'"):
        store.merge_to_entity("t.m", pa.table({"k": [1], "at": [1], "_Kindling_gone": [1]}))


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"write_mode": "append", "sequence_by": "at"}, "sequence_by belongs to a merge"),
        ({"delete_when": "gone"}, "delete_when belongs to a merge"),
        ({"write_mode": "merge", "keys": ["k"], "missing_rows": "close"}, "'close' belongs to a history"),
        ({"scd": 2, "keys": ["k"], "missing_rows": "delete"}, "use 'close'"),
        ({"write_mode": "append", "missing_rows": "delete"}, "does not go with write_mode 'append'"),
        ({"write_mode": "merge", "keys": ["k"], "missing_rows": "drop"}, "missing_rows is 'drop'"),
        ({"scd": 1, "keys": ["k"], "sequence_by": "at", "missing_rows": "delete"}, "does not go with sequence_by"),
        ({"scd": 1, "keys": ["k"], "sequence_by": "k"}, "is one of its keys"),
        ({"scd": 1, "keys": ["k"], "sequence_by": "a", "columns": {"k": "int"}}, "'a' is not one of its columns"),
        ({"scd": 2, "keys": ["k"], "surrogate_key": "Valid_To"}, "surrogate_key 'Valid_To' has the name"),
        ({"scd": 2, "keys": ["k"], "columns": {"k": "int", "Valid_From": "int"}}, "'Valid_From'.*Rename"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_declaration_that_cannot_work_is_refused(declared: dict[str, Any], told: str) -> None:
    with pytest.raises(EntityDefinitionError, match=told):
        EntityDefinition("t.m", **declared)
