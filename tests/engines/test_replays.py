"""A write that committed and whose mark was lost is repeated: nothing changes, whatever its rows would meet now."""

from __future__ import annotations

import shutil
from collections.abc import Callable
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
    Transaction,
    expect_or_drop,
    expect_or_fail,
    expect_or_quarantine,
    unique,
)

WRITE = Transaction("first run/a pipe", 1)
ROWS = pa.table({"k": [1, 2], "v": ["a", "b"], "at": [1, 1]})
# What the pipe makes of its inputs when it runs again: a row that breaks each rule, and others.
AGAIN = pa.table({"k": [1, 3, 3], "v": ["changed", "new", "newer"], "at": [2, -1, -1]})

Write = Callable[[EntityStore, str, pa.Table], Commit]


@pytest.fixture
def store(engine: Any, tmp_path: Path) -> EntityStore:
    return EntityStore(DataEntityManager(BlinkerSignalProvider(strict=True)), engine, "lake", tmp_path)


def append(store: EntityStore, name: str, rows: pa.Table) -> Commit:
    return store.append_to_entity(name, rows, transaction=WRITE)


def overwrite(store: EntityStore, name: str, rows: pa.Table) -> Commit:
    return store.write_to_entity(name, rows, transaction=WRITE)


def merge(store: EntityStore, name: str, rows: pa.Table) -> Commit:
    return store.merge_to_entity(name, rows, transaction=WRITE)


def content(store: EntityStore, name: str) -> list[Any]:
    if not store.check_entity_exists(name):
        return []
    return sorted(map(str, store.engine.to_reader(store.read_entity(name)).read_all().to_pylist()))


def versions(store: EntityStore, name: str) -> dict[str, Any]:
    names = [name, f"{name}__quarantine"]
    return {one: store.get_entity_version(one) for one in names if store.check_entity_exists(one)}


EXPECTATIONS = {
    "none": list,
    "unique": lambda: [unique("k", action="fail")],
    "fail": lambda: [expect_or_fail("at", "at > 0")],
    "drop": lambda: [expect_or_drop("at", "at > 0")],
    "quarantine": lambda: [expect_or_quarantine("at", "at > 0"), unique("k", action="quarantine")],
}


@pytest.mark.parametrize("kind", EXPECTATIONS)
@pytest.mark.parametrize(
    ("write", "declared"),
    [
        (append, {}),
        (overwrite, {}),
        (overwrite, {"overwrite_scope": "partitions", "partition_columns": ["k"]}),
        (merge, {"keys": ["k"]}),
        (merge, {"keys": ["k"], "sequence_by": "at", "write_mode": "merge"}),
        (merge, {"keys": ["k"], "scd": 2, "sequence_by": "at"}),
    ],
    ids=["append", "overwrite", "partitions", "merge", "newest", "history"],
)
def test_a_write_that_is_in_the_table_is_not_evaluated_again(
    store: EntityStore, kind: str, write: Write, declared: dict[str, Any]
) -> None:
    name = "t.e"
    store.manager.register_entity(name, expectations=EXPECTATIONS[kind](), **declared)
    write(store, name, ROWS)
    before, kept, newest = content(store, name), content(store, f"{name}__quarantine"), versions(store, name)
    heard: list[str] = []
    provider = BlinkerSignalProvider()
    store.manager.set_signal_provider(provider)
    provider.on("entity.*", lambda sender, signal_name, **fields: heard.append(signal_name))
    commit = write(store, name, AGAIN)
    assert (commit.skipped, commit.version, commit.expectations) == (True, newest[name], ())
    assert sum(getattr(commit, f"rows_{what}") or 0 for what in ("written", "inserted", "updated", "deleted")) == 0
    assert (content(store, name), content(store, f"{name}__quarantine")) == (before, kept)
    assert versions(store, name) == newest
    assert len(heard) == 2
    assert "entity.version_updated" not in heard


def test_a_write_that_died_between_quarantine_and_table_is_brought_to_its_end(store: EntityStore) -> None:
    store.manager.register_entity("t.e", expectations=[expect_or_quarantine("at", "at > 0")])
    mixed = pa.table({"k": [1, 2], "at": [1, -1]})
    append(store, "t.e", mixed)
    kept = content(store, "t.e__quarantine")
    assert len(kept) == 1
    # As the disk is after a kill between the two commits.
    shutil.rmtree(store.location("t.e"))
    commit = append(store, "t.e", mixed)
    assert (commit.skipped, commit.rows_written) == (False, 1)
    assert content(store, "t.e__quarantine") == kept


def test_a_transaction_that_is_not_in_the_table_is_evaluated(store: EntityStore) -> None:
    store.manager.register_entity("t.e", expectations=[unique("k", action="fail")])
    append(store, "t.e", ROWS)
    with pytest.raises(ExpectationError):
        store.append_to_entity("t.e", AGAIN, transaction=Transaction(WRITE.app_id, 2))
