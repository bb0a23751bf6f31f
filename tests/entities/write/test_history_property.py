"""Any order and batching of the same changes gives the same history: hypothesis against a plain Python model."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kindling_entities import DataEntityManager, EntityStore
from kindling_entities.engines.embedded import EmbeddedEngine

sys.path.insert(0, str(Path(__file__).parents[2] / "engines"))
from model_of_history import Change, batches_at_random, changes_at_random, history_of

SCHEMA = pa.schema({"k": pa.int64(), "v": pa.string(), "at": pa.int64(), "gone": pa.bool_(), "note": pa.string()})


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    engine = EmbeddedEngine(sleep=lambda seconds: None)
    engine.start()
    engine.activate()
    yield engine
    engine.stop()


def frame(batch: list[Change]) -> pa.Table:
    rows = [{"k": one.key, "v": one.value, "at": one.at, "gone": one.gone, "note": one.note} for one in batch]
    return pa.Table.from_pylist(rows, SCHEMA)


def load(engine: Any, folder: Path, batches: list[list[Change]]) -> list[Any]:
    store = EntityStore(DataEntityManager(), engine, "lake", folder)
    store.manager.register_entity(
        "dim.t", scd=2, keys=["k"], sequence_by="at", delete_when="gone", track=["v"], surrogate_key="sk"
    )
    for batch in batches:
        store.merge_to_entity("dim.t", frame(batch))
    found = engine.to_reader(store.read_entity("dim.t")).read_all().to_pylist()
    assert all(row["is_current"] == (row["valid_to"] is None) for row in found)
    assert len({row["sk"] for row in found}) == len(found)
    return sorted(((row["k"], row["v"], row["note"], row["valid_from"], row["valid_to"]) for row in found), key=repr)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), moments=st.integers(1, 7))
def test_any_order_and_batching_gives_the_history_of_the_changes(
    engine: Any, tmp_path: Path, seed: int, moments: int
) -> None:
    chance = random.Random(seed)
    changes = changes_at_random(chance, 4, moments)
    if changes:
        batches = batches_at_random(chance, changes)
        assert load(engine, tmp_path / uuid.uuid4().hex, batches) == history_of(changes)
