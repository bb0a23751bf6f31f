"""What failures, retries, timeouts and cancelling do to a run."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling_core import App, Pipes
from kindling_core.clock import ManualClock
from kindling_core.errors import PipeAbandoned, PipeDefinitionError, PipeTimeout, RunFailed, RunTimeout
from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.run.executer import DataPipesExecuter
from kindling_core.run.hooks import RunHooks
from kindling_core.run.io import RunIO
from kindling_core.run.options import RunOptions
from kindling_core.run.policy import OnFailure, PipePolicy, RetryPolicy
from kindling_core.signals import BlinkerSignalProvider
from tests.core.run.test_streams import Stream

PATIENCE_SECONDS = 30
GRACE_SECONDS = RunOptions.grace_seconds
NO_DELAY = RetryPolicy(3, delay_seconds=0.0)
ENDINGS = ("datapipes.after_pipe", "datapipes.pipe_failed", "datapipes.pipe_skipped")


def pipe(pipe_id, inputs=(), execute=None, **options):
    mode = options.pop("mode", "batch")
    return PipeMetadata(
        pipe_id, pipe_id, list(inputs), f"of.{pipe_id}", {}, execute or (lambda **_: 1), mode, options=options
    )


def of(*names):
    return [f"of.{name}" for name in names]


def broken(**inputs):
    raise ValueError("broken")


class Flaky:
    """Fails so many times, then succeeds."""

    def __init__(self, failures, error=ConnectionError):
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self, **inputs):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error("again, please")
        return 1


class Job:
    def __init__(self, *pipes, workers=4, hooks=None, clock=None, io=None, **options):
        registry = DataPipesRegistry()
        registry.mount(pipes)
        self.ids = registry.get_pipe_ids()
        provider = BlinkerSignalProvider()
        self.executer = DataPipesExecuter(
            registry,
            signal_provider=provider,
            max_workers=workers,
            options=RunOptions(**options),
            hooks=hooks,
            clock=clock,
            io=io,
        )
        self.events, self.provider = [], provider
        for name in DataPipesExecuter.EMITS:

            def receive(sender, name=name, **fields):
                self.events.append((name, fields))

            provider.create_signal(name).connect(receive)

    def run(self, **how):
        try:
            self.error, self.report = None, self.executer.run_datapipes(self.ids, **how)
        except RunFailed as error:
            self.error, self.report = error, error.report
        return self.report

    def run_while(self, act):
        """Run on another thread while something is done on this thread."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        act()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
        return self.report

    def told(self, name):
        return [fields for other, fields in self.events if other == f"datapipes.{name}"]

    @property
    def statuses(self):
        return {one.pipe_id: one.status for one in self.report.pipes}


# Policies


def test_what_does_not_depend_on_a_failure_goes_on_and_skips_name_their_cause():
    job = Job(pipe("a", [], broken), pipe("b", of("a")), pipe("c", of("b")), pipe("x"), pipe("y", of("x")))
    job.run()
    assert job.statuses == {"a": "failed", "b": "skipped", "c": "skipped", "x": "succeeded", "y": "succeeded"}
    assert {(one["pipe_id"], one["caused_by"], one["reason"]) for one in job.told("pipe_skipped")} == {
        ("b", "a", "pipe 'a' failed"),
        ("c", "a", "pipe 'a' failed"),
    }
    assert job.report.pipe("c").caused_by == "a"


def test_every_failure_is_in_the_report_the_error_and_the_signal():
    job = Job(pipe("a", [], broken), pipe("b", [], broken), pipe("c"))
    job.run()
    assert set(job.error.failures) == {"a", "b"}
    assert "2 pipes failed" in str(job.error)
    assert "'a'" in str(job.error)
    assert "'b'" in str(job.error)
    (failed,) = job.told("run_failed")
    assert sorted(failed["failed_pipes"]) == ["a", "b"]
    assert failed["failed_pipe"] == failed["failed_pipes"][0]
    assert failed["success_count"] == 1


