"""Tables as another Spark writes them: INT96 timestamps, statistics in milliseconds, checkpoints; made by hand."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from kindling_core.errors import PipeAbandoned
from kindling_entities import UnsupportedError
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.protocols import Table

UTC = dt.timezone.utc
FAR = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)
NEAR = dt.datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)
KINDS: dict[str, tuple[Any, Any]] = {
    "timestamp": (pa.timestamp("us", "UTC"), lambda value: value),
    "array": (pa.list_(pa.timestamp("us", "UTC")), lambda value: [None, value]),
    "struct": (pa.struct([("t", pa.timestamp("us", "UTC"))]), lambda value: {"t": value}),
    "map": (pa.map_(pa.string(), pa.timestamp("us", "UTC")), lambda value: [("t", value)]),
}
PATHS = {"timestamp": "t", "array": "t.element", "struct": "t.t", "map": "t.value"}
DELTA: dict[str, Any] = {
    "timestamp": "timestamp",
    "array": {"type": "array", "elementType": "timestamp", "containsNull": True},
    "struct": {
        "type": "struct",
        "fields": [{"name": "t", "type": "timestamp", "nullable": True, "metadata": {}}],
    },
    "map": {"type": "map", "keyType": "string", "valueType": "timestamp", "valueContainsNull": True},
}


def foreign(folder: Path, data: pa.Table, fields: dict[str, Any], stats: dict[str, Any] | None = None) -> Table:
    """A table of one file with INT96 timestamps."""
    (folder / "_delta_log").mkdir(parents=True)
    pq.write_table(data, folder / "part-0.parquet", use_deprecated_int96_timestamps=True)
    schema = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in fields.items()]
    actions: list[dict[str, Any]] = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 4}},
        {
            "metaData": {
                "id": str(folder),
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": schema}),
                "partitionColumns": [],
                "configuration": {"delta.enableChangeDataFeed": "true"},
                "createdTime": 0,
            }
        },
        {
            "add": {
                "path": "part-0.parquet",
                "partitionValues": {},
                "size": (folder / "part-0.parquet").stat().st_size,
                "modificationTime": 0,
                "dataChange": True,
                "stats": json.dumps({"numRecords": data.num_rows, **(stats or {})}),
            }
        },
    ]
    lines = "".join(json.dumps(action) + "\n" for action in actions)
    (folder / "_delta_log" / f"{0:020d}.json").write_text(lines)
    return Table("test.t", str(folder))


def rows(engine: EmbeddedEngine, frame: Any) -> list[dict[str, Any]]:
    return sorted(engine.to_reader(frame).read_all().to_pylist(), key=str)


def until(folder: Path, kind: str, value: Any) -> Table:
    type_, wrap = KINDS[kind]
    data = pa.table({"id": [1, 2], "t": pa.array([wrap(value), None], type_)})
    return foreign(folder, data, {"id": "long", "t": DELTA[kind]})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [FAR, dt.datetime(1, 1, 1, tzinfo=UTC), dt.datetime(1600, 2, 29, tzinfo=UTC)])
def test_a_far_timestamp_of_spark_is_read_right_and_no_rewrite_changes_it(
    engine: EmbeddedEngine, tmp_path: Path, kind: str, value: dt.datetime
) -> None:
    table, wrap = until(tmp_path / "t", kind, value), KINDS[kind][1]
    before = [{"id": 1, "t": wrap(value)}, {"id": 2, "t": None}]
    assert rows(engine, engine.read(table)) == before
    engine.append(table, pa.table({"id": [3]}))
    acts: list[Any] = [
        lambda: engine.merge(table, pa.table({"id": [2]}), ["id"]),
        lambda: engine.maintain(table, MaintenancePolicy(), dry_run=False),
        lambda: engine.maintain(table, MaintenancePolicy(order_by=("id",)), dry_run=False),
        lambda: engine.read_changes(table, -1, 1),
    ]
    for act in acts:
        said = rf"column '{PATHS[kind]}' has .* as an INT96 timestamp in part-0\.parquet"
        with pytest.raises(UnsupportedError, match=said):
            act()
    assert rows(engine, engine.read(table)) == [*before, {"id": 3, "t": None}]
    # What the message says to do.
    engine.overwrite(table, engine.read(table))
    assert engine.merge(table, pa.table({"id": [2, 4]}), ["id"]).rows_updated == 1
    engine.maintain(table, MaintenancePolicy(), dry_run=False)
    assert rows(engine, engine.read(table)) == [*before, {"id": 3, "t": None}, {"id": 4, "t": None}]


@pytest.mark.parametrize("kind", KINDS)
def test_a_near_timestamp_of_spark_is_rewritten_as_it_was(engine: EmbeddedEngine, tmp_path: Path, kind: str) -> None:
    table, wrap = until(tmp_path / "t", kind, NEAR), KINDS[kind][1]
    engine.merge(table, pa.table({"id": [2, 3]}), ["id"])
    engine.maintain(table, MaintenancePolicy(order_by=("id",)), dry_run=False)
    assert rows(engine, engine.read(table))[0] == {"id": 1, "t": wrap(NEAR)}


def test_a_far_timestamp_as_a_merge_key_is_refused(engine: EmbeddedEngine, tmp_path: Path) -> None:
    table = until(tmp_path / "t", "timestamp", FAR)
    with pytest.raises(UnsupportedError, match="INT96"):
        engine.merge(table, pa.table({"t": pa.array([FAR], pa.timestamp("us", "UTC")), "id": [7]}), ["t"])
    assert engine.describe(table).version == 0  # type: ignore[union-attr]


def test_statistics_in_milliseconds_hide_no_row(engine: EmbeddedEngine, tmp_path: Path) -> None:
    ends = {"id": 1, "t": "2024-05-06T07:08:09.123Z"}
    data = pa.table({"id": [1], "t": pa.array([NEAR], pa.timestamp("us", "UTC"))})
    stats = {"minValues": ends, "maxValues": ends, "nullCount": {"id": 0, "t": 0}}
    table = foreign(tmp_path / "t", data, {"id": "long", "t": "timestamp"}, stats)
    frame = engine.read(table)
    assert rows(engine, frame) == [{"id": 1, "t": NEAR}]
    for condition in ("= timestamp'2024-05-06 07:08:09.123456Z'", "> timestamp'2024-05-06 07:08:09.123Z'"):
        assert frame.filter(f"t {condition}").count() == 1
    merged = engine.merge(table, data.set_column(0, "id", pa.array([2])), ["t"])
    assert (merged.rows_updated, merged.rows_inserted) == (1, 0)


def test_decimals_are_exact_after_checkpoints_and_removed_logs(engine: EmbeddedEngine, tmp_path: Path) -> None:
    table = Table("test.t", str(tmp_path / "t"), ("p",))
    numbers = [Decimal(1234567890123456700 + number) for number in range(12)]
    kind = pa.decimal128(20, 0)
    for index, number in enumerate(numbers):
        data = pa.table({"id": pa.array([number], kind), "p": [f"a b%{index % 2}"]})
        engine.append(table, data)
        if index == 7:
            DeltaTable(table.location).create_checkpoint()
            for old in range(5):
                (tmp_path / "t" / "_delta_log" / f"{old:020d}.json").unlink()
    for version in (7, 9, 11):
        found = engine.to_reader(engine.read(table, version=version).select("id")).read_all()["id"].to_pylist()
        assert sorted(found) == numbers[: version + 1]
    found = engine.read(table).filter("p = 'a b%1' and id > 1234567890123456705")
    assert sorted(row["id"] for row in rows(engine, found)) == numbers[7::2]


def test_what_is_read_for_a_run_goes_with_its_label(engine: EmbeddedEngine, tmp_path: Path) -> None:
    table = Table("test.t", str(tmp_path / "t"))
    engine.append(table, pa.table({"f": [0.5]}))
    engine.label("run-1/a")
    first = engine.read(table)
    engine.label("run-2/b")
    second = engine.read(table)
    engine.release("run-1")
    assert (first.count(), second.count()) == (1, 1)
    engine.release("run-2")
    with pytest.raises(Exception, match=r"(?i)not found|no such|invalid table location"):
        second.collect()
    with pytest.raises(PipeAbandoned, match="run-2/b"):
        engine.read(table)
    engine.label("run-3/c")
    assert engine.read(table).count() == 1
