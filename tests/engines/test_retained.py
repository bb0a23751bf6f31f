"""Versions that are kept no more are told apart from tables that are not there, and from damage."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from kindling_entities import CorruptTableError, DataFileMissing, EntityNotFoundError, VersionsGone
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.protocols import Table

FEED = {"delta.enableChangeDataFeed": "true"}
ALL_GONE = MaintenancePolicy(retention_hours=0)


def numbers(*values: int) -> pa.Table:
    return pa.table({"n": list(values)})


def count(engine: Any, frame: Any) -> int:
    return engine.to_reader(frame).read_all().num_rows


def clean(table: Table, before: int) -> None:
    """Remove the commits before a version, which has a checkpoint."""
    for version in range(before):
        (Path(table.location) / "_delta_log" / f"{version:020d}.json").unlink()


@pytest.fixture
def cleaned(engine: Any, table: Table) -> Table:
    table = dataclasses.replace(table, properties=FEED)
    for number in range(5):
        engine.append(table, numbers(number))
    DeltaTable(table.location).create_checkpoint()
    clean(table, 4)
    engine.append(table, numbers(5))
    return table


def test_versions_whose_log_was_cleaned_are_gone(engine: Any, cleaned: Table) -> None:
    for read in (
        lambda: engine.read(cleaned, version=1),
        lambda: engine.read_changes(cleaned, 0, 5),
        lambda: engine.read_appends(cleaned, 0, 5),
        lambda: engine.commits(cleaned, 0),
    ):
        with pytest.raises(VersionsGone, match="oldest version that can still be read is 4") as found:
            read()
        assert (found.value.entity_id, found.value.oldest) == ("test.t", 4)
        assert found.value.wanted[0] == 1
    assert count(engine, engine.read(cleaned, version=4)) == 5
    assert count(engine, engine.read_changes(cleaned, 4, 5)) == 1
    assert count(engine, engine.read_appends(cleaned, 4, 5)) == 1
    assert [one.version for one in engine.commits(cleaned)] == [4, 5]


@pytest.fixture
def vacuumed(engine: Any, table: Table) -> Table:
    """Versions 0 to 4 written, compacted as 5, and vacuumed."""
    for number in range(5):
        engine.append(table, numbers(number))
    engine.maintain(table, MaintenancePolicy(vacuum=False), dry_run=False)
    engine.maintain(table, dataclasses.replace(ALL_GONE, compact=False), dry_run=False)
    return table


def test_versions_whose_files_were_vacuumed_are_gone(engine: Any, vacuumed: Table) -> None:
    newest = engine.versions([vacuumed])[vacuumed.entity_id]
    oldest = 5
    assert count(engine, engine.read(vacuumed, version=oldest)) == 5
    for version in (0, 3, 4):
        with pytest.raises(VersionsGone, match=rf"version {version} is kept no more") as found:
            engine.read(vacuumed, version=version)
        assert (found.value.wanted, found.value.oldest) == ((version, version), oldest)
    with pytest.raises(VersionsGone, match="removed by a vacuum") as found:
        engine.read_appends(vacuumed, 1, newest)
    assert (found.value.wanted, found.value.oldest) == ((2, newest), oldest)
    assert count(engine, engine.read(vacuumed)) == 5
    assert count(engine, engine.read_appends(vacuumed, newest, newest)) == 0


def test_changes_whose_files_were_vacuumed_are_gone(engine: Any, table: Table) -> None:
    table = dataclasses.replace(table, properties=FEED)
    engine.append(table, numbers(1, 2))
    engine.merge(table, pa.table({"n": [2], "v": ["x"]}), ["n"])
    engine.overwrite(table, pa.table({"n": [3], "v": ["y"]}))
    newest = engine.versions([table])[table.entity_id]
    engine.maintain(table, dataclasses.replace(ALL_GONE, compact=False), dry_run=False)
    with pytest.raises(VersionsGone) as found:
        count(engine, engine.read_changes(table, 0, newest))
    assert found.value.wanted == (1, newest)
    assert count(engine, engine.read(table)) == 1


def test_a_version_that_never_was_is_not_found(engine: Any, cleaned: Table) -> None:
    with pytest.raises(EntityNotFoundError, match="no version 9; the newest is 5"):
        engine.read(cleaned, version=9)


def test_a_lost_commit_is_damage(engine: Any, table: Table) -> None:
    for number in range(4):
        engine.append(table, numbers(number))
    (Path(table.location) / "_delta_log" / f"{1:020d}.json").unlink()
    with pytest.raises(CorruptTableError, match="test.t"):
        engine.read_appends(table, 0, 3)
    with pytest.raises(CorruptTableError, match="test.t"):
        engine.commits(table)


def test_a_lost_data_file_is_damage_of_the_table_and_not_its_absence(engine: Any, table: Table) -> None:
    engine.append(table, numbers(1))
    engine.append(table, numbers(2))
    min(Path(table.location).glob("*.parquet")).unlink()
    other = dataclasses.replace(table, entity_id="test.copy", location=table.location + "-copy")
    with pytest.raises(DataFileMissing, match="is not there"):
        engine.append(other, engine.read(table))
    assert not engine.exists(other)