def test_fail_fast_starts_nothing_new_and_lets_running_pipes_end():
    started, failed, ended = threading.Event(), threading.Event(), threading.Event()

    def fail():
        started.wait(PATIENCE_SECONDS)
        raise ValueError("broken")

    def slow():
        started.set()
        failed.wait(PATIENCE_SECONDS)
        return 1

    job = Job(pipe("a", [], fail), pipe("b", [], slow), pipe("c", of("b")), on_failure=OnFailure.FAIL_FAST)

    def hear_failure(sender, **fields):
        failed.set()
        # A receiver that takes its time lets nothing start meanwhile.
        ended.wait(PATIENCE_SECONDS)

    def hear_ending(sender, **fields):
        ended.set()

    job.provider.create_signal("datapipes.pipe_failed").connect(hear_failure)
    job.provider.create_signal("datapipes.after_pipe").connect(hear_ending)
    job.run()
    assert job.statuses == {"a": "failed", "b": "succeeded", "c": "skipped"}
    assert job.report.pipe("c").caused_by == "a"


@pytest.mark.parametrize("on_failure", OnFailure)
@pytest.mark.parametrize("schedule", ["ready", "generation"])
def test_an_allowed_failure_skips_what_depends_on_it_and_fails_nothing_else(on_failure, schedule):
    job = Job(
        pipe("a", [], broken, allow_failure=True),
        pipe("b", of("a")),
        pipe("c"),
        workers=1,
        on_failure=on_failure,
        schedule=schedule,
    )
    report = job.run()
    assert job.error is None
    assert report.status == "succeeded"
    assert job.statuses == {"a": "failed", "b": "skipped", "c": "succeeded"}
    assert report.pipe("a").allowed
    assert job.told("after_run")[0]["failed_count"] == 1


def test_a_generation_runs_what_the_failure_of_an_earlier_one_does_not_touch():
    job = Job(
        pipe("a", [], broken),
        pipe("x"),
        pipe("b", of("a")),
        pipe("y", of("x")),
        pipe("c", of("b")),
        schedule="generation",
    )
    job.run()
    assert job.statuses == {"a": "failed", "x": "succeeded", "b": "skipped", "y": "succeeded", "c": "skipped"}
    after = [fields for name, fields in job.events if name == "execution.after_generation"]
    assert [fields["results"] for fields in after] == [{"a": False, "x": True}, {"y": True}]


def test_a_generation_waits_for_the_one_before_it_and_the_ready_queue_does_not():
    order = {}
    for schedule in ("generation", "ready"):
        follower, seen = threading.Event(), []
        order[schedule] = seen

        def slow(follower=follower, seen=seen):
            seen.append(follower.wait(1.0))
            return 1

        job = Job(
            pipe("fast"),
            pipe("slow", [], slow),
            pipe("after fast", of("fast"), lambda follower=follower, **_: follower.set() or 1),
            schedule=schedule,
        )
        job.run()
    assert order == {"generation": [False], "ready": [True]}


@pytest.mark.parametrize("mode", ["streaming", "hybrid"])
@pytest.mark.parametrize("schedule", ["ready", "generation"])
def test_streams_start_consumers_first_and_after_the_batch_pipes(mode, schedule):
    order = []
    stream = Stream()

    def start(one, run, fence):
        order.append(one.pipe_id)
        return stream

    hooks = RunHooks(start_stream=start)
    job = Job(
        pipe("raw", [], mode="streaming"),
        pipe("clean", of("raw"), mode="streaming"),
        pipe("served", of("clean"), mode="streaming"),
        pipe("table", [], lambda: order.append("table") or 1),
        hooks=hooks,
        schedule=schedule,
    )
    report = job.run(mode=mode)
    assert job.error is None
    stream.end()
    report.open_run.wait(PATIENCE_SECONDS)
    streams = [one for one in order if one != "table"]
    assert streams == ["served", "clean", "raw"]
    if mode == "hybrid":
        assert order[0] == "table"


