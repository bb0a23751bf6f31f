"""Random queries over Delta tables with every type and its edges: the embedded engine against DuckDB.

Each seed gives tables and queries. ``KINDLING_TEST_SEEDS`` ("7" or "100-120") and ``KINDLING_TEST_QUERIES`` (for each
seed) say what the slow test draws. What DuckDB and Spark mean differently is not drawn, or spelled out; what Sail
means differently is in docs/engines.md, "Other SQL that differs".
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.protocols import Table

_SPEC = importlib.util.spec_from_file_location("query_differential", Path(__file__).with_name("query_differential.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
drawing: Any = importlib.util.module_from_spec(_SPEC)
# Its dataclasses look their module up by name.
sys.modules[_SPEC.name] = drawing
_SPEC.loader.exec_module(drawing)

ROWS, FILES = 120, 3
_OVERFLOW = re.compile("overflow|can't cast|out of range", re.IGNORECASE)


def rows_or_none(other: duckdb.DuckDBPyConnection, query: str) -> pa.Table | None:
    """Ask DuckDB; None if a number overflows."""
    try:
        return other.sql(query).to_arrow_table()
    except (duckdb.OutOfRangeException, duckdb.ConversionException):
        return None


def overflows_without_nulls(other: duckdb.DuckDBPyConnection, query: str) -> bool:
    """Whether a query overflows in rows without nulls; with a null beside it, DuckDB alone always looks further."""
    present = " and ".join(f"{name} is not null" for name in ("i8", "i16", "i32", "i64"))
    return rows_or_none(other, query.replace(" where ", f" where {present} and ", 1)) is None


def differences(engine: EmbeddedEngine, folder: Path, seed: int, count: int) -> list[str]:
    """Ask as many queries of both engines, and tell where they differ."""
    with duckdb.connect(config={"threads": 1}) as other:
        other.execute("set TimeZone = 'UTC'")
        # It takes products with a zero apart before they can overflow.
        other.execute("pragma disable_optimizer")
        for index, name in enumerate(("t", "u")):
            rows = drawing.table(2 * seed + index, ROWS)
            table = Table(f"test.{name}", str(folder / f"{seed}_{name}"), partition_columns=("i8",) if index else ())
            for start in range(0, ROWS, ROWS // FILES):
                engine.append(table, rows.slice(start, ROWS // FILES))
            engine.read(table).createOrReplaceTempView(name)
            other.register(f"{name}_rows", rows)
            other.execute(f"create table {name} as select * from {name}_rows")
        queries = drawing.Queries(seed)
        found = []
        for number in range(count):
            query = queries.draw()
            expected = rows_or_none(other, query.duckdb)
            try:
                given = engine.to_reader(drawing.frame_of(engine.session, query)).read_all()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
                right = expected is None and _OVERFLOW.search(str(error))
                difference = None if right else str(error)
            else:
                if expected is None:
                    difference = "no error" if overflows_without_nulls(other, query.duckdb) else None
                else:
                    difference = drawing.difference(query, given, expected)
            if difference is not None:
                found.append(f"seed {seed}, query {number}: {difference}\n  {query}")
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_queries_give_what_an_independent_engine_gives(engine: EmbeddedEngine, tmp_path: Path, seed: int) -> None:
    found = differences(engine, tmp_path, seed, 120)
    assert not found, "\n".join(found[:10])


@pytest.mark.slow
def test_many_queries_give_what_an_independent_engine_gives(engine: EmbeddedEngine, tmp_path: Path) -> None:
    first, _, last = os.environ.get("KINDLING_TEST_SEEDS", "100-104").partition("-")
    count = int(os.environ.get("KINDLING_TEST_QUERIES", "1000"))
    found = []
    for seed in range(int(first), int(last or first) + 1):
        found += differences(engine, tmp_path, seed, count)
    assert not found, f"{len(found)} differ\n" + "\n".join(found[:10])
