"""Who appended last: what a new run asks a table when nobody else remembers."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities.protocols import Table, Transaction

FRAME = pa.table({"k": [1]})


def test_the_newest_transaction_with_an_ending_is_found_below_other_commits(engine: Any, table: Table) -> None:
    assert engine.newest_transaction(table, "/a") == ""
    for run, pipe in (("r1", "a"), ("r2", "b"), ("r3", "a"), ("r4", "b")):
        engine.append(table, FRAME, Transaction(f"{run}/{pipe}", 1))
    engine.append(table, FRAME)
    engine.merge(table, pa.table({"k": [9]}), ["k"])
    found = {ending: engine.newest_transaction(table, ending) for ending in ("/a", "/b", "/c", "r1/a", "r1/b")}
    assert found == {"/a": "r3/a", "/b": "r4/b", "/c": "", "r1/a": "r1/a", "r1/b": ""}


def test_a_transaction_in_a_checkpoint_alone_is_found_by_its_whole_id(engine: Any, table: Table) -> None:
    from deltalake import DeltaTable

    engine.append(table, FRAME, Transaction("r1/a", 1))
    for _ in range(2):
        engine.append(table, FRAME)
    DeltaTable(table.location).create_checkpoint()
    (Path(table.location) / "_delta_log" / f"{0:020d}.json").unlink()
    assert engine.newest_transaction(table, "r1/a") == "r1/a"
    assert engine.newest_transaction(table, "/a") == ""


def test_the_transaction_of_a_table_in_a_catalog_is_found(engine: Any) -> None:
    if not engine.catalogs:
        pytest.skip("this engine knows no catalogs")
    table = Table("t.transactions", "", name=("spark_catalog", "default", "transactions"))
    try:
        engine.append(table, FRAME, Transaction("r1/a", 1))
        assert engine.newest_transaction(table, "/a") == "r1/a"
        assert engine.newest_transaction(table, "/b") == ""
    finally:
        with contextlib.suppress(Exception):
            engine.session.sql("drop table if exists spark_catalog.default.transactions")
