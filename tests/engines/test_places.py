"""Tables in folders whose names a library takes for an address or a pattern."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kindling_entities import UnsupportedError
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.protocols import Table, Transaction

NAMES = (
    "with space",
    "Größe",
    "Gro\u0308ße",
    "hash#x",
    "q?x",
    "100%",
    "{x}",
    "*star",
    "a+b",
    "a&b",
    "it's",
    "-dash",
    "back`tick",
    "semi;colon",
    "eq=x",
    "long" * 60,
)
# What delta-rs cannot reach, whatever one does.
UNREACHABLE = ("pro%20cent", "br[1]", "^caret", "back\\slash", "new\nline", "pi|pe")
ODD_VALUES = ["a b", "ä/ö", "50%", "%41", "q?#", "[1]", "it's", "a=b", None]


def rows(engine: Any, frame: Any) -> list[dict[str, Any]]:
    return sorted(engine.to_reader(frame).read_all().to_pylist(), key=str)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_lives_in_a_folder_of_any_name(engine: Any, tmp_path: Path, name: str) -> None:
    table = Table("test.t", str(tmp_path / name / "t"), properties={"delta.enableChangeDataFeed": "true"})
    assert engine.describe(table) is None
    engine.append(table, pa.table({"id": [1, 2], "v": [1.5, 2.5]}), Transaction("first", 1))
    assert engine.append(table, pa.table({"id": [1], "v": [0.5]}), Transaction("first", 1)).skipped
    merged = engine.merge(table, pa.table({"id": [2, 3], "v": [20.5, 30.5]}), ["id"])
    assert (merged.rows_updated, merged.rows_inserted) == (1, 1)
    now = [{"id": 1, "v": 1.5}, {"id": 2, "v": 20.5}, {"id": 3, "v": 30.5}]
    assert rows(engine, engine.read(table)) == now
    assert rows(engine, engine.read(table, version=0)) == [{"id": 1, "v": 1.5}, {"id": 2, "v": 2.5}]
    changes = rows(engine, engine.read_changes(table, 0, 1).select("id", "_change_type"))
    assert {"id": 3, "_change_type": "insert"} in changes
    engine.maintain(table, MaintenancePolicy(retention_hours=0), dry_run=False)
    assert rows(engine, engine.read(table)) == now
    engine.overwrite(table, pa.table({"id": [9], "v": [9.5]}))
    assert rows(engine, engine.read(table)) == [{"id": 9, "v": 9.5}]
    assert engine.describe(table).rows == 1
    assert engine.schema(table).names == ["id", "v"]
    assert (tmp_path / name / "t" / "_delta_log").is_dir()


@pytest.mark.parametrize("name", ["{x}", "ä 100%"])
def test_partitions_of_odd_values_in_a_folder_of_an_odd_name(engine: Any, tmp_path: Path, name: str) -> None:
    table = Table("test.t", str(tmp_path / name), ("p",))
    engine.append(table, pa.table({"p": ODD_VALUES, "v": [0.5] * len(ODD_VALUES)}))
    engine.overwrite(table, pa.table({"p": ["50%", None], "v": [1.5, 2.5]}), scope="partitions")
    wanted = [{"p": p, "v": {"50%": 1.5, None: 2.5}.get(p, 0.5)} for p in ODD_VALUES]
    assert rows(engine, engine.read(table)) == sorted(wanted, key=str)
    for value in ODD_VALUES:
        found = rows(engine, engine.read(table).filter("p is null" if value is None else 'p = "' + value + '"'))
        assert [row["p"] for row in found] == [value]


@pytest.mark.parametrize("name", UNREACHABLE)
def test_a_folder_that_an_engine_cannot_reach_is_refused_by_name(engine: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    table = Table("test.t", str(tmp_path / name / "t"))
    if engine.name == "spark":
        if name in ("pro%20cent", "br[1]", "^caret"):
            assert engine.append(table, pa.table({"id": [1]})).created
            assert engine.merge(table, pa.table({"id": [1, 2]}), ["id"]).rows_inserted == 1
            assert rows(engine, engine.read(table)) == [{"id": 1}, {"id": 2}]
        return
    for act in (
        lambda: engine.append(table, pa.table({"id": [1]})),
        lambda: engine.merge(table, pa.table({"id": [1]}), ["id"]),
        lambda: engine.ensure(table, pa.schema({"id": pa.int64()})),
        lambda: engine.read(table),
        lambda: engine.describe(table),
    ):
        with pytest.raises(UnsupportedError, match=r"(?s)'test\.t' at .*cannot reach a folder with '.+' in its path"):
            act()
    assert list((tmp_path / name).iterdir()) == []


@pytest.mark.parametrize("name", [*NAMES, "br[1]", "pro%20cent"])
def test_parquet_files_are_read_from_a_folder_of_any_name(engine: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    data = pa.table({"n": [1, 2]})
    path = str(tmp_path / name / "data.parquet")
    pq.write_table(data, path)
    assert rows(engine, engine.read_parquet([path], data.schema)) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("files", [1, 2])
def test_parquet_files_keep_nan_besides_one_value(engine: Any, tmp_path: Path, files: int) -> None:
    data = pa.table({"f": [7.0, float("nan")]})
    paths = [str(tmp_path / f"{number}.parquet") for number in range(files)]
    for path in paths:
        pq.write_table(data, path)
    frame = engine.read_parquet(paths, data.schema)
    assert frame.filter("isnan(f)").count() == files
    assert str(engine.to_reader(frame.selectExpr("max(f) as f")).read_all()["f"].to_pylist()) == "[nan]"
    # Spark itself skips the rows by the statistics of the file.
    if engine.name == "embedded":
        assert frame.filter("f > 8").count() == files