def test_without_a_graph_a_failure_skips_what_reads_it_later():
    job = Job(pipe("a", [], broken), pipe("b", of("a")), pipe("c"))
    job.run(use_graph=False)
    assert job.statuses == {"a": "failed", "b": "skipped", "c": "succeeded"}


# Retries


def test_a_retry_is_told_with_its_attempts_and_the_pipe_ends_once():
    flaky = Flaky(2)
    job = Job(pipe("a", [], flaky), pipe=PipePolicy(NO_DELAY))
    report = job.run()
    assert (flaky.calls, report.pipe("a").attempts, report.status) == (3, 3, "succeeded")
    assert [(one["attempt"], one["will_retry"], one["max_attempts"]) for one in job.told("pipe_retrying")] == [
        (1, True, 3),
        (2, True, 3),
    ]
    assert [one["attempt"] for one in job.told("before_pipe")] == [1]
    assert [(one["attempt"], one["will_retry"]) for one in job.told("after_pipe")] == [(3, False)]
    assert job.told("pipe_failed") == []
    assert (
        len({one["operation_id"] for name in ("before_pipe", "pipe_retrying", "after_pipe") for one in job.told(name)})
        == 1
    )


def test_pipe_failed_is_sent_once_when_no_retry_remains():
    job = Job(pipe("a", [], Flaky(9)), pipe=PipePolicy(NO_DELAY))
    job.run()
    (failed,) = job.told("pipe_failed")
    assert (failed["attempt"], failed["will_retry"], failed["error_type"]) == (3, False, "ConnectionError")
    assert len(job.told("pipe_retrying")) == 2


def test_a_permanent_error_is_not_tried_again_unless_a_feature_knows_better():
    flaky = Flaky(1, ValueError)
    job = Job(pipe("a", [], flaky), pipe=PipePolicy(NO_DELAY))
    job.run()
    assert flaky.calls == 1
    flaky = Flaky(1, ValueError)
    job = Job(pipe("a", [], flaky), pipe=PipePolicy(NO_DELAY), hooks=RunHooks(classify=lambda error, one: True))
    assert job.run().status == "succeeded"
    flaky = Flaky(1)
    job = Job(pipe("a", [], flaky), pipe=PipePolicy(NO_DELAY), hooks=RunHooks(classify=lambda error, one: False))
    job.run()
    assert flaky.calls == 1


def test_delays_pass_on_the_clock_of_the_executer_and_hold_up_nobody():
    clock = ManualClock()
    policy = RetryPolicy(4, delay_seconds=100, backoff_multiplier=2, max_delay_seconds=300, jitter=0)
    job = Job(pipe("a", [], Flaky(3)), pipe("b"), pipe=PipePolicy(policy), clock=clock, workers=1)
    report = job.run_while(lambda: [clock.elapse(seconds) for seconds in (100, 200, 300)])
    assert report.status == "succeeded"
    assert [one["delay_seconds"] for one in job.told("pipe_retrying")] == [100, 200, 300]
    assert [report.duration_seconds, report.pipe("a").duration_seconds, report.pipe("b").duration_seconds] == [
        600,
        600,
        0,
    ]


def test_a_run_that_is_cancelled_while_a_pipe_waits_for_its_retry_fails_that_pipe_with_its_error():
    job = Job(
        pipe("a", [], Flaky(9)),
        pipe("b", of("a")),
        pipe=PipePolicy(RetryPolicy(3, delay_seconds=3600, max_delay_seconds=3600)),
    )
    retrying = job.executer
    job.events_provider = None

    def stop(sender, **fields):
        retrying.cancel()

    retrying._provider.create_signal("datapipes.pipe_retrying").connect(stop)
    job.run()
    assert job.report.pipe("a").status == "failed"
    assert "again, please" in job.report.pipe("a").error
    assert job.report.pipe("b").status == "skipped"


