"""Every type of Spark SQL comes back from a table as it went in."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import SchemaError
from kindling_entities.declare.types import parse_type, type_name
from kindling_entities.protocols import Table

VALUES: dict[str, list[Any]] = {
    "boolean": [True, False, None],
    "tinyint": [-128, 127, None],
    "smallint": [-32768, 32767, None],
    "int": [-(2**31), 2**31 - 1, None],
    "bigint": [-(2**63), 2**63 - 1, None],
    "float": [0.5, -1.25, None],
    "double": [1e300, -0.1, None],
    "decimal(10,2)": [Decimal("12345678.90"), Decimal("-0.01"), None],
    "decimal(38,18)": [Decimal("12345678901234567890.123456789012345678"), None],
    "string": ["", "ä\n'\"", None],
    "binary": [b"", b"\x00\xff", None],
    "date": [dt.date(1900, 1, 1), dt.date(9999, 12, 31), None],
    "timestamp": [dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.timezone.utc), None],
    "timestamp_ntz": [dt.datetime(2024, 3, 31, 2, 30), None],
    "array<int>": [[1, None], [], None],
    "array<array<string>>": [[["a"], []], None],
    "map<string,bigint>": [[("a", 1), ("b", None)], None],
    "struct<a:int,b:struct<c:string>>": [{"a": 1, "b": {"c": "x"}}, {"a": None, "b": None}, None],
    "array<struct<k:string,v:decimal(5,1)>>": [[{"k": "x", "v": Decimal("1.5")}], None],
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_type_comes_back_as_it_went_in(engine: Any, table: Table, kind: str) -> None:
    given = pa.table(
        {"c": pa.array(VALUES[kind], parse_type(kind)), "n": pa.array(range(len(VALUES[kind])), pa.int32())}
    )
    engine.overwrite(table, given)
    assert type_name(engine.schema(table).field("c").type) == kind
    # Out of the table into a frame, through the engine's own types, into the table again.
    engine.append(table, engine.read(table))
    back = engine.to_reader(engine.read(table)).read_all().sort_by("n")
    assert type_name(back.schema.field("c").type) == kind
    assert back["c"].to_pylist() == [value for value in VALUES[kind] for _ in range(2)]


def test_a_column_without_a_type_is_refused_by_name(engine: Any, table: Table) -> None:
    with pytest.raises(SchemaError, match="'nothing'.*no type"):
        engine.overwrite(table, pa.table({"n": [1], "nothing": pa.nulls(1)}))
    assert not engine.exists(table)


def test_an_untyped_null_of_sql_is_refused_by_name(engine: Any, table: Table) -> None:
    with pytest.raises(SchemaError, match="'nothing'.*no type"):
        engine.append(table, engine.session.sql("select 1 as n, null as nothing"))
    assert not engine.exists(table)
