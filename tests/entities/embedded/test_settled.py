"""delta-rs raises after it has committed: what was committed counts, and what nobody can read is taken back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import Transaction
from kindling_entities.engines.embedded import EmbeddedEngine, _delta
from kindling_entities.protocols import Table


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedEngine]:
    made = EmbeddedEngine(sleep=lambda seconds: None)
    yield made
    made.stop()


def rows(engine: EmbeddedEngine, table: Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = engine.to_reader(engine.read(table)).read_all().to_pylist()
    return sorted(found, key=str)


@pytest.mark.parametrize("write", ["append", "overwrite", "merge"])
def test_a_write_whose_checkpoint_fails_is_done_once(
    tmp_path: Path, engine: EmbeddedEngine, write: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table("test.t", str(tmp_path / "t"), properties={"delta.checkpointInterval": "2"})
    engine.append(table, pa.table({"n": [1]}))
    # The checkpoint of the next version cannot be named the last one, since a folder is in its way.
    (tmp_path / "t" / "_delta_log" / "_last_checkpoint").mkdir()
    extra: tuple[Any, ...] = (["n"],) if write == "merge" else ()

    def do() -> Any:
        return getattr(engine, write)(table, pa.table({"n": [2]}), *extra, Transaction("a pipe", 1))

    with caplog.at_level(logging.WARNING, "kindling.entities"):
        commit = do()
    assert (commit.version, commit.old_version) == (1, 0)
    assert "Version 1 of 'test.t' was committed" in caplog.text
    assert rows(engine, table) == ([{"n": 2}] if write == "overwrite" else [{"n": 1}, {"n": 2}])
    assert do().skipped


def test_a_commit_that_nobody_can_read_is_taken_back(
    tmp_path: Path, engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table("test.t", str(tmp_path / "t"), partition_columns=("p",))

    def data(value: str) -> pa.Table:
        return pa.table({"n": [1], "p": pa.array([Decimal(value)], pa.decimal128(5, 2))})

    # Let a value pass that is refused otherwise, as one would of which nobody knows yet.
    monkeypatch.setattr(_delta, "checker", lambda *given: None)
    for _ in range(2):
        with pytest.raises(Exception, match="Failed to parse value '0.-50'"):
            engine.append(table, data("-0.50"))
        assert not engine.exists(table)
    engine.append(table, data("0.50"))
    with pytest.raises(Exception, match="Failed to parse value '0.-50'"):
        engine.append(table, data("-0.50"))
    assert rows(engine, table) == [{"n": 1, "p": Decimal("0.50")}]
    engine.append(table, data("1.50"))
    assert engine.versions([table])["test.t"] == 1
