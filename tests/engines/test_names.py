"""Columns of any name are right as keys, partitions and plain columns, or are refused by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import MergeKeyError, SchemaError, UnsupportedError
from kindling_entities.protocols import Table

NAMES = [
    "count",
    "a.b",
    "t.id",
    "s.k",
    "a`b",
    "``x",
    "__seq",
    "Valid_From",
    "../x",
    ".x",
    "[0]",
    "a/b",
    "a%b",
    "*",
    "id",
]
# Delta Lake takes these with column mapping alone.
SPACED = [" id", "id ", "a b", "a\tb", "a\nb", "a,b;c{d}(e)=f"]


def frame(name: str, keys: list[str], values: list[int]) -> pa.Table:
    return pa.table([pa.array(keys), pa.array(values)], names=[name, "zz"])


def rows(engine: Any, table: Table) -> list[list[Any]]:
    return sorted(map(list, zip(*engine.to_reader(engine.read(table)).read_all().to_pydict().values(), strict=True)))


@pytest.mark.parametrize("role", ["key", "plain", "partition"])
@pytest.mark.parametrize("name", [*NAMES, *SPACED])
def test_a_column_of_any_name_is_right_or_refused(engine: Any, table: Table, name: str, role: str) -> None:
    if role == "partition":
        table = dataclasses.replace(table, partition_columns=(name,))
    if engine.name != "embedded" and name in SPACED:
        with pytest.raises((SchemaError, UnsupportedError)):
            engine.append(table, frame(name, ["a"], [1]))
        assert not engine.exists(table)
        return
    if role == "partition" and name in ("../x", "a\tb", "a\nb"):
        with pytest.raises(UnsupportedError, match="partition column"):
            engine.append(table, frame(name, ["a"], [1]))
        assert not engine.exists(table)
        return
    engine.append(table, frame(name, ["a", "b"], [1, 2]))
    if role == "plain":
        engine.merge(table, frame(name, ["B", "c"], [2, 3]), ["zz"])
        assert rows(engine, table) == [["B", 2], ["a", 1], ["c", 3]]
    else:
        engine.merge(table, frame(name, ["b", "c"], [3, 4]), [name])
        assert rows(engine, table) == [["a", 1], ["b", 3], ["c", 4]]
        with pytest.raises(MergeKeyError, match="(?s)occur more than once.*'d'"):
            engine.merge(table, frame(name, ["d", "d"], [3, 4]), [name])
    if role == "partition":
        engine.overwrite(table, frame(name, ["c"], [5]), scope="partitions")
        assert rows(engine, table) == [["a", 1], ["b", 3], ["c", 5]]
    assert engine.read(table, columns=[name]).columns == [name]


def test_new_columns_of_a_merge_beside_a_name_with_a_backtick(engine: Any, table: Table) -> None:
    engine.append(table, frame("a`b", ["a"], [1]))
    engine.merge(table, frame("a`b", ["a"], [2]).append_column("n`w", pa.array([3])), ["a`b"])
    assert rows(engine, table) == [["a", 2, 3]]


def test_names_that_differ_by_case_alone_are_refused(engine: Any, table: Table) -> None:
    both = pa.table({"id": [1], "ID": [2]})
    for write in (engine.append, engine.overwrite, lambda *given: engine.merge(*given, ["id"])):
        with pytest.raises(SchemaError, match="'id' and 'ID'"):
            write(table, both)
        with pytest.raises(SchemaError, match="'id' and 'ID'"):
            write(table, engine.session.sql("select 1 as id, 2 as ID"))
    with pytest.raises(SchemaError, match="'x' and 'X'"):
        engine.append(table, pa.table({"s": pa.array([{"x": 1, "X": 2}])}))
    assert not engine.exists(table)


def test_a_column_that_the_table_has_in_other_case_is_refused(engine: Any, table: Table) -> None:
    engine.append(table, pa.table({"id": [1], "v": [1]}))
    other = pa.table({"ID": [2], "v": [1]})
    with pytest.raises(SchemaError, match="'ID'.*'id' in the table"):
        engine.append(table, other)
    with pytest.raises(SchemaError, match="'ID'.*'id' in the table"):
        engine.merge(table, other, ["v"])
    for keys in (["ID"], ["id"]):
        with pytest.raises(MergeKeyError, match="'ID'"):
            engine.merge(table, other, keys)
    assert engine.versions([table])["test.t"] == 0


def test_an_overwrite_may_change_the_case_of_a_name(engine: Any, table: Table) -> None:
    engine.append(table, pa.table({"id": [1], "v": [1]}))
    engine.overwrite(table, pa.table({"ID": [2], "v": [3]}))
    assert engine.to_reader(engine.read(table)).read_all().to_pylist() == [{"ID": 2, "v": 3}]


def test_a_column_without_a_name_is_refused(engine: Any, table: Table) -> None:
    with pytest.raises(SchemaError, match="Column 1 of 1 has no name"):
        engine.append(table, pa.table([pa.array([1])], names=[""]))
    assert not engine.exists(table)
