"""Rules that a table itself has are kept on every engine, and a row that breaks one names it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import ConstraintError, UnsupportedError
from kindling_entities.protocols import Table

GOOD = pa.table({"id": pa.array([1], pa.int64()), "s": ["ab"], "n": pa.array([10], pa.int64())})
BAD = pa.table({"id": pa.array([2], pa.int64()), "s": ["abcdef"], "n": pa.array([None], pa.int64())})


def declare(
    table: Table,
    properties: dict[str, str] | None = None,
    writer: int = 2,
    n: dict[str, Any] | None = None,
    s: dict[str, Any] | None = None,
    n_required: bool = False,
) -> None:
    """Make an empty table as another writer would have declared it."""
    columns = [
        {"name": "id", "type": "long", "nullable": True, "metadata": {}},
        {"name": "s", "type": "string", "nullable": True, "metadata": s or {}},
        {"name": "n", "type": "long", "nullable": not n_required, "metadata": n or {}},
    ]
    actions: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": 1, "operation": "CREATE TABLE"}},
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": writer}},
        {
            "metaData": {
                "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": columns}),
                "partitionColumns": [],
                "configuration": properties or {},
                "createdTime": 1,
            }
        },
    ]
    log = Path(table.location, "_delta_log")
    os.makedirs(log)
    (log / f"{0:020d}.json").write_text("\n".join(map(json.dumps, actions)) + "\n")


RULES: dict[str, tuple[dict[str, Any], str]] = {
    "check": ({"properties": {"delta.constraints.pos": "n > 0"}, "writer": 3}, "pos"),
    "one of two checks": (
        {"properties": {"delta.constraints.has_id": "id > 0", "delta.constraints.short": "length(s) < 4"}, "writer": 3},
        "short",
    ),
    "not null": ({"n_required": True}, r"\bn\b"),
    "invariant": ({"n": {"delta.invariants": json.dumps({"expression": {"expression": "n > 5"}})}}, "n > 5"),
    "generated": ({"n": {"delta.generationExpression": "id * 10"}, "writer": 4}, r"\bn\b.*id \* 10"),
    "varchar": ({"s": {"__CHAR_VARCHAR_TYPE_STRING": "varchar(3)"}}, r"varchar\(3\)|length|limit"),
}


@pytest.mark.parametrize("rule", RULES)
def test_rows_that_break_a_rule_name_it_and_nothing_is_written(engine: Any, table: Table, rule: str) -> None:
    settings, message = RULES[rule]
    declare(table, **settings)
    writes: list[Any] = [engine.append, engine.overwrite, lambda *given: engine.merge(*given, ["id"])]
    for write in writes:
        with pytest.raises(ConstraintError, match=f"(?s)'test.t'.*({message})"):
            write(table, BAD)
        assert engine.versions([table])["test.t"] == 0
    with pytest.raises(ConstraintError, match=message):
        engine.append(table, engine.from_arrow(BAD))
    engine.append(table, GOOD)
    engine.merge(table, GOOD, ["id"])
    assert engine.to_reader(engine.read(table)).read_all().to_pylist() == GOOD.to_pylist()


def test_a_generated_column_is_computed_where_the_frame_lacks_it(engine: Any, table: Table) -> None:
    declare(table, n={"delta.generationExpression": "id * 10"}, writer=4)
    engine.append(table, GOOD.select(["id", "s"]))
    assert engine.to_reader(engine.read(table)).read_all().to_pylist() == GOOD.to_pylist()


def test_a_table_that_takes_rows_only_refuses_the_rest_at_once(engine: Any, table: Table) -> None:
    declare(table, properties={"delta.appendOnly": "true"})
    engine.append(table, GOOD)
    writes: list[Any] = [engine.overwrite, lambda *given: engine.merge(*given, ["id"])]
    for write in writes:
        with pytest.raises(UnsupportedError, match=r"'test\.t'.*delta\.appendOnly"):
            write(table, BAD)
    assert engine.versions([table])["test.t"] == 1
    engine.append(table, BAD)


def test_a_char_has_its_length(engine: Any, table: Table) -> None:
    declare(table, s={"__CHAR_VARCHAR_TYPE_STRING": "char(2)"})
    engine.append(table, GOOD)
    with pytest.raises(ConstraintError):
        engine.append(table, BAD)
    assert engine.versions([table])["test.t"] == 1


def test_a_length_within_a_nested_column_is_checked_or_refused(engine: Any, table: Table) -> None:
    if engine.name != "embedded":
        pytest.skip("Delta Lake checks it")
    declare(table, s={"__CHAR_VARCHAR_TYPE_STRING": "array<varchar(3)>"})
    with pytest.raises(UnsupportedError, match="within column 's'"):
        engine.append(table, GOOD)
