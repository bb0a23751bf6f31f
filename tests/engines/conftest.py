"""The engine that the contract suite runs on. pyspark allows one kind of session a process, so one kind a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kindling_entities.protocols import Table

# embedded, spark (classic, local) or connect (Spark Connect, local); `make test` runs pytest once for each.
KIND = os.environ.get("KINDLING_TEST_ENGINE", "embedded")
CONF = {"spark.sql.shuffle.partitions": "2", "spark.driver.memory": "1g"}


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if KIND == "embedded":
        from kindling_entities.engines.embedded import EmbeddedEngine

        made: Any = EmbeddedEngine(sleep=lambda seconds: None)
    else:
        from kindling_entities.engines.spark import SparkEngine

        where = {"remote": "local[2]"} if KIND == "connect" else {"master": "local[2]"}
        warehouse = {"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse"))}
        made = SparkEngine(conf=CONF | warehouse, sleep=lambda seconds: None, **where)
    made.start()
    made.activate()
    yield made
    made.stop()


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table("test.t", str(tmp_path / "t"))