# Timeouts


def test_a_pipe_that_takes_too_long_is_left_behind_and_may_not_write():
    go_on, late = threading.Event(), threading.Event()
    written, threads = [], []

    def hang():
        threads.append(threading.current_thread())
        go_on.wait(PATIENCE_SECONDS)
        late.set()
        return "late"

    job = Job(
        pipe("a", [], hang, timeout_seconds=5),
        pipe("b", of("a")),
        pipe("c"),
        workers=1,
        clock=(clock := ManualClock()),
        io=lambda info, plan: RunIO(lambda *_: 1, lambda entity_id, value, one: written.append(value)),
    )
    job.run_while(lambda: (clock.elapse(5), clock.elapse(GRACE_SECONDS)))
    assert job.statuses == {"a": "failed", "b": "skipped", "c": "succeeded"}
    failed = job.report.pipe("a")
    assert (failed.error_type, failed.abandoned) == ("PipeTimeout", True)
    assert "longer than 5 s" in failed.error
    assert "left behind; it can no longer write" in failed.error
    count = len(job.events)
    go_on.set()
    assert late.wait(PATIENCE_SECONDS)
    threads[0].join(PATIENCE_SECONDS)
    assert written == [1]
    assert len(job.events) == count


def test_a_timeout_has_the_engine_interrupted_and_the_pipe_fails_with_its_cause():
    stopped = threading.Event()

    def computing():
        assert stopped.wait(PATIENCE_SECONDS)
        raise RuntimeError("the operation was stopped")

    hooks = RunHooks(interrupt=lambda one, run: stopped.set())
    job = Job(pipe("a", [], computing, timeout_seconds=0.05), hooks=hooks)
    job.run()
    error = job.report.exceptions["a"]
    assert isinstance(error, PipeTimeout)
    assert isinstance(error.__cause__, RuntimeError)
    assert not job.report.pipe("a").abandoned


def test_a_commit_that_is_under_way_when_time_runs_out_is_waited_for_and_counts():
    inside, timed_out = threading.Event(), threading.Event()

    def write(entity_id, value, one):
        inside.set()
        assert timed_out.wait(PATIENCE_SECONDS)
        return 7

    hooks = RunHooks(interrupt=lambda one, run: timed_out.set())
    job = Job(pipe("a", [], timeout_seconds=1.0), hooks=hooks, grace_seconds=0.0, io=lambda *_: RunIO(None, write))
    assert job.run().pipe("a").rows == 7


def test_a_timeout_is_worth_another_attempt():
    hangs = [True]
    release = threading.Event()

    def once():
        if hangs.pop() if hangs else False:
            release.wait(PATIENCE_SECONDS)
        return 1

    job = Job(pipe("a", [], once, timeout_seconds=1.0), grace_seconds=0.0, pipe=PipePolicy(NO_DELAY))
    report = job.run()
    release.set()
    assert (report.status, report.pipe("a").attempts) == ("succeeded", 2)
    assert job.told("pipe_retrying")[0]["error_type"] == "PipeTimeout"


def test_a_run_that_takes_too_long_fails_and_says_so():
    release = threading.Event()
    job = Job(
        pipe("a", [], lambda: release.wait(PATIENCE_SECONDS)),
        pipe("b", of("a")),
        timeout_seconds=5,
        clock=(clock := ManualClock()),
    )
    job.run_while(lambda: (clock.elapse(5), clock.elapse(GRACE_SECONDS)))
    release.set()
    assert job.report.status == "failed"
    assert isinstance(job.error.__cause__, RunTimeout)
    assert job.told("run_failed")[0]["error_type"] == "RunTimeout"
    assert job.statuses == {"a": "failed", "b": "skipped"}
    assert "longer than 5 s" in job.report.pipe("b").reason


