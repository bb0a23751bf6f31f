"""Rows that were added to a table which only grows, read without a change feed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from kindling_entities import EntityNotFoundError, RowsRewritten
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.protocols import Table


def rows(engine: Any, table: Table, start: int, end: int) -> list[Any]:
    found = engine.to_reader(engine.read_appends(table, start, end)).read_all().to_pylist()
    return sorted(found, key=str)


def by(found: list[Any], column: str) -> dict[Any, Any]:
    return {row[column]: row for row in found}


def numbers(*values: int) -> pa.Table:
    return pa.table({"n": list(values)})


def test_rows_of_a_range_of_versions_are_those_that_it_added(engine: Any, table: Table) -> None:
    for number in range(4):
        engine.append(table, numbers(number, number + 10))
    assert {row["n"] for row in rows(engine, table, -1, 3)} == {0, 1, 2, 3, 10, 11, 12, 13}
    assert rows(engine, table, 0, 2) == [{"n": 11}, {"n": 12}, {"n": 1}, {"n": 2}]
    assert rows(engine, table, 2, 3) == [{"n": 13}, {"n": 3}]
    assert rows(engine, table, 3, 3) == []
    assert engine.read_appends(table, 3, 3).columns == ["n"]
    with pytest.raises(EntityNotFoundError, match="no version 4; the newest is 3"):
        engine.read_appends(table, 0, 4)
    with pytest.raises(EntityNotFoundError):
        engine.read_appends(dataclasses.replace(table, location=table.location + "-none"), -1, 0)


def test_the_frame_is_pinned_to_its_versions(engine: Any, table: Table) -> None:
    engine.append(table, numbers(1))
    frame = engine.read_appends(table, -1, 0)
    engine.append(table, numbers(2))
    engine.maintain(table, MaintenancePolicy(vacuum=False), dry_run=False)
    assert frame.count() == 1


def test_compaction_adds_no_rows(engine: Any, table: Table) -> None:
    for number in range(3):
        engine.append(table, numbers(number))
    engine.maintain(table, MaintenancePolicy(vacuum=False), dry_run=False)
    engine.append(table, numbers(9))
    assert {row["n"] for row in rows(engine, table, 0, 4)} == {1, 2, 9}
    assert rows(engine, table, 2, 3) == []


@pytest.mark.parametrize("harm", ["overwrite", "delete", "merge", "partition"])
def test_a_commit_that_rewrote_rows_is_named(engine: Any, table: Table, harm: str) -> None:
    table = dataclasses.replace(table, partition_columns=("part",))

    def parted(number: int) -> pa.Table:
        return pa.table({"n": [number], "part": ["a"]})

    for number in range(2):
        engine.append(table, parted(number))
    changed = {
        "overwrite": lambda: engine.overwrite(table, parted(5)),
        "delete": lambda: engine.delete(table, "n = 0"),
        "merge": lambda: engine.merge(table, parted(0), ["n"]),
        "partition": lambda: engine.overwrite(table, parted(0), scope="partitions"),
    }
    changed[harm]()
    engine.append(table, parted(7))
    with pytest.raises(RowsRewritten, match="version 2") as found:
        engine.read_appends(table, 0, 3)
    assert (found.value.entity_id, found.value.version) == ("test.t", 2)
    assert found.value.operation
    assert [row["n"] for row in rows(engine, table, 0, 1)] == [1]
    assert [row["n"] for row in rows(engine, table, 2, 3)] == [7]


def test_a_merge_that_only_inserted_is_an_append(engine: Any, table: Table) -> None:
    engine.append(table, numbers(1))
    engine.merge(table, numbers(2), ["n"])
    assert rows(engine, table, 0, 1) == [{"n": 2}]


def test_partitions_and_columns_that_came_later(engine: Any, table: Table) -> None:
    table = dataclasses.replace(table, partition_columns=("day",))
    engine.append(table, pa.table({"day": ["1", None], "n": [1, 2]}))
    engine.append(table, pa.table({"n": [3], "day": ["ä b"]}))
    engine.append(table, pa.table({"day": ["1"], "n": [4], "m": [0.5]}))
    assert engine.read_appends(table, 0, 2).columns == engine.read(table).columns
    assert by(rows(engine, table, 0, 2), "n") == {
        3: {"day": "ä b", "n": 3, "m": None},
        4: {"day": "1", "n": 4, "m": 0.5},
    }
    assert by(rows(engine, table, -1, 0), "n") == {1: {"day": "1", "n": 1}, 2: {"day": None, "n": 2}}


def test_values_that_statistics_falsify(engine: Any, table: Table) -> None:
    nan = float("nan")
    engine.append(table, pa.table({"f": [1.0]}))
    engine.append(table, pa.table({"f": [nan, 2.0, 2.0]}))
    frame = engine.read_appends(table, 0, 1)
    assert frame.where("isnan(f)").count() == 1
    assert frame.count() == 3


def test_deletion_vectors_before_the_range_do_not_matter_and_within_it_are_named(engine: Any, table: Table) -> None:
    if not engine.catalogs:
        pytest.skip("writes no deletion vectors; see test_deletion_vectors_of_another_writer")
    table = dataclasses.replace(table, properties={"delta.enableDeletionVectors": "true"})
    engine.append(table, numbers(*range(10)))
    engine.delete(table, "n = 1")
    engine.append(table, numbers(20))
    assert rows(engine, table, 1, 2) == [{"n": 20}]
    with pytest.raises(RowsRewritten, match="version 1"):
        engine.read_appends(table, 0, 2)


def test_appended_files_with_a_deletion_vector_lack_its_rows(engine: Any, table: Table, tmp_path: Path) -> None:
    """As a clone or a restore of another writer may add them."""
    if engine.name != "embedded":
        pytest.skip("writes a file for each part of a frame; the positions of this log are those of one file")
    engine.append(table, numbers(0))
    engine.append(table, numbers(1, 2, 3))
    log = Path(table.location) / "_delta_log"
    # A roaring bitmap with row 1, inline (Delta protocol, "Deletion Vector Format").
    vector = {"storageType": "i", "pathOrInlineDv": inline_vector(1), "sizeInBytes": 34, "cardinality": 1}
    lines = []
    for line in (log / f"{1:020d}.json").read_text().splitlines():
        action = json.loads(line)
        if "add" in action:
            action["add"]["deletionVector"] = vector
        lines.append(json.dumps(action))
    lines.append(
        json.dumps(
            {
                "protocol": {
                    "minReaderVersion": 3,
                    "minWriterVersion": 7,
                    "readerFeatures": ["deletionVectors"],
                    "writerFeatures": ["deletionVectors"],
                }
            }
        )
    )
    (log / f"{1:020d}.json").write_text("\n".join(lines) + "\n")
    wanted = [{"n": 0}, {"n": 1}, {"n": 3}]
    assert sorted(engine.to_reader(engine.read(table)).read_all().to_pylist(), key=str) == wanted
    assert rows(engine, table, 0, 1) == wanted[1:]


def inline_vector(*positions: int) -> str:
    """Z85 of a RoaringBitmapArray in portable form with rows below 65,536."""
    import base64
    import struct

    values = b"".join(struct.pack("<H", position) for position in positions)
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(positions) - 1, 16) + values
    data = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    data += b"\0" * (-len(data) % 4)
    b85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    return base64.b85encode(data).decode().translate(str.maketrans(b85, z85))


def test_a_log_with_a_checkpoint_defines_the_table(engine: Any, table: Table) -> None:
    for number in range(3):
        engine.append(table, numbers(number))
    DeltaTable(table.location).create_checkpoint()
    for version in range(2):
        (Path(table.location) / "_delta_log" / f"{version:020d}.json").unlink()
    engine.append(table, numbers(3))
    assert rows(engine, table, 2, 3) == [{"n": 3}]


def test_a_table_that_was_made_anew_has_another_identity(engine: Any, table: Table) -> None:
    import shutil

    engine.append(table, numbers(1))
    first = engine.describe(table).table_id
    engine.overwrite(table, pa.table({"m": ["other"]}))
    assert engine.describe(table, figures=False).table_id == first
    shutil.rmtree(table.location)
    engine.append(table, numbers(1))
    assert engine.describe(table).table_id not in (first, "")
