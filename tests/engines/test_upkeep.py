"""Maintenance and migration on each engine: the rows stay, the files and the schema change."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import EntityDefinition, EntityDefinitionError, EntityNotFoundError
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.protocols import Table
from kindling_entities.write.migration import apply, compare


def rows(engine: Any, table: Table) -> list[dict[str, Any]]:
    return sorted(engine.to_reader(engine.read(table)).read_all().to_pylist(), key=str)


@pytest.fixture
def fragments(engine: Any, table: Table) -> Table:
    for number in range(3):
        engine.append(table, pa.table({"n": [number], "s": [str(number)]}))
    return table


def parquet_files(table: Table) -> set[str]:
    return {str(path) for path in Path(table.location).rglob("*.parquet") if "_delta_log" not in str(path)}


def test_a_dry_run_tells_what_it_would_do_and_changes_nothing(engine: Any, fragments: Table) -> None:
    before = parquet_files(fragments)
    told = engine.maintain(fragments, MaintenancePolicy(), dry_run=True)
    assert told.files_compacted == len(before) >= 3
    assert told.version == 2
    assert parquet_files(fragments) == before


def test_compaction_makes_one_file_of_many_and_keeps_the_rows(engine: Any, fragments: Table) -> None:
    before, small = rows(engine, fragments), len(parquet_files(fragments))
    done = engine.maintain(fragments, MaintenancePolicy(vacuum=False), dry_run=False)
    assert (done.files_compacted, done.files_written, done.version) == (small, 1, 3)
    assert rows(engine, fragments) == before
    assert engine.describe(fragments).files == 1


def test_ordering_keeps_the_rows(engine: Any, fragments: Table) -> None:
    before = rows(engine, fragments)
    assert engine.maintain(fragments, MaintenancePolicy(order_by=("n",)), dry_run=False).files_written == 1
    assert rows(engine, fragments) == before


def test_vacuum_finds_the_leftovers_of_a_killed_write_once_they_are_old(engine: Any, fragments: Table) -> None:
    long_ago = time.time() - 30 * 86_400
    old, young = (Path(fragments.location, f"part-00000-{name}.snappy.parquet") for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half of a file")
    os.utime(old, (long_ago, long_ago))
    policy = MaintenancePolicy(compact=False)
    told = engine.maintain(fragments, policy, dry_run=True)
    assert [os.path.basename(path) for path in told.files_removed] == [old.name]
    assert old.exists()
    engine.maintain(fragments, policy, dry_run=False)
    assert not old.exists()
    assert young.exists()
    assert len(rows(engine, fragments)) == 3


def test_maintaining_what_is_not_there_is_an_error(engine: Any, table: Table) -> None:
    with pytest.raises(EntityNotFoundError):
        engine.maintain(table, MaintenancePolicy(), dry_run=False)


@pytest.mark.parametrize("declared", [{"vacum": True}, {"retention_hours": -1}, {"target_file_mb": 0}])
def test_a_wrong_policy_is_refused_where_it_is_declared(declared: dict[str, Any]) -> None:
    with pytest.raises(EntityDefinitionError, match="maintenance"):
        EntityDefinition("a.b", maintenance=declared)


def test_a_table_is_described_as_it_stands(engine: Any, fragments: Table) -> None:
    told = engine.describe(fragments)
    assert (told.version, told.rows, told.partition_columns) == (2, 3, ())
    assert told.schema.names == ["n", "s"]
    assert told.size_bytes > 0
    assert engine.describe(dataclasses.replace(fragments, location=fragments.location + "-none")) is None


def test_migration_adds_and_widens_in_one_commit_and_keeps_the_rows(engine: Any, table: Table) -> None:
    engine.overwrite(table, pa.table({"n": pa.array([1, 2], pa.int32()), "extra": ["x", None]}))
    entity = EntityDefinition("test.t", columns={"n": "bigint", "m": "string"})
    drift = compare(entity, engine.describe(table))
    assert drift.steps == ["add m string", "rewrite n from int to bigint"]
    assert apply(engine, entity, table, drift) == 1
    assert rows(engine, table) == [{"n": 1, "extra": "x", "m": None}, {"n": 2, "extra": None, "m": None}]
    assert not compare(entity, engine.describe(table)).steps


def test_migration_adds_columns_without_a_rewrite(engine: Any, fragments: Table) -> None:
    files = parquet_files(fragments)
    entity = EntityDefinition("test.t", columns={"n": "bigint", "s": "string", "m": "date"}, schema_policy="fail")
    assert apply(engine, entity, fragments, compare(entity, engine.describe(fragments))) == 3
    assert files <= parquet_files(fragments)
    assert rows(engine, fragments)[0] == {"n": 0, "s": "0", "m": None}


def test_migration_repartitions(engine: Any, fragments: Table) -> None:
    before = rows(engine, fragments)
    entity = EntityDefinition("test.t", partition_columns=("s",))
    table = dataclasses.replace(fragments, partition_columns=("s",))
    apply(engine, entity, table, compare(entity, engine.describe(table)))
    assert engine.describe(table).partition_columns == ("s",)
    assert rows(engine, table) == before


def test_migration_never_guesses_a_narrower_type_or_a_rename(engine: Any, fragments: Table) -> None:
    entity = EntityDefinition("test.t", columns={"n": "int", "text": "string"})
    drift = compare(entity, engine.describe(fragments))
    assert drift.steps == ["add text string"]
    assert "n is bigint, declared is int" in drift.conflicts[0]
    assert "text may be a new name of s" in drift.conflicts[1]


def test_migration_creates_what_is_missing(engine: Any, table: Table) -> None:
    entity = EntityDefinition("test.t", columns={"n": "int"})
    drift = compare(entity, engine.describe(table))
    assert drift.steps == ["create the table"]
    assert apply(engine, entity, table, drift) == 0
    assert rows(engine, table) == []
