"""Values of partition columns come back as they went in, or are refused before anything is written."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import DataError, UnsupportedError
from kindling_entities.declare.types import parse_type
from kindling_entities.protocols import Table

UTC = dt.timezone.utc
KEPT: dict[str, list[Any]] = {
    "string": [
        *(
            "é",
            "e\u0301",
            "a/b",
            "a%b",
            "%2F",
            "a%20b",
            "a b",
            "a\nb",
            "\r\n",
            " lead",
            "trail ",
            "  ",
            ".",
            "..",
            "a.",
        ),
        *("a=b", "a:b", "'q'", '"q"', "\\", "null", "NULL", "😀", "?#", "[a]*{b}", "\x7f", "\x01", "\t", "~", "A", "a"),
        *("+", "x" * 200, None),
    ],
    "tinyint": [-128, 127, 0, None],
    "smallint": [-(2**15), 2**15 - 1, None],
    "int": [-(2**31), 2**31 - 1, None],
    "bigint": [-(2**63), 2**63 - 1, None],
    "boolean": [True, False, None],
    "double": [math.inf, -math.inf, 0.0, 0.1, 1e22, -2.5, 123456789.123456789, None],
    "float": [math.inf, 0.0, 1.5, -0.25, None],
    "decimal(5,2)": [Decimal("0.50"), Decimal("1.05"), Decimal("-1.00"), Decimal("999.99"), None],
    "decimal(20,0)": [Decimal("12345678901234567891"), Decimal("12345678901234567892"), Decimal("-5"), None],
    "decimal(38,0)": [Decimal("9" * 38), Decimal("-" + "9" * 38), Decimal(0), None],
    "decimal(38,18)": [Decimal("12345678901234567890.123456789012345678"), Decimal(1), None],
    "date": [dt.date(1, 1, 1), dt.date(1582, 10, 4), dt.date(1969, 12, 31), dt.date(9999, 12, 31), None],
    "timestamp": [
        dt.datetime(1, 1, 2, tzinfo=UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        dt.datetime(2024, 1, 1, 1, 2, 3, 4, UTC),
        dt.datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        dt.datetime(9999, 12, 30, 23, 59, 59, 999999, UTC),
        None,
    ],
    "timestamp_ntz": [dt.datetime(2024, 1, 1, 1, 2, 3, 4), dt.datetime(2024, 3, 31, 2, 30), None],
}
FAR = 2_500_000 * 86_400_000_000
REFUSED: list[tuple[str, Any, str]] = [
    ("string", "", "''.*NULL"),
    ("string", "__HIVE_DEFAULT_PARTITION__", "folder of NULL"),
    ("string", "x" * 300, "longer than 255 bytes"),
    ("string", "/" * 90, "longer than 255 bytes"),
    ("double", -0.0, "-0.0.*0.0"),
    ("float", -0.0, "-0.0.*0.0"),
    ("date", -800_000, "years 1 to 9999"),
    ("date", 3_000_000, "years 1 to 9999"),
    ("timestamp", FAR * 2, "years 1 to 9999"),
    ("timestamp_ntz", FAR * 2, "years 1 to 9999"),
]


def made(kind: str, values: list[Any]) -> pa.Table:
    wanted = parse_type(kind)
    numbers = {"date": pa.int32(), "timestamp": pa.int64(), "timestamp_ntz": pa.int64()}.get(kind)
    plain = numbers is not None and isinstance(values[0], int)
    column = pa.array(values, numbers).cast(wanted) if plain else pa.array(values, wanted)
    return pa.table({"id": pa.array(range(len(values)), pa.int64()), "p": column})


def found(engine: Any, table: Table) -> list[Any]:
    return engine.to_reader(engine.read(table)).read_all().sort_by("id")["p"].to_pylist()


@pytest.fixture
def parted(table: Table) -> Table:
    return dataclasses.replace(table, partition_columns=("p",))


@pytest.mark.parametrize("kind", KEPT)
def test_partition_values_survive_append_merge_and_overwrite(engine: Any, parted: Table, kind: str) -> None:
    given = made(kind, KEPT[kind])
    engine.append(parted, given)
    assert found(engine, parted) == KEPT[kind]
    engine.merge(parted, given.filter(given["p"].is_valid()), ["id", "p"])
    assert found(engine, parted) == KEPT[kind]
    if engine.name == "embedded" and kind in ("double", "float"):
        with pytest.raises(UnsupportedError, match="one by one"):
            engine.overwrite(parted, given, scope="partitions")
    else:
        engine.overwrite(parted, given, scope="partitions")
    assert found(engine, parted) == KEPT[kind]


@pytest.mark.parametrize(("kind", "value", "message"), REFUSED, ids=range(len(REFUSED)))
def test_a_partition_value_that_would_not_survive_is_refused_by_name(
    engine: Any, parted: Table, kind: str, value: Any, message: str
) -> None:
    bad = made(kind, [value])
    with pytest.raises(DataError, match=rf"(?s)'test\.t'.*'p'.*{message}|'test\.t'.*{message}"):
        engine.append(parted, bad)
    assert not engine.exists(parted)
    good = made(kind, [KEPT[kind][1]])
    engine.append(parted, good)
    writes = [
        lambda: engine.append(parted, bad),
        lambda: engine.overwrite(parted, bad),
        lambda: engine.merge(parted, bad, ["id"]),
    ]
    for write in writes if kind == "string" and value == "" else writes[:1]:
        with pytest.raises(DataError, match=message):
            write()
    assert engine.versions([parted])["test.t"] == 0
    assert found(engine, parted) == [KEPT[kind][1]]


def test_a_negative_fraction_survives_or_is_refused(engine: Any, parted: Table) -> None:
    given = made("decimal(5,2)", [Decimal("-0.50")])
    if engine.name != "embedded":
        engine.append(parted, given)
        assert found(engine, parted) == [Decimal("-0.50")]
        return
    with pytest.raises(DataError, match=r"-0\.50.*'p'.*negative fraction"):
        engine.append(parted, given)
    assert not Path(parted.location, "_delta_log").exists()


@pytest.mark.parametrize("kind", ["binary", "array<int>"])
def test_a_type_that_no_partition_keeps_is_refused(engine: Any, parted: Table, kind: str) -> None:
    value = b"a" if kind == "binary" else [1]
    with pytest.raises(UnsupportedError, match="'p' is " + kind):
        engine.append(parted, made(kind, [value]))
    assert not engine.exists(parted)
