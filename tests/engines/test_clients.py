"""Clients of Spark Connect share threads within a process: what one of them closes keeps the others going."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import KIND

from kindling_entities.protocols import Table

PATIENCE_SECONDS = 30


@pytest.mark.skipif(KIND != "connect", reason="only clients of a Connect server hand answers back on shared threads")
def test_sessions_of_writes_end_without_the_threads_of_others(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.sql.connect.client.reattach import ExecutePlanResponseReattachableIterator as Responses

    table = Table("t.clients", str(tmp_path / "clients"))
    pool = ThreadPoolExecutor(2)
    monkeypatch.setattr(Responses, "_release_thread_pool_instance", pool)
    for number in range(3):
        # Each append has a session of its own.
        engine.append(table, pa.table({"n": [number]}))
    gc.collect()
    assert pool.submit(lambda: "works").result(PATIENCE_SECONDS) == "works"
    assert engine.read(table).count() == 3
    pool.shutdown()
