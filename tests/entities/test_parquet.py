"""Parquet files of any writer: read without loss, or refused by file, column and type."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kindling_entities import DataEntityManager, EntityStore
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.errors import CorruptTableError, SchemaError
from kindling_entities.reading._hive import sources
from kindling_entities.reading._parquet import ParquetFile, unified

NOON = dt.datetime(2020, 1, 1, 12)
NEXT = NOON.replace(microsecond=1)


def read(table: pa.Table, path: Path, **how: Any) -> pa.Table:
    pq.write_table(table, path, **how)
    file = ParquetFile("Entity 'raw.t'", sources("Entity 'raw.t'", str(path), [str(path)])[0])
    wanted = unified("Entity 'raw.t'", [file], pa.schema([]))
    return pa.Table.from_batches(list(file.batches(wanted)), wanted)


def odd() -> dict[str, tuple[pa.Array, str, list[Any]]]:
    return {
        "time32": (pa.array([43_200_001], pa.time32("ms")), "string", ["12:00:00.001"]),
        "time64": (pa.array([1], pa.time64("ns")), "string", ["00:00:00.000000001"]),
        "nanoseconds": (
            pa.array([1_577_880_000_000_001_000], pa.timestamp("ns")),
            "timestamp[us]",
            [NEXT],
        ),
        "milliseconds": (pa.array([NOON], pa.timestamp("ms")), "timestamp[us]", [NOON]),
        "dictionary": (pa.array(["x"]).dictionary_encode(), "string", ["x"]),
        "date64": (pa.array([dt.date(2020, 1, 1)], pa.date64()), "date32[day]", [dt.date(2020, 1, 1)]),
        "float16": (pa.array([1.5], pa.float32()).cast(pa.float16()), "float", [1.5]),
        "uint8": (pa.array([255], pa.uint8()), "int16", [255]),
        "uint32": (pa.array([2**32 - 1], pa.uint32()), "int64", [2**32 - 1]),
        "uint64": (pa.array([2**64 - 1], pa.uint64()), "decimal128(20, 0)", [Decimal(2**64 - 1)]),
        "decimal256": (pa.array([Decimal("1.5")], pa.decimal256(30, 2)), "decimal128(30, 2)", [Decimal("1.50")]),
        "fixed": (pa.array([b"0123456789abcdef"], pa.binary(16)), "binary", [b"0123456789abcdef"]),
        "large": (pa.array(["x"], pa.large_string()), "string", ["x"]),
        "nulls": (pa.nulls(1), "string", [None]),
        "list of unsigned": (pa.array([[2**64 - 1, None]], pa.list_(pa.uint64())), None, [[Decimal(2**64 - 1), None]]),
        "struct with time": (
            pa.array([{"t": 1}], pa.struct([("t", pa.time32("s"))])),
            None,
            [{"t": "00:00:01.000"}],
        ),
        "large list": (pa.array([[1]], pa.large_list(pa.int8())), None, [[1]]),
        "map of dates": (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.uint8())), None, [[("k", 1)]]),
    }


@pytest.mark.parametrize("name", odd())
def test_types_that_tables_lack_are_read_without_loss(tmp_path: Path, name: str) -> None:
    column, kind, values = odd()[name]
    found = read(pa.table({"v": column}), tmp_path / "t.parquet")
    assert kind is None or str(found.schema.field("v").type) == kind
    assert found["v"].to_pylist() == values


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1], pa.duration("us")), "duration"),
        (pa.array([Decimal(10) ** 50], pa.decimal256(60, 0)), "decimal256"),
        (pa.array([1_577_880_000_000_000_001], pa.timestamp("ns")), "timestamp"),
    ],
)
def test_what_no_type_of_a_table_holds_is_refused_by_name(tmp_path: Path, column: pa.Array, kind: str) -> None:
    with pytest.raises(SchemaError) as error:
        read(pa.table({"k": [1], "v": column}), tmp_path / "t.parquet")
    for part in ("'v'", "t.parquet", kind):
        assert part in str(error.value)


def test_far_timestamps_of_int96_are_instants(tmp_path: Path) -> None:
    far = dt.datetime(9999, 12, 31, 23, 59, 59)
    table = pa.table({"v": pa.array([far, NOON, None], pa.timestamp("us")), "k": [1, 2, 3]})
    found = read(table, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    assert found.schema.field("v").type == pa.timestamp("us", "UTC")
    assert [one and one.replace(tzinfo=None) for one in found["v"].to_pylist()] == [far, NOON, None]


def test_nanoseconds_of_int96_are_refused(tmp_path: Path) -> None:
    table = pa.table({"v": pa.array([1_577_880_000_000_000_001], pa.timestamp("ns"))})
    with pytest.raises(SchemaError, match=r"'v' of .*t\.parquet has timestamps with nanoseconds"):
        read(table, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(CorruptTableError, match=r"t\.parquet cannot be read as parquet"):
        ParquetFile("Entity 'raw.t'", sources("x", str(path), [str(path)])[0])


@pytest.mark.parametrize("name", odd())
def test_an_engine_reads_of_a_source_what_the_file_holds(engine: EmbeddedEngine, tmp_path: Path, name: str) -> None:
    column, _, values = odd()[name]
    pq.write_table(pa.table({"v": column}), tmp_path / "t.parquet")
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("raw.t", provider="parquet", path=str(tmp_path / "t.parquet"), read_only=True)
    assert engine.to_reader(store.read_entity("raw.t")).read_all()["v"].to_pylist() == values
