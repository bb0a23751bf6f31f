"""Partitions with letters beyond ASCII, whose paths Spark writes as they are and delta-rs as %-escapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kindling_entities import UnsupportedError
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.protocols import Table

ROWS = [{"id": 0, "city": "Köln"}, {"id": 1, "city": "Köln"}, {"id": 2, "city": "Bonn"}]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """As Spark leaves it: a file a row, and paths with the letters themselves."""
    kinds = {"id": "long", "city": "string"}
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in kinds.items()]
    actions: list[dict[str, Any]] = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": "by-hand",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": fields}),
                "partitionColumns": ["city"],
                "configuration": {},
            }
        },
    ]
    for row in ROWS:
        path = f"city={row['city']}/part-{row['id']}.parquet"
        file = tmp_path / "t" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": pa.array([row["id"]], pa.int64())}), file)
        add = {"path": path, "partitionValues": {"city": row["city"]}, "size": file.stat().st_size}
        actions.append({"add": {**add, "modificationTime": 0, "dataChange": True, "stats": '{"numRecords": 1}'}})
    log = tmp_path / "t" / "_delta_log"
    log.mkdir()
    text = "\n".join(json.dumps(action, ensure_ascii=False) for action in actions)
    (log / f"{0:020d}.json").write_text(text, encoding="utf8")
    return Table("test.t", str(tmp_path / "t"), partition_columns=("city",))


def rows(engine: EmbeddedEngine, table: Table) -> list[dict[str, Any]]:
    return sorted(engine.to_reader(engine.read(table)).read_all().to_pylist(), key=lambda row: row["id"])


NEW = pa.table({"id": [0], "city": ["Köln"]})
REWRITES: dict[str, Callable[[EmbeddedEngine, Table], object]] = {
    "overwrite": lambda engine, table: engine.overwrite(table, NEW),
    "overwrite of partitions": lambda engine, table: engine.overwrite(table, NEW, scope="partitions"),
    "merge": lambda engine, table: engine.merge(table, NEW, ["id"]),
    "delete": lambda engine, table: engine.delete(table, "id = 0"),
    "compact": lambda engine, table: engine.maintain(table, MaintenancePolicy(vacuum=False), dry_run=False),
}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_what_would_leave_old_rows_beside_new_ones_is_refused(
    engine: EmbeddedEngine, table: Table, rewrite: str
) -> None:
    with pytest.raises(UnsupportedError, match="'test.t'.*city=Köln/part-.*Nothing was written"):
        REWRITES[rewrite](engine, table)
    assert rows(engine, table) == ROWS
    assert engine.versions([table]) == {"test.t": 0}


def test_reading_and_appending_go_on(engine: EmbeddedEngine, table: Table) -> None:
    engine.append(table, pa.table({"id": [3], "city": ["Köln"]}))
    assert rows(engine, table) == [*ROWS, {"id": 3, "city": "Köln"}]


@pytest.mark.parametrize("rewrite", REWRITES)
def test_partitions_that_this_engine_wrote_are_rewritten(engine: EmbeddedEngine, tmp_path: Path, rewrite: str) -> None:
    own = Table("test.own", str(tmp_path / "own"), partition_columns=("city",))
    for row in ROWS:
        engine.append(own, pa.Table.from_pylist([row]))
    REWRITES[rewrite](engine, own)
    found = [row["id"] for row in rows(engine, own)]
    wanted = {"overwrite": [0], "overwrite of partitions": [0, 2], "delete": [1, 2]}
    assert found == wanted.get(rewrite, [0, 1, 2])
