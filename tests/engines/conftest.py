"""The engine that the contract suite runs on. pyspark allows one kind of session a process, so one kind a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.protocols import Table


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    made = EmbeddedEngine(sleep=lambda seconds: None)
    made.start()
    made.activate()
    yield made
    made.stop()


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table("test.t", str(tmp_path / "t"))