# Cancelling


def test_cancelling_a_run_whose_pipe_hangs_ends_it_with_a_whole_report():
    started, release = threading.Event(), threading.Event()

    def hang():
        started.set()
        release.wait(PATIENCE_SECONDS)
        return 1

    clock = ManualClock()
    job = Job(pipe("a", [], hang), pipe("b", of("a")), clock=clock)

    def cancel():
        assert started.wait(PATIENCE_SECONDS)
        job.executer.cancel()
        clock.elapse(GRACE_SECONDS)

    job.run_while(cancel)
    release.set()
    assert job.report.status == "cancelled"
    assert job.statuses == {"a": "failed", "b": "skipped"}
    assert job.report.pipe("a").abandoned
    assert job.told("run_failed")[0]["error_type"] == "Cancelled"


def test_a_fence_lets_nothing_through_once_it_is_closed():
    from kindling_core.run.fence import Fence

    fence = Fence()
    fence.enter()
    assert not fence.close()
    fence.leave(committed=False)
    assert not fence.committed
    assert fence.close()
    with pytest.raises(PipeAbandoned):
        fence.enter()


def test_a_time_limit_comes_too_late_for_what_is_committed():
    from kindling_core.run.fence import Fence

    fence = Fence()
    with fence.committing():
        assert not fence.give_up()
    assert fence.committed
    assert not fence.close()
    fence.check()
    assert fence.give_up(), "nothing follows it all the same"
    with pytest.raises(PipeAbandoned):
        fence.check()


# Through an App


def test_the_job_file_sets_policies_and_a_pipe_its_own():
    flaky, pipes = Flaky(1), Pipes()
    pipes.pipe("a", retry=2)(flaky.__call__)
    pipes.pipe("b", allow_failure=True)(broken)
    config = {"execution": {"retry": {"delay_seconds": 0}, "on_failure": "fail_fast", "pools": {"heavy": 1}}}
    with App(config=config, environ={}) as app:
        app.mount(pipes)
        report = app.run()
    assert (report.pipe("a").attempts, report.pipe("b").status, report.status) == (2, "failed", "succeeded")


def test_an_unknown_pool_is_found_when_the_job_is_composed():
    pipes = Pipes()
    pipes.pipe("a", pool="havy")(lambda: None)
    with pytest.raises(PipeDefinitionError, match="Did you mean 'heavy'"):
        App(config={"execution": {"pools": {"heavy": 1}}}, environ={}).mount(pipes)


# Proof


@st.composite
def runs(draw):
    size = draw(st.integers(0, 10))
    fates = {}
    pipes = []
    for node in range(size):
        inputs = [f"of.p{other}" for other in range(node) if draw(st.integers(0, 3)) == 0]
        fate = draw(st.sampled_from(["ok", "ok", "ok", "fails", "allowed", "flaky", "skipped"]))
        fates[f"p{node}"] = fate
        execute = {"fails": broken, "allowed": broken, "flaky": Flaky(1)}.get(fate)
        options = {"allow_failure": True} if fate == "allowed" else {}
        if draw(st.booleans()):
            options["pool"] = "heavy"
        pipes.append(pipe(f"p{node}", inputs, execute, **options))
    return pipes, fates


