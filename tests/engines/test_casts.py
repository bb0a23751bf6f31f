"""Arrow and pandas values reach a table unchanged, or are refused with column and value."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kindling_entities import DataError, SchemaError
from kindling_entities.declare.types import type_name
from kindling_entities.protocols import Table


def stamps(unit: str, *numbers: int, tz: str | None = None) -> pa.Array:
    return pa.array(numbers, pa.int64()).cast(pa.timestamp(unit, tz))


def raw_date64(*milliseconds: int) -> pa.Array:
    numbers = pa.array(milliseconds, pa.int64())
    return pa.Array.from_buffers(pa.date64(), len(numbers), numbers.buffers())


LOSING: dict[str, tuple[pa.Array, str]] = {
    "milliseconds beyond": (stamps("ms", 0, 2**62), "4611686018427387904"),
    "seconds beyond": (stamps("s", 2**62, tz="Europe/Berlin"), "4611686018427387904"),
    "nanoseconds": (stamps("ns", 1000, 1001), "1970-01-01 00:00:00.000001001"),
    "nanoseconds before 1970": (stamps("ns", -1, tz="UTC"), "1969-12-31"),
    "a date with a time": (raw_date64(86_400_005), "86400005"),
    "in a list": (pa.array([[2**62]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("ms"))), "4611686018427387904"),
    "in a struct": (pa.StructArray.from_arrays([stamps("ms", 2**62)], ["x"]), "4611686018427387904"),
    "in a dictionary": (stamps("ms", 2**62).dictionary_encode(), "4611686018427387904"),
}


@pytest.mark.parametrize("case", LOSING)
def test_a_cast_that_loses_is_refused_with_column_and_value(engine: Any, table: Table, case: str) -> None:
    array, value = LOSING[case]
    data = pa.table({"n": range(len(array)), "c": array})
    writes: list[Any] = [engine.append, engine.overwrite, lambda *given: engine.merge(*given, ["n"])]
    for write in writes:
        with pytest.raises(DataError, match=f"(?s)'c'.*{value}"):
            write(table, data)
        assert not engine.exists(table)
    with pytest.raises(DataError, match=f"(?s)'c'.*{value}"):
        engine.from_arrow(data)


KEPT: dict[str, tuple[pa.Array, str, list[Any]]] = {
    "nanoseconds that are zero": (
        stamps("ns", 1_700_000_000_000_001_000, tz="UTC"),
        "timestamp",
        [dt.datetime(2023, 11, 14, 22, 13, 20, 1, dt.timezone.utc)],
    ),
    "seconds": (stamps("s", -1), "timestamp_ntz", [dt.datetime(1969, 12, 31, 23, 59, 59)]),
    "another zone": (stamps("us", 0, tz="Asia/Tokyo"), "timestamp", [dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)]),
    "a date in milliseconds": (raw_date64(-86_400_000), "date", [dt.date(1969, 12, 31)]),
    "half floats": (pa.array([1.5], pa.float16()), "float", [1.5]),
    "unsigned bytes": (pa.array([255], pa.uint8()), "smallint", [255]),
    "unsigned": (pa.array([2**40], pa.uint64()), "decimal(20,0)", [2**40]),
    "a dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), "string", ["a", None, "a"]),
    "views": (pa.array(["a", None], pa.string_view()), "string", ["a", None]),
    "large lists": (pa.array([["a"]], pa.large_list(pa.large_string())), "array<string>", [["a"]]),
    "lists of one length": (pa.array([[1, 2]], pa.list_(pa.int32(), 2)), "array<int>", [[1, 2]]),
    "bytes of one length": (pa.array([b"ab"], pa.binary(2)), "binary", [b"ab"]),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_fits_exactly_is_kept(engine: Any, table: Table, case: str) -> None:
    array, kind, values = KEPT[case]
    engine.append(table, pa.table({"n": range(len(array)), "c": array}))
    back = engine.to_reader(engine.read(table)).read_all().sort_by("n")
    assert type_name(back.schema.field("c").type) == kind
    assert back["c"].to_pylist() == values


NO_TYPE: dict[str, pa.Array] = {
    "time": pa.array([1], pa.time32("s")),
    "duration": pa.array([1], pa.duration("us")),
    "interval": pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16], pa.binary(16))),
}


@pytest.mark.parametrize("case", NO_TYPE)
def test_a_type_that_no_table_has_is_refused_by_column(engine: Any, table: Table, case: str) -> None:
    with pytest.raises(SchemaError, match="'c'.*cannot be kept"):
        engine.append(table, pa.table({"c": NO_TYPE[case]}))
    assert not engine.exists(table)


def test_pandas_values_are_kept(engine: Any, table: Table) -> None:
    data = pd.DataFrame(
        {
            "n": [0, 1, 2],
            "objects": ["a", None, ""],
            "nullable": pd.array([2**62 + 1, None, 3], "Int64"),
            "category": pd.Categorical(["x", None, "y"]),
            "flag": pd.array([True, None, False], "boolean"),
            "stamp": pd.to_datetime(["2024-03-31T01:30:00.000001Z", None, "2024-01-01T00:00:00Z"], format="ISO8601"),
            "number": [1.5, np.nan, 2.0],
        }
    )
    engine.append(table, data)
    back = engine.to_reader(engine.read(table)).read_all().sort_by("n").to_pydict()
    assert back["objects"] == ["a", None, ""]
    assert back["nullable"] == [2**62 + 1, None, 3]
    assert back["category"] == ["x", None, "y"]
    assert back["flag"] == [True, None, False]
    assert back["stamp"][:2] == [dt.datetime(2024, 3, 31, 1, 30, 0, 1, dt.timezone.utc), None]
    # What pandas counts as missing is null.
    assert back["number"] == [1.5, None, 2.0]


@pytest.mark.parametrize("values", [[1, "a"], [2**70], [{"a": 1}, 5], [1 + 2j]], ids=range(4))
def test_a_pandas_column_of_no_one_type_is_refused_by_name(engine: Any, table: Table, values: list[Any]) -> None:
    data = pd.DataFrame({"n": range(len(values)), "mixed": pd.Series(values, dtype=object)})
    with pytest.raises(SchemaError, match="'mixed'"):
        engine.append(table, data)
    assert not engine.exists(table)


def test_pandas_nanoseconds_are_refused(engine: Any, table: Table) -> None:
    data = pd.DataFrame({"c": pd.to_datetime([1, 1_000_000_001], unit="ns")})
    with pytest.raises(DataError, match="'c'.*000000001"):
        engine.append(table, data)
    assert not engine.exists(table)
