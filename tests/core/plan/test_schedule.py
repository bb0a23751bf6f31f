"""The ready queue: order, skip sets, pools, priorities; over random graphs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.plan.graph import ExecutionMode, PipeGraphBuilder
from kindling_core.plan.schedule import Schedule, schedule_of, unordered
from kindling_core.plan.strategies import strategy_for
from kindling_core.run.ready_queue import ReadyQueue


def plan_of(pipes, mode):
    registry = DataPipesRegistry()
    registry.mount(pipes)
    graph = PipeGraphBuilder(registry).connect([one.pipe_id for one in pipes])
    return strategy_for(mode, pipes).arrange(graph, pipes)


@st.composite
def jobs(draw, streams=False):
    size = draw(st.integers(0, 12))
    return [
        PipeMetadata(
            f"p{node}",
            f"p{node}",
            [f"e{other}" for other in range(node) if draw(st.integers(0, 3)) == 0],
            f"e{node}",
            {},
            lambda **inputs: 1,
            mode="streaming" if streams and draw(st.booleans()) else "batch",
        )
        for node in range(size)
    ]


def reads(pipes):
    return {one.pipe_id: {f"p{name[1:]}" for name in one.input_entity_ids} for one in pipes}


def downstream(failed, edges):
    """What a failure reaches, by the plain definition."""
    reached = set(failed)
    while True:
        more = {pipe_id for pipe_id, before in edges.items() if before & reached} - reached
        if not more:
            return reached - set(failed)
        reached |= more


@given(jobs(), st.data())
def test_every_pipe_ends_once_in_order_and_a_failure_skips_exactly_what_depends_on_it(pipes, data):
    edges = reads(pipes)
    failing = {pipe_id for pipe_id in edges if data.draw(st.integers(0, 4)) == 0}
    pools = {pipe_id: "heavy" for pipe_id in edges if data.draw(st.booleans())}
    workers, limit = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 2))
    queue = ReadyQueue(schedule_of(plan_of(pipes, ExecutionMode.BATCH)), pools, {"heavy": limit})
    running, ended, skipped, failed = [], [], [], set()
    while True:
        while len(running) < workers and (pipe_id := queue.take()) is not None:
            assert edges[pipe_id] <= set(ended) - failed
            running.append(pipe_id)
        assert sum(pipe_id in pools for pipe_id in running) <= limit
        if not running:
            break
        done = running.pop(data.draw(st.integers(0, len(running) - 1)))
        ended.append(done)
        if done in failing:
            failed.add(done)
        gone = queue.ended(done, done not in failing)
        assert done in failing or not gone
        skipped += gone
    assert queue.exhausted
    assert sorted([*ended, *skipped]) == sorted(edges)
    assert set(skipped) == downstream(failed, edges)


@given(jobs(streams=True), st.sampled_from(ExecutionMode))
def test_every_mode_starts_its_pipes_in_the_order_of_its_plan(pipes, mode):
    plan = plan_of(pipes, mode)
    schedule, edges = schedule_of(plan), reads(pipes)
    streams = {one.pipe_id for one in pipes if one.mode == "streaming"}
    queue, order = ReadyQueue(schedule), []
    while (pipe_id := queue.take()) is not None:
        order.append(pipe_id)
        assert queue.ended(pipe_id, True) == []
    place = {pipe_id: index for index, pipe_id in enumerate(order)}
    assert sorted(order) == sorted(edges)
    for pipe_id, before in edges.items():
        for other in before:
            if mode is ExecutionMode.BATCH or (mode is ExecutionMode.HYBRID and not {pipe_id, other} & streams):
                assert place[other] < place[pipe_id]
            elif mode is ExecutionMode.STREAMING or {pipe_id, other} <= streams:
                assert place[pipe_id] < place[other]
    if mode is ExecutionMode.HYBRID:
        assert max((place[one] for one in edges if one not in streams), default=-1) < min(
            (place[one] for one in streams), default=len(order)
        )


def test_a_stream_that_reads_what_failed_is_skipped_and_its_producer_is_not_held_up_by_it():
    pipes = [
        PipeMetadata("batch", "b", [], "dimension", {}, lambda: 1),
        PipeMetadata("first", "f", [], "raw", {}, lambda: 1, mode="streaming"),
        PipeMetadata("second", "s", ["raw", "dimension"], "out", {}, lambda **_: 1, mode="streaming"),
    ]
    queue = ReadyQueue(schedule_of(plan_of(pipes, ExecutionMode.HYBRID)))
    assert queue.take() == "batch"
    assert queue.ended("batch", False) == ["second"]
    assert queue.take() == "first"


def test_the_longest_remaining_path_goes_first():
    schedule = Schedule(["a", "b", "c", "d"], {"d": ["b"]}, {"d": ["b"]}, {"a": 1.0, "b": 3.0, "c": 2.0, "d": 2.5})
    queue = ReadyQueue(schedule)
    assert [queue.take() for _ in range(4)] == ["b", "c", "a", None]
    queue.ended("b", True)
    assert queue.take() == "d"


def test_remaining_paths_come_from_expected_seconds_and_unknown_ones_count_as_usual():
    pipes = [
        PipeMetadata("a", "a", [], "x", {}, lambda: 1),
        PipeMetadata("b", "b", ["x"], "y", {}, lambda **_: 1),
        PipeMetadata("c", "c", [], "z", {}, lambda: 1),
    ]
    schedule = schedule_of(plan_of(pipes, ExecutionMode.BATCH), {"a": 1.0, "c": 5.0})
    assert schedule.remaining == {"a": 6.0, "b": 5.0, "c": 5.0}
    assert schedule.critical_path() == ["a", "b"]


def test_a_full_pool_does_not_hold_up_the_others():
    queue = ReadyQueue(unordered("abc"), {"a": "heavy", "b": "heavy"}, {"heavy": 1})
    assert [queue.take(), queue.take(), queue.take()] == ["a", "c", None]
    queue.ended("a", True)
    assert queue.take() == "b"


def test_a_pipe_that_waits_to_be_tried_again_leaves_its_pool_to_others():
    queue = ReadyQueue(unordered("ab"), {"a": "heavy", "b": "heavy"}, {"heavy": 1})
    assert queue.take() == "a"
    queue.pause("a")
    assert queue.take() == "b"
    queue.put_back("a")
    assert queue.take() is None
    assert not queue.exhausted
    queue.ended("b", True)
    assert queue.take() == "a"


def test_a_stopped_queue_gives_out_nothing():
    queue = ReadyQueue(unordered("ab"))
    queue.take()
    queue.stop()
    assert queue.take() is None
    assert queue.exhausted
