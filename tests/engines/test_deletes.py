"""A merge that deletes keys which are given beside its rows, in the same commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core.signals import BlinkerSignalProvider
from kindling_entities import (
    CommitOptions,
    DataEntityManager,
    EntityStore,
    MergeKeyError,
    Transaction,
    UnsupportedError,
    expect_or_fail,
)

ROWS = pa.table({"k": [1, 2, 3], "v": ["a", "b", "c"]})


@pytest.fixture
def store(engine: Any, tmp_path: Path) -> EntityStore:
    return EntityStore(DataEntityManager(BlinkerSignalProvider(strict=True)), engine, "lake", tmp_path)


def rows(store: EntityStore, columns: str = "k,v") -> list[Any]:
    read = store.engine.to_reader(store.read_entity("a.t").select(*columns.split(","))).read_all()
    return sorted(tuple(row.values()) for row in read.to_pylist())


def declared(store: EntityStore, **declaration: Any) -> None:
    store.manager.register_entity("a.t", **{"write_mode": "merge", "keys": ["k"], **declaration})
    store.write_to_entity("a.t", ROWS) if declaration.get("scd") != 2 else store.merge_to_entity("a.t", ROWS)


def deleting(*keys: int, **more: Any) -> CommitOptions:
    return CommitOptions(deletes=pa.table({"k": pa.array(keys, pa.int64()), **more}))


def test_keys_are_deleted_and_rows_merged_in_one_commit(store: EntityStore) -> None:
    declared(store)
    commit = store.merge_to_entity("a.t", pa.table({"k": [1, 4], "v": ["A", "d"]}), options=deleting(2, 9))
    assert rows(store) == [(1, "A"), (3, "c"), (4, "d")]
    assert (commit.rows_inserted, commit.rows_updated, commit.rows_deleted) == (1, 1, 1)
    assert commit.version == 1
    assert store.read_entity("a.t").columns == ["k", "v"]


def test_a_key_that_the_rows_have_is_not_deleted(store: EntityStore) -> None:
    declared(store)
    store.merge_to_entity("a.t", pa.table({"k": [1], "v": ["A"]}), options=deleting(1, 2, 2))
    assert rows(store) == [(1, "A"), (3, "c")]


def test_a_repeated_transaction_deletes_nothing_again(store: EntityStore) -> None:
    declared(store)
    once = Transaction("pipe", 1)
    store.merge_to_entity("a.t", ROWS.slice(0, 0), transaction=once, options=deleting(1))
    store.merge_to_entity("a.t", ROWS)
    assert store.merge_to_entity("a.t", ROWS.slice(0, 0), transaction=once, options=deleting(1)).skipped
    assert rows(store) == [(1, "a"), (2, "b"), (3, "c")]


def test_declared_columns_may_be_missing_in_what_deletes(store: EntityStore) -> None:
    declared(store, columns={"k": "bigint", "v": "string"}, schema_policy="fail")
    store.merge_to_entity("a.t", ROWS.slice(0, 1), options=deleting(3))
    assert rows(store) == [(1, "a"), (2, "b")]


def test_expectations_are_of_the_rows_alone(store: EntityStore) -> None:
    declared(store, expectations=[expect_or_fail("has v", "v is not null")])
    store.merge_to_entity("a.t", ROWS.slice(0, 1), options=deleting(3))
    assert rows(store) == [(1, "a"), (2, "b")]


def test_an_entity_that_is_overwritten_can_be_merged_into(store: EntityStore) -> None:
    declared(store, write_mode="overwrite")
    store.write("a.t", ROWS.slice(0, 1), "merge", options=deleting(3))
    assert rows(store) == [(1, "a"), (2, "b")]


def test_a_declared_delete_still_deletes(store: EntityStore) -> None:
    declared(store, delete_when="v = 'gone'")
    store.merge_to_entity("a.t", pa.table({"k": [1], "v": ["gone"]}), options=deleting(3))
    assert rows(store) == [(2, "b")]


def test_a_history_ends_where_its_key_is_deleted(store: EntityStore) -> None:
    declared(store, scd=2)
    store.merge_to_entity("a.t", pa.table({"k": [1], "v": ["A"]}), options=deleting(3))
    assert rows(store, "k,v,is_current") == [
        (1, "A", True),
        (1, "a", False),
        (2, "b", True),
        (3, "c", False),
    ]


def test_without_rows_and_deletes_nothing_is_committed_where_that_is_wanted(store: EntityStore) -> None:
    declared(store)
    none = ROWS.slice(0, 0)
    gone = pa.table({"k": pa.array([], pa.int64())})
    assert store.merge_to_entity("a.t", none, options=CommitOptions(skip_empty=True, deletes=gone)).empty
    assert not store.merge_to_entity("a.t", none, options=CommitOptions(skip_empty=True, deletes=ROWS)).empty
    assert rows(store) == []


def test_what_deletes_needs_the_keys(store: EntityStore) -> None:
    declared(store)
    with pytest.raises(MergeKeyError, match="'k'"):
        store.merge_to_entity("a.t", ROWS, options=CommitOptions(deletes=pa.table({"v": ["a"]})))


def test_only_a_merge_deletes(store: EntityStore) -> None:
    declared(store)
    with pytest.raises(UnsupportedError, match="only a merge does"):
        store.append_to_entity("a.t", ROWS, options=deleting(1))


def test_storage_that_cannot_refuses_by_name(store: EntityStore) -> None:
    store.manager.register_entity("a.t", provider="memory", write_mode="merge", keys=["k"])
    with pytest.raises(UnsupportedError, match="cannot commit with deletes"):
        store.merge_to_entity("a.t", ROWS, options=deleting(1))
