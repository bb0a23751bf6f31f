"""Every engine tells the same things: one script of writes, good and bad, and the signals that it must send."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core.signals import BlinkerSignalProvider
from kindling_entities import (
    DataEntityManager,
    EntityError,
    EntityStore,
    Transaction,
    expect_or_drop,
    expect_or_fail,
)

# Differ from run to run, or (the text of an error) from engine to engine; that they are there is checked.
VARYING = ("operation_id", "timestamp", "duration_seconds", "error", "location")


@pytest.fixture
def heard() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def store(engine: Any, tmp_path: Path, heard: list[tuple[str, dict[str, Any]]]) -> EntityStore:
    provider = BlinkerSignalProvider(strict=True)
    store = EntityStore(DataEntityManager(provider), engine, "lake", tmp_path)

    def hear(sender: object, signal_name: str, **fields: Any) -> None:
        assert all(fields.get(name) is not None for name in VARYING if name in fields)
        told = {name: value for name, value in fields.items() if name not in (*VARYING, "entity_id")}
        heard.append((signal_name.removeprefix("entity."), told))

    provider.on("entity.*", hear)
    return store


def numbers(*values: int | None, **more: list[Any]) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64()), **more})


def written(name: str, mode: str, rows: int, old: int | None, new: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"before_{name}", {"mode": mode}),
        (f"after_{name}", {"rows_written": rows, "version": new}),
        ("version_updated", {"old_version": old, "new_version": new}),
    ]


def test_writes_appends_and_repeats(store: EntityStore, heard: list[Any]) -> None:
    store.manager.register_entity("t.a")
    store.write_to_entity("t.a", numbers(1, 2))
    assert heard == written("write", "overwrite", 2, None, 0)
    heard.clear()
    store.append_to_entity("t.a", numbers(3), transaction=Transaction("p", 1))
    assert heard == written("append", "append", 1, 0, 1)
    heard.clear()
    store.append_to_entity("t.a", numbers(3), transaction=Transaction("p", 1))
    assert [name for name, _ in heard] == ["before_append", "after_append"]
    heard.clear()
    store.append_to_entity("t.a", numbers(4, x=["y"]))
    changed = ("schema_changed", {"added": ["x"], "removed": [], "changed": []})
    before, after, moved = written("append", "append", 1, 1, 2)
    assert heard == [before, after, changed, moved]
    heard.clear()
    store.write_to_entity("t.a", pa.table({"n": ["text"]}))
    assert [one for one in heard if one[0] == "schema_changed"] == [
        ("schema_changed", {"added": [], "removed": ["x"], "changed": ["n"]})
    ]


def test_merges(store: EntityStore, heard: list[Any]) -> None:
    store.manager.register_entity("t.m", keys=["n"])
    store.merge_to_entity("t.m", numbers(1, 2, v=["a", "b"]))
    store.merge_to_entity("t.m", numbers(2, 3, v=["B", "c"]))
    keys = {"merge_keys": ["n"]}
    assert heard == [
        ("before_merge", keys),
        ("after_merge", {**keys, "rows_inserted": 2, "rows_updated": 0, "rows_deleted": 0, "version": 0}),
        ("version_updated", {"old_version": None, "new_version": 0}),
        ("before_merge", keys),
        ("after_merge", {**keys, "rows_inserted": 1, "rows_updated": 1, "rows_deleted": 0, "version": 1}),
        ("version_updated", {"old_version": 0, "new_version": 1}),
    ]


@pytest.mark.parametrize(
    ("write", "signals", "error_type"),
    [
        (
            lambda store: store.merge_to_entity("t.two", numbers(1, 1, more=[1, 2])),
            ("before_merge", "merge_failed"),
            "MergeKeyError",
        ),
        (lambda store: store.merge_to_entity("t.f", numbers(None)), ("before_merge", "merge_failed"), "MergeKeyError"),
        (
            lambda store: store.append_to_entity("t.f", pa.table({"n": ["text"]})),
            ("before_append", "append_failed"),
            "SchemaError",
        ),
        (
            lambda store: store.write_to_entity("t.f", numbers(1, more=[1])),
            ("before_write", "write_failed"),
            "SchemaError",
        ),
        (
            lambda store: store.write("t.checked", numbers(-1), None),
            ("before_write", "expectation_evaluated", "write_failed"),
            "ExpectationError",
        ),
    ],
)
def test_failures(
    store: EntityStore,
    heard: list[Any],
    write: Callable[[EntityStore], object],
    signals: tuple[str, ...],
    error_type: str,
) -> None:
    store.manager.register_entity("t.f", keys=["n"], schema_policy="fail")
    store.manager.register_entity("t.two", keys=["n"])
    store.manager.register_entity("t.checked", expectations=[expect_or_fail("positive", "n > 0")])
    store.write_to_entity("t.f", numbers(7))
    heard.clear()
    with pytest.raises(EntityError):
        write(store)
    assert tuple(name for name, _ in heard) == signals
    assert heard[-1][1]["error_type"] == error_type


def test_tables_expectations_and_upkeep(store: EntityStore, heard: list[Any]) -> None:
    store.manager.register_entity(
        "t.e",
        columns={"n": "bigint"},
        expectations=[expect_or_drop("positive", "n > 0")],
        maintenance={"vacuum": False},
    )
    assert store.ensure_entity_table("t.e")
    assert not store.ensure_entity_table("t.e")
    store.append_to_entity("t.e", numbers(1, -1))
    store.append_to_entity("t.e", numbers(2))
    store.tables.maintain("t.e", dry_run=False)
    evaluated = {"expectation": "positive", "action": "drop", "kind": "condition"}
    first, second = written("append", "append", 1, 0, 1), written("append", "append", 1, 1, 2)
    assert heard[:-1] == [
        ("before_ensure_table", {}),
        ("after_ensure_table", {"created": True}),
        ("before_ensure_table", {}),
        ("after_ensure_table", {"created": False}),
        first[0],
        ("expectation_evaluated", {**evaluated, "rows_passed": 1, "rows_failed": 1}),
        *first[1:],
        second[0],
        ("expectation_evaluated", {**evaluated, "rows_passed": 1, "rows_failed": 0}),
        *second[1:],
    ]
    name, told = heard[-1]
    assert (name, told["files_written"], told["version"], told["files_removed"]) == ("maintained", 1, 3, 0)
