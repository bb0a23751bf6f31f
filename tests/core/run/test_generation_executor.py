"""One generation: parallel, failing fast, cancelled, interrupted."""

from __future__ import annotations

import contextvars
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindling_core.errors import GenerationFailed
from kindling_core.run.generation_executor import GenerationExecutor
from kindling_core.signals import BlinkerSignalProvider

PATIENCE_SECONDS = 30


def recorded(provider):
    events = []
    for name in GenerationExecutor.EMITS:

        def receive(sender, name=name, **fields):
            events.append((name, fields))

        provider.create_signal(name).connect(receive)
    return events


def test_pipes_of_a_generation_run_at_the_same_time():
    meet = threading.Barrier(3, timeout=PATIENCE_SECONDS)
    with GenerationExecutor(max_workers=3) as executor:
        assert executor.execute_generation(["a", "b", "c"], lambda pipe_id: meet.wait(), 0) == {
            "a": True,
            "b": True,
            "c": True,
        }


def test_one_worker_runs_pipes_in_order():
    seen = []
    with GenerationExecutor(max_workers=1) as executor:
        executor.execute_generation(["b", "a"], seen.append, 0)
    assert seen == ["b", "a"]


def test_threads_are_kept_from_one_generation_to_the_next():
    names = set()
    with GenerationExecutor(max_workers=2) as executor:
        for index in range(5):
            meet = threading.Barrier(2, timeout=PATIENCE_SECONDS)

            def work(pipe_id, meet=meet):
                meet.wait()
                names.add(threading.current_thread().name)

            executor.execute_generation(["a", "b"], work, index)
    assert len(names) == 2


def test_signals_go_around_the_generation_and_share_an_operation():
    provider = BlinkerSignalProvider()
    events = recorded(provider)
    with GenerationExecutor(2, provider) as executor:
        executor.execute_generation(["a", "b"], lambda pipe_id: 5, 7, run_id="r1")
    (before_name, before), (after_name, after) = events
    assert (before_name, after_name) == ("execution.before_generation", "execution.after_generation")
    assert before["generation_index"] == after["generation_index"] == 7
    assert before["pipe_ids"] == ["a", "b"]
    assert before["pipe_count"] == 2
    assert after["results"] == {"a": True, "b": True}
    assert (after["success_count"], after["failed_count"]) == (2, 0)
    assert before["run_id"] == after["run_id"] == "r1"
    assert before["operation_id"] == after["operation_id"]


def test_the_first_failure_keeps_what_has_not_started_from_starting():
    started = []

    def work(pipe_id):
        started.append(pipe_id)
        if pipe_id == "b":
            raise ValueError("no")

    with pytest.raises(GenerationFailed) as caught:
        GenerationExecutor(max_workers=1).execute_generation(["a", "b", "c"], work, 0)
    assert started == ["a", "b"]
    assert caught.value.results == {"a": True, "b": False}
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_failure_waits_for_what_runs_and_carries_every_failure_and_result():
    provider = BlinkerSignalProvider()
    events = recorded(provider)
    all_started = threading.Barrier(3, timeout=PATIENCE_SECONDS)
    first_failed = threading.Event()

    def work(pipe_id):
        all_started.wait()
        if pipe_id == "a":
            first_failed.set()
            raise ValueError("first")
        first_failed.wait(PATIENCE_SECONDS)
        if pipe_id == "b":
            raise KeyError("second")

    with GenerationExecutor(3, provider) as executor, pytest.raises(GenerationFailed) as caught:
        executor.execute_generation(["a", "b", "c", "d"], work, 0)
    assert set(caught.value.failures) == {"a", "b"}
    assert caught.value.results == {"a": False, "b": False, "c": True}
    assert events[-1][1]["results"] == {"a": False, "b": False, "c": True}
    assert (events[-1][1]["success_count"], events[-1][1]["failed_count"]) == (1, 2)


def test_cancelling_keeps_what_has_not_started_from_starting():
    cancel = threading.Event()
    results = GenerationExecutor(max_workers=1).execute_generation(
        ["a", "b"], lambda pipe_id: cancel.set(), 0, cancel=cancel
    )
    assert results == {"a": True}


@pytest.mark.parametrize("workers", [1, 3])
def test_an_interrupt_out_of_a_pipe_goes_on_once_the_rest_has_ended(workers):
    provider = BlinkerSignalProvider()
    events = recorded(provider)

    def work(pipe_id):
        raise KeyboardInterrupt

    with GenerationExecutor(workers, provider) as executor, pytest.raises(KeyboardInterrupt):
        executor.execute_generation(["a", "b"], work, 0)
    assert [name for name, _ in events] == ["execution.before_generation", "execution.after_generation"]


def test_a_pipe_sees_the_context_of_its_caller():
    variable = contextvars.ContextVar("variable")
    variable.set("here")
    seen = []
    with GenerationExecutor(2) as executor:
        executor.execute_generation(["a", "b"], lambda pipe_id: seen.append(variable.get()), 0)
    assert seen == ["here", "here"]


def test_an_empty_generation_is_no_work():
    assert GenerationExecutor().execute_generation([], lambda pipe_id: None, 0) == {}


def test_an_executor_can_be_used_again_after_it_was_closed():
    executor = GenerationExecutor(2)
    for index in range(2):
        assert len(executor.execute_generation(["a", "b"], lambda pipe_id: None, index)) == 2
        executor.close()
        executor.close()


def test_no_workers_is_refused():
    with pytest.raises(ValueError, match="max_workers"):
        GenerationExecutor(0)


@given(st.lists(st.booleans(), max_size=8), st.integers(1, 4))
def test_every_started_pipe_has_a_result_and_a_failure_exactly_if_it_failed(fates, workers):
    generation = [f"p{index}" for index in range(len(fates))]

    def work(pipe_id):
        if not fates[int(pipe_id[1:])]:
            raise ValueError(pipe_id)

    with GenerationExecutor(workers) as executor:
        try:
            results, failures = executor.execute_generation(generation, work, 0), {}
        except GenerationFailed as failed:
            results, failures = failed.results, failed.failures
    assert bool(failures) is (not all(fates))
    assert {pipe_id for pipe_id, succeeded in results.items() if not succeeded} == set(failures)
    assert all(fates[int(pipe_id[1:])] is succeeded for pipe_id, succeeded in results.items())
