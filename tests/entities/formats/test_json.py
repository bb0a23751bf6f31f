"""Json sources keep the values of json; json and csv outputs read back as the table that was written."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities.declare.types import type_name
from kindling_entities.errors import CorruptTableError, DataError, SchemaError, UnsupportedError
from kindling_entities.formats import Reading, TextOptions, read_files
from kindling_entities.formats._writing import write_csv, write_json


def reading(where: Path, columns: dict[str, str] | None = None, kind: str = "json", **options: Any) -> Reading:
    paths = [str(where)] if where.is_file() else sorted(str(path) for path in where.rglob("*") if path.is_file())
    return read_files("Entity 'raw.t'", kind, str(where), paths, columns, TextOptions.of(options))


def read(tmp_path: Path, *texts: str, columns: dict[str, str] | None = None, **options: Any) -> pa.Table:
    for index, text in enumerate(texts):
        (tmp_path / f"{index}.json").write_text(text)
    return reading(tmp_path, columns, **options).reader().read_all()


@pytest.mark.parametrize(
    ("values", "kind", "read_as"),
    [
        (['"2024-01-01"', '"2024-01-01T00:00:00Z"'], "string", ["2024-01-01", "2024-01-01T00:00:00Z"]),
        (['"00123"'], "string", ["00123"]),
        (["1", "-9223372036854775808"], "int64", [1, -(2**63)]),
        (["12345678901234567890", "1"], "decimal128(38, 0)", [Decimal(12345678901234567890), Decimal(1)]),
        (["1", "0.5"], "double", [1.0, 0.5]),
        (["0.1", "1e-7"], "double", [0.1, 1e-7]),
        (["9007199254740993", "0.5"], "string", ["9007199254740993", "0.5"]),
        (["0.12345678901234567890"], "string", ["0.12345678901234567890"]),
        (["1e400", "1.5"], "string", ["1e400", "1.5"]),
        (["1" * 40], "string", ["1" * 40]),
        (["true", "null"], "bool", [True, None]),
        (["null"], "string", [None]),
        (["[1, 2]", "[]"], "list<item: int64>", [[1, 2], []]),
        (['{"a": "2024-01-01"}', '{"b": [1.5]}'], None, [{"a": "2024-01-01", "b": None}, {"a": None, "b": [1.5]}]),
    ],
)
def test_the_values_of_json_are_kept(tmp_path: Path, values: list[str], kind: str | None, read_as: list[Any]) -> None:
    lines = "".join(f'{{"k": {index}, "v": {value}}}\n' for index, value in enumerate(values))
    table = read(tmp_path, lines)
    assert kind is None or str(table.schema.field("v").type).replace("element", "item") == kind
    assert table["v"].to_pylist() == read_as


def test_kinds_are_found_over_all_files(tmp_path: Path) -> None:
    table = read(tmp_path, '{"v": 9007199254740993}\n', '{"v": 0.5, "w": 1}\n')
    assert table.to_pylist() == [{"v": "9007199254740993", "w": None}, {"v": "0.5", "w": 1}]


def test_kinds_that_differ_are_told_with_file_and_column(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"1\.json.*column 'v.w' holds a text here and a number before"):
        read(tmp_path, '{"v": {"w": 1}}\n', '{"v": {"w": "x"}}\n')
    assert read(tmp_path, '{"v": 1.50}\n', '{"v": "x"}\n', columns={"v": "string"})["v"].to_pylist() == ["1.50", "x"]


def test_a_declared_column_that_no_row_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"'amuont'.*amount"):
        read(tmp_path, '{"id": 1, "amount": 2}\n', columns={"amuont": "double"})
    assert read(tmp_path, '{"id": 1}\n', '{"id": 2, "amount": 2}\n', columns={"amount": "double"}).num_rows == 2


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", "1.5"),
        ("bigint", "true"),
        ("bigint", '"x"'),
        ("tinyint", "128"),
        ("boolean", "1"),
        ("decimal(4,2)", "1.234"),
        ("date", '"yesterday"'),
        ("timestamp", "12"),
        ("binary", '"not base64!"'),
        ("array<int>", "1"),
        ("struct<a:int>", "[1]"),
        ("map<string,int>", "[1]"),
        ("array<date>", '["x"]'),
    ],
)
def test_a_value_of_another_type_is_told_with_file_line_and_column(tmp_path: Path, kind: str, value: str) -> None:
    with pytest.raises(CorruptTableError) as error:
        read(tmp_path, f'{{"v": null}}\n\n{{"v": {value}}}\n', columns={"v": kind})
    for part in ("0.json, line 3", "column 'v'", kind):
        assert part in str(error.value)
    assert read(tmp_path, columns={"v": kind}, on_bad_value="null")["v"].to_pylist() == [None, None]


def test_an_array_of_objects_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, '\n[\n {"a": 1,\n "b": "x]\\n"},\n {"a": 2}\n]\n').to_pylist() == [
        {"a": 1, "b": "x]\n"},
        {"a": 2, "b": None},
    ]
    with pytest.raises(CorruptTableError, match=r"0\.json, after line 2.*JSON lines"):
        read(tmp_path, '[{"a": 1},\n{"a": 2}')


@pytest.mark.parametrize("text", ['{"a": 1}\n{"a": \n', '{"a": 1}\n[1]\n', '{"a": 1}\n{"a": 1, "a": 2}\n'])
def test_a_line_that_is_no_object_is_told_or_put_aside(tmp_path: Path, text: str) -> None:
    with pytest.raises(CorruptTableError, match=r"0\.json, line 2 .*JSON lines"):
        read(tmp_path, text)
    found = reading(tmp_path, on_bad_row="quarantine")
    assert found.reader().read_all().to_pylist() == [{"a": 1}]
    assert found.dirt.table()["line"].to_pylist() == [2]


def test_json_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes('{"a": "x"}\n{"a": "ü"}\n'.encode("latin-1"))
    with pytest.raises(CorruptTableError, match=r"t\.json, line 2.*encoding="):
        reading(tmp_path)
    assert reading(tmp_path, encoding="latin-1").reader().read_all()["a"].to_pylist() == ["x", "ü"]


def test_an_empty_file_of_a_folder_and_folders_as_columns(tmp_path: Path) -> None:
    for day, text in (("2024-05-01", ""), ("2024-05-02", '{"a": 1}\n')):
        (tmp_path / f"day={day}").mkdir()
        (tmp_path / f"day={day}" / "t.json").write_text(text)
    found = reading(tmp_path, {"day": "date"}).reader().read_all()
    assert found.to_pylist() == [{"a": 1, "day": dt.date(2024, 5, 2)}]


UTC = pa.timestamp("us", "UTC")
FLAT = {
    "string": pa.array(["", "NA", 'q"\\', "ü\0e\u0301\n\r\n", None], pa.string()),
    "binary": pa.array([b"", b"\xff\0", b"'", b"abc", None], pa.binary()),
    "boolean": pa.array([True, False, None, True, False]),
    "tinyint": pa.array([-128, 127, 0, None, 1], pa.int8()),
    "bigint": pa.array([-(2**63), 2**63 - 1, 0, None, 1], pa.int64()),
    "float": pa.array([3.4028234663852886e38, 1e-45, float("nan"), None, -0.0], pa.float32()),
    "double": pa.array([1.7976931348623157e308, 5e-324, float("-inf"), None, 0.1], pa.float64()),
    "decimal": pa.array([Decimal("9" * 35 + ".999"), Decimal("-0.001"), Decimal(0), None, 1], pa.decimal128(38, 3)),
    "date": pa.array([-719162, 2932896, 0, None, 1], pa.date32()),
    "timestamp": pa.array([-62135596800000000, 253402300799999999, 0, None, -1], UTC),
    "timestamp_ntz": pa.array([-62135596800000000, 253402300799999999, 0, None, -1], pa.timestamp("us")),
}
MOMENT = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
NESTED = {
    "array": pa.array([["a", None], [], None, ["[]"], [""]], pa.list_(pa.string())),
    "decimals": pa.array([[Decimal("1.50"), None], [], None, [Decimal("0.00")], []], pa.list_(pa.decimal128(10, 2))),
    "map": pa.array([[("a", 1), ("", 2)], [], None, [("k", None)], [("x", 3)]], pa.map_(pa.string(), pa.int64())),
    "map of bytes": pa.array([[(1, b"\xff")], [], None, [(2, None)], [(3, b"")]], pa.map_(pa.int32(), pa.binary())),
    "struct": pa.array(
        [
            {"a": 1, "b": {"t": MOMENT, "f": float("inf")}},
            {"a": None, "b": None},
            None,
            {"a": 2, "b": {"t": None, "f": 1.5}},
            {"a": 3, "b": {"t": None, "f": float("-inf")}},
        ],
        pa.struct([("a", pa.int32()), ("b", pa.struct([("t", UTC), ("f", pa.float64())]))]),
    ),
    "dates": pa.array(
        [[[{"d": dt.date(1, 1, 1)}]], [], None, [None], [[]]],
        pa.list_(pa.list_(pa.struct([("d", pa.date32())]))),
    ),
}


@pytest.mark.parametrize("part", [slice(None), slice(1, 3)])
@pytest.mark.parametrize(
    ("kind", "name"), [*(("csv", name) for name in FLAT), *(("json", name) for name in [*FLAT, *NESTED])]
)
def test_what_is_written_reads_back_with_its_declared_type(tmp_path: Path, kind: str, name: str, part: slice) -> None:
    column = {**FLAT, **NESTED}[name][part]
    table = pa.table({name: column, "k": pa.array(range(len(column)))})
    with (tmp_path / f"t.{kind}").open("wb") as stream:
        if kind == "json":
            write_json(table.to_reader(), stream)
        else:
            write_csv("Entity 't'", table.to_reader(), stream, TextOptions())
    columns = {field.name: type_name(field.type) for field in table.schema}
    found = reading(tmp_path, columns, kind).reader().read_all()
    assert found.schema == table.schema
    # As text, since NaN is equal to nothing.
    assert str(found[name].combine_chunks()) == str(table[name].combine_chunks())


def test_csv_refuses_nested_columns_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"column 'a' is array<bigint>, which csv cannot hold"):
        write_csv("Entity 't'", pa.table({"a": [[1]]}).to_reader(), io.BytesIO(), TextOptions())


def test_a_year_that_texts_do_not_have_is_refused() -> None:
    far = pa.table({"a": pa.array([[2**60]], pa.list_(pa.timestamp("us")))})
    with pytest.raises(DataError, match="years 0 to 9999"):
        write_json(far.to_reader(), io.BytesIO())
