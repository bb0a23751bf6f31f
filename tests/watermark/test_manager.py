"""``WatermarkManager`` by itself: with a state store, with or without signals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kindling_core.signals import BlinkerSignalProvider
from kindling_core.state import StateConflict
from kindling_state.sql_store import SqlStateStore
from kindling_watermark import WatermarkManager
from tests.watermark.conftest import FEED, Job

READER, SOURCE = "silver.orders", "bronze.orders"
COMMON = {"source_entity_id": SOURCE, "reader_id": READER}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStateStore]:
    made = SqlStateStore(f"sqlite:///{tmp_path / 'state.db'}")
    yield made
    made.close()


@pytest.fixture
def told() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def manager(store: SqlStateStore, told: list[tuple[str, dict[str, Any]]]) -> WatermarkManager:
    provider = BlinkerSignalProvider(strict=True)
    made = WatermarkManager(store, provider)
    for name in WatermarkManager.EMITS:

        def hear(sender: object, name: str = name, **fields: Any) -> None:
            assert sender is made
            assert fields.items() >= COMMON.items()
            told.append((name, {key: value for key, value in fields.items() if key not in COMMON}))

        provider.create_signal(name).connect(hear, weak=False)
    return made


def names(told: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [name.removeprefix("watermark.") for name, _ in told]


def test_the_signals_are_the_nine_of_the_contract() -> None:
    assert {name.removeprefix("watermark.") for name in WatermarkManager.EMITS} == {
        "before_get", "watermark_missing", "watermark_found", "before_save", "after_save", "save_failed",
        "watermark_advanced", "watermark_reset", "version_changed",
    }  # fmt: skip


def test_it_works_without_signals(store: SqlStateStore) -> None:
    manager = WatermarkManager(store)
    assert manager.get_watermark(SOURCE, READER) is None
    manager.save_watermark(SOURCE, READER, 3)
    found = manager.get_watermark(SOURCE, READER)
    assert found is not None
    assert found.version == 3
    assert WatermarkManager(store).get_watermark(SOURCE, "another") is None


def test_what_is_looked_up_is_told(manager: WatermarkManager, told: list[tuple[str, dict[str, Any]]]) -> None:
    manager.get_watermark(SOURCE, READER)
    saved = manager.save_watermark(SOURCE, READER, 3)
    manager.get_watermark(SOURCE, READER)
    assert names(told) == [
        "before_get", "watermark_missing", "before_save", "after_save", "before_get", "watermark_found",
    ]  # fmt: skip
    assert told[-1][1].items() >= {"version": 3, "saved_at": saved.saved_at}.items()
    before, after = told[2][1], told[3][1]
    assert (before["old_version"], before["new_version"]) == (None, 3)
    assert before["operation_id"] == after["operation_id"]


def test_a_reset_is_told_with_its_reason(manager: WatermarkManager, told: list[tuple[str, dict[str, Any]]]) -> None:
    manager.save_watermark(SOURCE, READER, 3)
    manager.reset_watermark(SOURCE, READER, reason="the source was cleaned")
    assert manager.get_watermark(SOURCE, READER) is None
    fields = dict(told)["watermark.watermark_reset"]
    assert (fields["old_version"], fields["new_version"], fields["reason"]) == (3, None, "the source was cleaned")
    manager.reset_watermark(SOURCE, READER, 1)
    found = manager.get_watermark(SOURCE, READER)
    assert found is not None
    assert found.version == 1


def test_a_save_that_somebody_else_was_quicker_with_is_told_and_raised(
    store: SqlStateStore, manager: WatermarkManager, told: list[tuple[str, dict[str, Any]]]
) -> None:
    def overtake(sender: object, **fields: Any) -> None:
        WatermarkManager(store).save_watermark(SOURCE, READER, 9)

    provider = manager._signal_provider
    assert provider is not None
    provider.create_signal("watermark.before_save").connect(overtake, weak=False)
    with pytest.raises(StateConflict):
        manager.save_watermark(SOURCE, READER, 3)
    assert names(told) == ["before_save", "save_failed"]
    assert told[-1][1].items() >= {"new_version": 3, "error_type": "StateConflict"}.items()
    found = WatermarkManager(store).get_watermark(SOURCE, READER)
    assert found is not None
    assert found.version == 9


def test_changes_since_the_watermark_are_read_and_the_watermark_stays(job: Job) -> None:
    job.entities.entity(SOURCE, write_mode="merge", keys=["id"], properties=FEED)
    job.merge(SOURCE, id=[1], v=[1])
    manager = WatermarkManager(job.manager.records._store)  # type: ignore[attr-defined]
    whole = manager.read_changes(SOURCE, READER, job.store)
    assert (whole.start_version, whole.end_version, whole.frame.count()) == (None, 0, 1)
    manager.save_watermark(SOURCE, READER, whole.end_version)
    job.merge(SOURCE, id=[1, 2], v=[2, 2])
    changes = manager.read_changes(SOURCE, READER, job.store)
    rows = job.store.engine.to_reader(changes.frame.select("id", "_change_type")).read_all()
    assert sorted(zip(*rows.to_pydict().values(), strict=True)) == [
        (1, "update_postimage"), (1, "update_preimage"), (2, "insert"),
    ]  # fmt: skip
    assert (changes.start_version, changes.end_version) == (0, 1)
    found = manager.get_watermark(SOURCE, READER)
    assert found is not None
    assert found.version == 0
    manager.save_watermark(SOURCE, READER, 1)
    assert manager.read_changes(SOURCE, READER, job.store).frame.count() == 0
