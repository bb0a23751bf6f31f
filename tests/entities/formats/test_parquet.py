"""Parquet files of any writer: read without loss, or refused by file, column and type."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kindling_entities import DataEntityManager, EntityStore
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.errors import CorruptTableError, SchemaError
from kindling_entities.formats._hive import sources
from kindling_entities.formats._parquet import ParquetFile, unified

NOON = dt.datetime(2020, 1, 1, 12)
NEXT = NOON.replace(microsecond=1)


def read(table: pa.Table, path: Path, **how: Any) -> pa.Table:
    pq.write_table(table, path, **how)
    return opened(path)


def opened(path: Path) -> pa.Table:
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


FAR = dt.datetime(9999, 12, 31, 23, 59, 59, 999999)
INSTANT = pa.timestamp("us", "UTC")


def nested(leaf: pa.DataType) -> dict[str, tuple[pa.DataType, Any, str]]:
    """Type, how a value becomes a row of it, and the path of the value within a column ``v``."""
    return {
        "plain": (leaf, lambda value: value, "v"),
        "list": (pa.list_(leaf), lambda value: [None, value], "v.element"),
        "struct": (pa.struct([("n", pa.int64()), ("t", leaf)]), lambda value: {"n": 1, "t": value}, "v.t"),
        "value of a map": (pa.map_(pa.string(), leaf), lambda value: [("k", value)], "v.value"),
        "key of a map": (pa.map_(leaf, leaf), lambda value: [(value, None)], "v.key"),
        "list in a struct in a list": (
            pa.list_(pa.struct([("a.b", pa.list_(leaf))])),
            lambda value: [{"a.b": [value]}, None],
            "v.element.a.b.element",
        ),
        "large list": (pa.large_list(leaf), lambda value: [value], "v.element"),
        "list of one size": (pa.list_(leaf, 2), lambda value: [value, value], "v.element"),
    }


def naive(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, dict):
        return {name: naive(part) for name, part in value.items()}
    return type(value)(map(naive, value)) if isinstance(value, list | tuple) else value


def old_file(path: Path, values: list[Any], kind: pa.DataType, name: str = "v") -> None:
    """A file whose timestamps are INT96."""
    table = pa.table({name: pa.array(values, kind), "k": range(len(values))})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)


@pytest.mark.parametrize("place", nested(INSTANT))
def test_far_timestamps_of_int96_are_instants_wherever_they_lie(
    engine: EmbeddedEngine, tmp_path: Path, place: str
) -> None:
    kind, within, _ = nested(pa.timestamp("us"))[place]
    values = [within(FAR), None, within(dt.datetime(1, 1, 1)), within(NOON)]
    old_file(tmp_path / "t.parquet", values, kind)
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("raw.t", provider="parquet", path="t.parquet", read_only=True)
    frame = store.read_entity("raw.t")
    found = engine.to_reader(frame.orderBy("k")).read_all()
    assert naive(found["v"].to_pylist()) == values
    wanted = nested(INSTANT)[place][0]
    if place in ("large list", "list of one size"):
        wanted = pa.list_(INSTANT)
    assert found.schema.field("v").type == wanted


@pytest.mark.parametrize("place", nested(INSTANT))
@pytest.mark.parametrize("year", [2020, 9999, 1])
def test_nanoseconds_of_int96_are_refused_by_file_column_and_value(tmp_path: Path, place: str, year: int) -> None:
    kind, within, column = nested(pa.timestamp("us"))[place]
    path = tmp_path / "t.parquet"
    moment = dt.datetime(year, 3, 1, 12, 0, 0, 1)
    days = (moment - dt.datetime(1970, 1, 1)).days + 2_440_588
    table = pa.table({"v": pa.array([within(NOON), None, within(moment)], kind)})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, compression="none", use_dictionary=False)
    # INT96 is the nanoseconds of a day and its number; no writer here gives them to days beyond the year 2262.
    noon = 12 * 3600 * 10**9
    before, after = (struct.pack("<qi", noon + nanoseconds, days) for nanoseconds in (1000, 1007))
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))
    with pytest.raises(SchemaError) as error:
        opened(path)
    said = f"column '{column}' of {path} has the timestamp {year:04}-03-01 12:00:00.000001007, and tables do not keep"
    assert said in str(error.value)


def test_a_column_of_int96_is_known_by_its_place_and_not_by_its_name(tmp_path: Path) -> None:
    old_file(tmp_path / "a.parquet", [NOON], pa.timestamp("us"), name="a.b")
    assert opened(tmp_path / "a.parquet").schema.field("a.b").type == INSTANT
    old_file(tmp_path / "b.parquet", [1_577_880_000_000_000_001], pa.timestamp("ns"), name="a.b")
    with pytest.raises(SchemaError, match=r"column 'a\.b' of .* 2020-01-01 12:00:00\.000000001,"):
        opened(tmp_path / "b.parquet")


@pytest.mark.parametrize("value", [7.0, 8.0])
def test_a_footer_is_read_once(
    engine: EmbeddedEngine, tmp_path: Path, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"v": [7.0, value]}), tmp_path / "t.parquet")
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("raw.t", provider="parquet", path="t.parquet", read_only=True)
    opened_files: list[Any] = []
    real = pq.ParquetFile

    def counting(path: Any, **how: Any) -> pq.ParquetFile:
        opened_files.append(path)
        return real(path, **how)

    monkeypatch.setattr(pq, "ParquetFile", counting)
    frame = store.read_entity("raw.t")
    # Where one value may hide NaN, the rows are read, too.
    assert len(opened_files) == (2 if value == 7.0 else 1)
    assert sorted(engine.to_reader(frame).read_all()["v"].to_pylist()) == [7.0, value]


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
