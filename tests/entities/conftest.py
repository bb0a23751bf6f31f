"""The embedded engine, one for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kindling_entities.engines.embedded import EmbeddedEngine


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedEngine]:
    made = EmbeddedEngine()
    made.start()
    made.activate()
    yield made
    made.stop()
