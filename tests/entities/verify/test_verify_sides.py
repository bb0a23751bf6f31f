"""What ``kindling verify`` makes of two lakes: tables of one side, quarantines, histories, odd names, used folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import DataEntityManager, EntityStore, UnsupportedError, expect_or_quarantine
from kindling_entities.commands.verify import _compared, _refuse_used
from kindling_entities.engines.embedded import EmbeddedEngine


@pytest.fixture
def sides(engine: EmbeddedEngine, tmp_path: Path) -> list[EntityStore]:
    manager = DataEntityManager()
    manager.register_entity("a.plain", columns={"k": "bigint"}, keys=["k"])
    manager.register_entity("a.log", write_mode="append")
    manager.register_entity("a.odd", keys=["a.b"], partition_columns=["p q"], write_mode="append")
    manager.register_entity("a.checked", write_mode="append", expectations=[expect_or_quarantine("small", "k < 10")])
    manager.register_entity("dim.timed", scd=2, keys=["k"], surrogate_key="sk")
    manager.register_entity("dim.ordered", scd=2, keys=["k"], sequence_by="at", surrogate_key="sk")
    manager.register_entity("a.file", provider="parquet")
    store = EntityStore(manager, engine, "lake", tmp_path)
    return [store.elsewhere(engine, tmp_path / name) for name in ("embedded", "spark")]


def verdict(sides: list[EntityStore], entity_id: str) -> list[str]:
    found = _compared(entity_id, sides, 1.0)
    assert found is not None
    return found.differences


def both(sides: list[EntityStore], entity_id: str, data: dict[str, list[Any]]) -> None:
    for side in sides:
        side.write(entity_id, pa.table(data), None)


def test_a_table_of_one_side_alone_is_a_difference(sides: list[EntityStore]) -> None:
    found = _compared("a.plain", sides, 1.0)
    assert found is not None
    assert (found.equal, found.rows, found.note) == (True, (None, None), "no pipe wrote it, on either engine")
    sides[1].write("a.plain", pa.table({"k": [1]}), None)
    assert verdict(sides, "a.plain") == ["written on spark and not on embedded"]


def test_appends_of_several_pipes_are_equal_in_any_order_and_count_as_often_as_they_come(
    sides: list[EntityStore],
) -> None:
    parts = [{"v": ["a", "a"], "m": [[("x", 0.3)], None]}, {"v": ["b"], "m": [[("y", None), ("x", 1.0)]]}]
    kind = pa.map_(pa.string(), pa.float64())
    for side, order in zip(sides, (parts, parts[::-1]), strict=True):
        for part in order:
            side.write("a.log", pa.table({"v": part["v"], "m": pa.array(part["m"], kind)}), None)
    assert verdict(sides, "a.log") == []
    sides[0].write("a.log", pa.table({"v": ["b"], "m": pa.array([[("x", 1.0), ("y", None)]], kind)}), None)
    assert verdict(sides, "a.log") == ["1 row(s) are on embedded that spark lacks: v='b'"]


def test_columns_of_odd_names_are_compared(sides: list[EntityStore]) -> None:
    both(sides, "a.odd", {"a.b": [1, 2], "p q": ["x", "y"], "`t`": [1.5, None]})
    assert verdict(sides, "a.odd") == []
    sides[0].write("a.odd", pa.table({"a.b": [3], "p q": ["x"], "`t`": [0.5]}), None)
    sides[1].write("a.odd", pa.table({"a.b": [3], "p q": ["x"], "`t`": [0.25]}), None)
    assert verdict(sides, "a.odd") == [
        "column '`t`' differs in 1 row(s), such as a.b=3: 0.5 on embedded, 0.25 on spark"
    ]


def test_a_quarantine_is_compared_without_the_time(sides: list[EntityStore]) -> None:
    name = "a.checked__quarantine"
    assert _compared(name, sides, 1.0) is None
    both(sides, "a.checked", {"k": [1, 11], "v": ["x", "y"]})
    assert verdict(sides, name) == []
    sides[0].write("a.checked", pa.table({"k": [12], "v": ["z"]}), None)
    assert "1 row(s) are on embedded that spark lacks" in verdict(sides, name)[0]


def test_a_history_is_compared_by_its_moments_where_the_data_say_them(sides: list[EntityStore]) -> None:
    for at, value in ((1, "a"), (2, "b")):
        both(sides, "dim.ordered", {"k": [1], "v": [value], "at": [at]})
        both(sides, "dim.timed", {"k": [1], "v": [value]})
    assert verdict(sides, "dim.ordered") == verdict(sides, "dim.timed") == []
    sides[0].write("dim.ordered", pa.table({"k": [1], "v": ["c"], "at": [3]}), None)
    sides[1].write("dim.ordered", pa.table({"k": [1], "v": ["c"], "at": [4]}), None)
    assert any("valid_from=3" in line for line in verdict(sides, "dim.ordered"))


def test_files_are_compared_too(sides: list[EntityStore]) -> None:
    both(sides, "a.file", {"k": [1, 2]})
    assert verdict(sides, "a.file") == []
    sides[1].write("a.file", pa.table({"k": [1, 3]}), None)
    assert len(verdict(sides, "a.file")) == 2


def test_lakes_of_an_earlier_call_are_refused(sides: list[EntityStore], tmp_path: Path) -> None:
    _refuse_used(tmp_path)
    both(sides, "a.plain", {"k": [1]})
    with pytest.raises(UnsupportedError, match="embedded.*not empty"):
        _refuse_used(tmp_path)
