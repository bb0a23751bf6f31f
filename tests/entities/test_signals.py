"""Each ``entity.*`` signal, as a receiver of a job sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App
from kindling_entities import Entities, EntityStore
from kindling_entities.errors import EntityError, SchemaError
from kindling_entities.providers.memory import MemoryProvider


class Heard(list[tuple[str, dict[str, Any]]]):
    def __call__(self, sender: object, signal_name: str, **fields: Any) -> None:
        self.append((signal_name.removeprefix("entity."), fields))

    def names(self) -> list[str]:
        return [name for name, _ in self]

    def last(self, name: str) -> dict[str, Any]:
        return [fields for heard, fields in self if heard == name][-1]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[tuple[EntityStore, Heard]]:
    entities = Entities()
    entities.entity("test.t")
    entities.entity("test.strict", schema_policy="fail")
    entities.entity("test.ready", columns={"n": "bigint"})
    heard = Heard()
    with App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={}) as app:
        app.mount(entities)
        app.signals.on("entity.*", heard)
        yield app.service(EntityStore), heard


@pytest.mark.parametrize(("operation", "method"), [("write", "write_to_entity"), ("append", "append_to_entity")])
def test_a_write_and_an_append_tell_mode_rows_and_version(
    job: tuple[EntityStore, Heard], operation: str, method: str
) -> None:
    store, heard = job
    getattr(store, method)("test.t", pa.table({"n": [1]}))
    getattr(store, method)("test.t", pa.table({"n": [2, 3]}))
    before, after = heard.last(f"before_{operation}"), heard.last(f"after_{operation}")
    assert before["operation_id"] == after["operation_id"]
    assert before["mode"] in ("overwrite", "append")
    assert (after["rows_written"], after["version"]) == (2, 1)
    assert after["duration_seconds"] >= 0
    moved = heard.last("version_updated")
    assert (moved["entity_id"], moved["old_version"], moved["new_version"]) == ("test.t", 0, 1)


@pytest.mark.parametrize(("operation", "method"), [("write", "write_to_entity"), ("append", "append_to_entity")])
def test_a_refused_write_fails_once_and_changes_nothing(
    job: tuple[EntityStore, Heard], operation: str, method: str
) -> None:
    store, heard = job
    store.write_to_entity("test.strict", pa.table({"n": [1]}))
    heard.clear()
    with pytest.raises(SchemaError):
        getattr(store, method)("test.strict", pa.table({"n": [1], "more": [2]}))
    assert heard.names() == [f"before_{operation}", f"{operation}_failed"]
    assert heard.last(f"{operation}_failed")["error_type"] == "SchemaError"
    assert store.get_entity_version("test.strict") == 0


def test_a_new_column_is_told(job: tuple[EntityStore, Heard]) -> None:
    store, heard = job
    store.append_to_entity("test.t", pa.table({"n": [1]}))
    store.append_to_entity("test.t", pa.table({"n": [1], "more": ["x"]}))
    changed = heard.last("schema_changed")
    assert list(changed["added"]) == ["more"]
    assert not changed["changed"]


def test_ensuring_a_table_tells_whether_it_was_made(job: tuple[EntityStore, Heard]) -> None:
    store, heard = job
    assert [store.ensure_entity_table("test.ready") for _ in range(2)] == [True, False]
    assert heard.names().count("before_ensure_table") == 2
    told = [fields["created"] for name, fields in heard if name == "after_ensure_table"]
    assert told == [True, False]
    assert heard.last("after_ensure_table")["location"].endswith("test/ready")


def test_ensuring_a_table_without_columns_fails(job: tuple[EntityStore, Heard]) -> None:
    store, heard = job
    with pytest.raises(EntityError):
        store.ensure_entity_table("test.t")
    assert heard.names() == ["before_ensure_table", "ensure_failed"]


def test_a_long_error_text_shows_no_part_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secret, heard = "swordfish-99", []

    def broken(*given: object) -> bool:
        raise ValueError(secret * 2_000)

    monkeypatch.setattr(MemoryProvider, "ensure", broken)
    entities = Entities()
    entities.entity("t.a", provider="memory", columns={"n": "int"})
    app = App(["entities"], {"job": {"name": "${DB_PASSWORD}"}}, environ={"DB_PASSWORD": secret})
    app.mount(entities)
    with app:
        app.signals.on("entity.ensure_failed", lambda sender, error, **fields: heard.append(error))
        with pytest.raises(ValueError, match=secret):
            app.service(EntityStore).ensure_entity_table("t.a")
    assert heard == ["***"]