@settings(deadline=None, max_examples=150)
@given(runs(), st.integers(1, 4), st.sampled_from(["ready", "generation"]))
def test_any_run_keeps_to_order_limits_and_skip_sets(case, workers, schedule):
    pipes, fates = case
    running, most, heavy, lock = [0], [0], [0], threading.Lock()
    over = []

    def before(one, run):
        if fates[one.pipe_id] == "skipped":
            return "not today"
        return None

    def measured(one):
        inner, is_heavy = one.execute, "pool" in one.options

        def execute(**inputs):
            with lock:
                running[0] += 1
                heavy[0] += is_heavy
                most[0] = max(most[0], running[0])
                over.append(heavy[0])
            try:
                return inner(**inputs)
            finally:
                with lock:
                    running[0] -= 1
                    heavy[0] -= is_heavy

        return PipeMetadata(
            one.pipe_id, one.name, one.input_entity_ids, one.output_entity_id, {}, execute, options=one.options
        )

    job = Job(
        *map(measured, pipes),
        workers=workers,
        hooks=RunHooks(before_pipe=before),
        schedule=schedule,
        pools={"heavy": 2},
        pipe=PipePolicy(NO_DELAY),
        io=lambda *_: RunIO(lambda *_: 1, lambda *_: 1),
    )
    job.run()
    edges = {one.pipe_id: {name.removeprefix("of.") for name in one.input_entity_ids} for one in pipes}
    bad = {one for one, fate in fates.items() if fate in ("fails", "allowed")}
    doomed = set()
    for one in pipes:
        if edges[one.pipe_id] & (bad | doomed):
            doomed.add(one.pipe_id)
    for one, status in job.statuses.items():
        expected = "skipped" if one in doomed or fates[one] == "skipped" else "failed" if one in bad else "succeeded"
        assert status == expected, one
    assert most[0] <= workers
    assert max(over, default=0) <= 2
    ended = [fields["pipe_id"] for name, fields in job.events if name in ENDINGS]
    assert sorted(ended) == sorted(edges)
    place = {pipe_id: index for index, pipe_id in enumerate(ended)}
    for pipe_id, before_it in edges.items():
        # A pipe is skipped as soon as one of its producers has failed, whatever the others still do.
        assert pipe_id in doomed or all(place[other] < place[pipe_id] for other in before_it)
    assert (job.error is None) is not any(fate == "fails" and one not in doomed for one, fate in fates.items())


def test_two_thousand_pipes_with_failures_retries_timeouts_and_receivers_that_raise():
    chance = random.Random(20_260_721)
    release = threading.Event()
    size, pipes, fates = 2_000, [], {}

    def hang(**inputs):
        release.wait(PATIENCE_SECONDS)
        return 1

    for node in range(size):
        inputs = (
            {f"of.p{chance.randrange(max(0, node - 60), node)}" for _ in range(chance.randrange(3))} if node else set()
        )
        fate = chance.choices(["ok", "flaky", "fails", "hangs"], [80, 15, 4.8, 0.2])[0]
        fates[f"p{node}"] = fate
        execute = {"flaky": Flaky(chance.randrange(1, 3)), "fails": broken, "hangs": hang}.get(fate)
        options = {"timeout_seconds": 0.05} if fate == "hangs" else {}
        pipes.append(pipe(f"p{node}", sorted(inputs), execute, **options))
    job = Job(
        *pipes,
        workers=8,
        grace_seconds=0.05,
        pipe=PipePolicy(RetryPolicy(3, delay_seconds=0.001)),
        io=lambda *_: RunIO(lambda *_: 1, lambda *_: 1),
    )
    provider = job.executer._provider
    for name in DataPipesExecuter.EMITS:
        provider.create_signal(name).connect(lambda sender, **fields: 1 / 0)
    job.run()
    release.set()
    edges = {one.pipe_id: {name.removeprefix("of.") for name in one.input_entity_ids} for one in pipes}
    bad = {one for one, fate in fates.items() if fate in ("fails", "hangs")}
    doomed = set()
    for one in pipes:
        if edges[one.pipe_id] & (bad | doomed):
            doomed.add(one.pipe_id)
    for one in job.report.pipes:
        expected = "skipped" if one.pipe_id in doomed else "failed" if one.pipe_id in bad else "succeeded"
        assert one.status == expected, one
    ended = [fields["pipe_id"] for name, fields in job.events if name in ENDINGS]
    assert len(ended) == len(set(ended)) == size
    assert {one["pipe_id"] for one in job.told("before_pipe")} == set(edges) - doomed
