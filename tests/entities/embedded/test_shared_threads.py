"""The clients of a process share a pool of threads, which the embedded engine neither uses nor ends."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyspark.sql.connect.client.reattach import ExecutePlanResponseReattachableIterator as Responses

from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.errors import EngineError

PATIENCE_SECONDS = 30


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """The pool that a client of another server made."""
    before, made = Responses._release_thread_pool_instance, ThreadPoolExecutor(1)
    Responses._release_thread_pool_instance = made
    yield made
    Responses._release_thread_pool_instance = before
    made.shutdown()


def test_a_client_that_is_closed_or_collected_leaves_the_threads_of_the_others_alone(pool: ThreadPoolExecutor) -> None:
    engine = EmbeddedEngine()
    engine.start()
    session = engine.session
    assert session.range(5000).count() == 5000
    engine.stop()
    assert session.is_stopped
    # As the collector does: pyspark closes the client of a session once more.
    session.__del__()
    del session, engine
    gc.collect()
    assert pool.submit(lambda: "works").result(PATIENCE_SECONDS) == "works"


def test_answers_are_not_handed_back_on_the_threads_of_the_others(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = list[object]()
    monkeypatch.setattr(pool, "submit", lambda *task: handed.append(task))
    engine = EmbeddedEngine()
    engine.start()
    try:
        assert engine.session.range(100_000).toArrow().num_rows == 100_000
    finally:
        engine.stop()
    assert handed == []


def test_an_answer_that_is_cut_off_is_an_error_and_the_session_goes_on() -> None:
    engine, given = EmbeddedEngine(), list[int]()
    engine.start()
    session = engine.session

    def read(plan: object) -> None:
        for part in session.client.to_table_as_iterator(plan, {}):
            if not given:
                session.interruptAll()
            given.append(getattr(part, "num_rows", 0))

    try:
        with pytest.raises(EngineError, match="before all rows had come"):
            read(session.range(2_000_000_000)._plan.to_proto(session.client))
        assert 0 < sum(given) < 2_000_000_000
        assert session.range(10).count() == 10
    finally:
        engine.stop()


def test_an_answer_that_nobody_reads_on_is_handed_back() -> None:
    engine = EmbeddedEngine()
    engine.start()
    session = engine.session
    try:
        plan = session.range(2_000_000_000)._plan.to_proto(session.client)
        parts = session.client.to_table_as_iterator(plan, {})
        next(parts)
        del parts
        gc.collect()
        # What runs would be among them.
        assert session.interruptAll() == []
    finally:
        engine.stop()


def test_thousands_of_answers_come_on_one_connection() -> None:
    engine = EmbeddedEngine()
    engine.start()
    session = engine.session
    try:
        for number in range(1000):
            assert session.sql(f"select {number} as n").toArrow()["n"].to_pylist() == [number]
    finally:
        engine.stop()
