"""Runs end once, in time and with the right words, whatever comes together at their end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from kindling_core import App, Pipes
from kindling_core.errors import PipeCancelled, PluginError, RunFailed
from kindling_core.hooks import hookimpl
from kindling_core.run.generation_executor import GenerationExecutor
from kindling_core.run.hooks import RunHooks
from kindling_core.run.io import RunIO
from kindling_core.run.policy import OnFailure
from tests.core.run.test_failures import Job, broken, of, pipe

PATIENCE_SECONDS = 30


def assert_each_pipe_ended_once(job: Job) -> None:
    endings = [
        fields["pipe_id"]
        for name, fields in job.events
        if name in ("datapipes.after_pipe", "datapipes.pipe_failed", "datapipes.pipe_skipped")
    ]
    assert sorted(endings) == sorted(job.ids)
    assert [name for name, _ in job.events if name in ("datapipes.after_run", "datapipes.run_failed")] == [
        job.events[-1][0]
    ]


# Who ends what


def test_a_run_that_another_of_its_app_outlives_is_still_cancelled() -> None:
    started, go_on = threading.Event(), threading.Event()
    pipes, statuses = Pipes(), []
    pipes.pipe("slow")(lambda: started.set() or (go_on.wait(PATIENCE_SECONDS) and None))
    pipes.pipe("other")(lambda: None)
    # One worker, so that the second pipe is still open when the run is cancelled.
    with App(config={"execution": {"max_workers": 1}}, environ={}) as app:
        app.mount(pipes)

        def run() -> None:
            try:
                app.run(["slow", "other"])
            except RunFailed as error:
                statuses.append(error.report.status)

        thread = threading.Thread(target=run)
        thread.start()
        assert started.wait(PATIENCE_SECONDS)
        app.cancel()
        assert app.run(["other"]).status == "succeeded", "a later run is not cancelled, and takes nothing back"
        go_on.set()
        thread.join(PATIENCE_SECONDS)
    assert statuses == ["cancelled"]


def test_cancelling_while_the_features_start_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    pipes = Pipes()
    pipes.pipe("a")(lambda: None)
    with_app = App(environ={})
    with_app.mount(pipes)
    start = with_app.start

    def slow_start() -> None:
        with_app.cancel()
        start()

    monkeypatch.setattr(with_app, "start", slow_start)
    with pytest.raises(RunFailed, match="cancelled") as caught:
        with_app.run()
    assert caught.value.report.pipe("a").status == "skipped"
    with_app.close()


def test_features_that_did_not_start_are_started_by_the_next_run() -> None:
    class Moody:
        def __init__(self) -> None:
            self.starts, self.stops = 0, 0

        @hookimpl
        def kindling_start(self, app: App) -> None:
            self.starts += 1
            if self.starts == 1:
                raise ConnectionError("not yet")

        @hookimpl
        def kindling_stop(self, app: App) -> None:
            self.stops += 1

    moody, pipes = Moody(), Pipes()
    pipes.pipe("a")(lambda: None)
    app = App(plugins=[moody], environ={})
    app.mount(pipes)
    with pytest.raises((ConnectionError, PluginError), match="not yet"):
        app.run()
    assert (moody.starts, moody.stops) == (1, 1)
    assert app.run().status == "succeeded"
    assert moody.starts == 2
    app.close()
    assert moody.stops == 2


# Reasons


@pytest.mark.parametrize("schedule", ["ready", "generation"])
def test_what_a_cancelled_run_did_not_get_to_was_cancelled_and_not_caused_by_an_earlier_failure(schedule: str) -> None:
    job = Job(
        pipe("x", [], broken),
        *(pipe(f"x{number + 1}", of(f"x{number or ''}")) for number in range(4)),
        pipe("a", [], lambda: job.executer.cancel() or 1),
        pipe("b", of("a")),
        pipe("c", of("b")),
        workers=1,
        schedule=schedule,
    )
    report = job.run()
    assert report.status == "cancelled"
    assert [(report.pipe(one).reason, report.pipe(one).caused_by) for one in ("b", "c")] == [("cancelled", None)] * 2
    assert "1 pipe failed: 'x': " in str(job.error)
    assert set(job.error.failures) == {"x"}
    assert_each_pipe_ended_once(job)


def test_a_run_that_takes_too_long_lets_no_write_begin() -> None:
    written, started = [], threading.Event()

    def slow() -> int:
        started.set()
        time_is_up.wait(PATIENCE_SECONDS)
        return 1

    time_is_up = threading.Event()
    job = Job(
        pipe("a", [], slow),
        io=lambda run, plan: RunIO(lambda *given: 1, lambda entity_id, value, one: written.append(entity_id) or 1),
        hooks=RunHooks(interrupt=lambda one, run: time_is_up.set()),
        timeout_seconds=0.2,
        grace_seconds=PATIENCE_SECONDS,
    )
    report = job.run()
    assert (report.status, written) == ("failed", [])
    assert "longer than 0.2 s" in str(job.error)
    assert report.pipe("a").status == "failed"
    assert_each_pipe_ended_once(job)


def test_a_commit_counts_although_time_runs_out_before_the_attempt_ends() -> None:
    written, time_is_up = [], threading.Event()

    def note(one, run, result) -> None:  # type: ignore[no-untyped-def]
        assert time_is_up.wait(PATIENCE_SECONDS)

    job = Job(
        pipe("a", timeout_seconds=0.2),
        pipe("b", of("a")),
        io=lambda run, plan: RunIO(lambda *given: 1, lambda entity_id, value, one: written.append(entity_id) or 1),
        hooks=RunHooks(pipe_succeeded=note, interrupt=lambda one, run: time_is_up.set()),
        grace_seconds=PATIENCE_SECONDS,
    )
    job.run()
    assert job.error is None
    assert written == ["of.a", "of.b"]


def test_fail_fast_waits_for_no_retry_that_will_not_come() -> None:
    begun = time.monotonic()
    job = Job(
        pipe("a", [], lambda: 1 / 0 if failing.wait(PATIENCE_SECONDS) else 1),
        pipe("b", [], lambda: failing.set() or again(), retry={"attempts": 2, "delay_seconds": 600}),
        on_failure=OnFailure.FAIL_FAST,
    )

    def again() -> None:
        raise ConnectionError("again")

    failing = threading.Event()
    job.run()
    assert time.monotonic() - begun < PATIENCE_SECONDS
    assert job.statuses == {"a": "failed", "b": "failed"}
    assert job.report.pipe("b").error == "again"
    assert_each_pipe_ended_once(job)


# Errors that do not behave


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("attempts", [1, 2])
def test_an_error_whose_text_cannot_be_read_is_told_by_its_class_and_stops_nobody_else(attempts: int) -> None:
    def mute() -> None:
        raise Mute

    retry = {"attempts": attempts, "delay_seconds": 0}
    job = Job(pipe("a", [], mute, retry=retry), pipe("b", of("a")), pipe("c"))
    job.run()
    assert job.statuses == {"a": "failed", "b": "skipped", "c": "succeeded"}
    assert job.report.pipe("a").error == "a Mute whose text cannot be read (RuntimeError)"
    assert_each_pipe_ended_once(job)


def test_a_feature_that_cannot_classify_an_error_does_not_hide_it() -> None:
    def classify(error: BaseException, one: object) -> bool:
        raise RuntimeError("no idea")

    def fails() -> None:
        raise ConnectionError("the real reason")

    job = Job(pipe("a", [], fails, retry={"attempts": 2, "delay_seconds": 0}), hooks=RunHooks(classify=classify))
    job.run()
    assert job.report.pipe("a").error == "the real reason"
    assert job.report.pipe("a").attempts == 2


def test_a_receiver_that_raises_what_is_no_exception_breaks_nothing() -> None:
    job = Job(pipe("a"), pipe("b", of("a")))

    def receive(sender: object, **fields: object) -> None:
        raise asyncio.CancelledError

    job.executer._provider.get_signal("datapipes.after_pipe").connect(receive)
    job.run()
    assert job.error is None


def test_an_interrupt_at_the_end_of_a_run_is_told_like_any_other_end() -> None:
    def after_run(run: object, report: object) -> None:
        raise KeyboardInterrupt

    job = Job(pipe("a"), hooks=RunHooks(after_run=after_run))
    job.run()
    assert job.report.status == "cancelled"
    assert_each_pipe_ended_once(job)


def test_what_goes_wrong_at_the_end_does_not_hide_why_a_run_was_stopped() -> None:
    def after_run(run: object, report: object) -> None:
        raise OSError("cannot be released")

    job = Job(
        pipe("a", [], lambda: job.executer.cancel() or 1), pipe("b", of("a")), hooks=RunHooks(after_run=after_run)
    )
    assert job.run().status == "cancelled"
    assert "cancelled" in str(job.error)


def test_a_pipe_that_cancels_itself_is_told_as_the_failure() -> None:
    def gives_in() -> None:
        raise PipeCancelled("enough")

    job = Job(pipe("a", [], gives_in))
    assert job.run().status == "failed"
    assert "Pipe 'a' failed: PipeCancelled: enough" in str(job.error)


def test_what_hung_before_a_pipe_was_left_behind_does_not_begin_the_pipe_later() -> None:
    go_on, hanging, ran, threads = threading.Event(), threading.Event(), [], []

    def before_pipe(one: object, run: object) -> None:
        threads.append(threading.current_thread())
        hanging.set()
        go_on.wait(PATIENCE_SECONDS)

    job = Job(pipe("a", [], lambda: ran.append(1)), hooks=RunHooks(before_pipe=before_pipe), grace_seconds=0.1)
    threading.Thread(target=lambda: hanging.wait(PATIENCE_SECONDS) and job.executer.cancel()).start()
    assert job.run().status == "cancelled"
    go_on.set()
    threads[0].join(PATIENCE_SECONDS)
    assert ran == []


def test_the_seconds_of_an_attempt_are_without_the_delay_that_was_waited_for() -> None:
    def fails() -> None:
        raise ConnectionError("again")

    job = Job(pipe("a", [], fails, retry={"attempts": 2, "delay_seconds": 600}), pipe("b", [], lambda: hold()))

    def hold() -> None:
        while not job.told("pipe_retrying"):
            threading.Event().wait(0.01)
        threading.Event().wait(0.5)
        job.executer.cancel()

    job.run()
    (failed,) = [one for one in job.told("pipe_failed") if one["pipe_id"] == "a"]
    assert failed["attempt_seconds"] < 0.3 < failed["duration_seconds"]


# What is left behind


def test_an_attempt_that_was_left_behind_is_in_the_report_although_the_next_one_succeeded() -> None:
    go_on, calls = threading.Event(), []

    def hangs_once() -> int:
        calls.append(1)
        if len(calls) == 1:
            go_on.wait(PATIENCE_SECONDS)
        return 1

    job = Job(
        pipe("a", [], hangs_once, timeout_seconds=0.1, retry={"attempts": 2, "delay_seconds": 0}), grace_seconds=0.1
    )
    try:
        job.run()
    finally:
        go_on.set()
    assert job.error is None
    assert (job.report.pipe("a").status, job.report.pipe("a").abandoned) == ("succeeded", True)


def test_what_interrupts_an_attempt_does_not_reach_the_next_one() -> None:
    interrupting, attempts, told = threading.Event(), [], []

    def slow() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            interrupting.wait(PATIENCE_SECONDS)
        return 1

    def interrupt(one: object, run: object) -> None:
        interrupting.set()
        # The engine takes its time, and stops whatever has the tag of the pipe once it gets to it.
        threading.Event().wait(0.3)
        told.append(len(attempts))

    job = Job(
        pipe("a", [], slow, timeout_seconds=0.2, retry={"attempts": 2, "delay_seconds": 0}),
        hooks=RunHooks(interrupt=interrupt),
        grace_seconds=PATIENCE_SECONDS,
    )
    job.run()
    assert job.error is None
    assert set(told) == {1}


@pytest.mark.parametrize(
    "signal",
    [
        "execution.before_generation",
        "datapipes.before_pipe",
        "datapipes.after_pipe",
        "datapipes.pipe_failed",
        "datapipes.pipe_skipped",
        "datapipes.run_failed",
    ],
)
def test_a_receiver_that_hangs_does_not_keep_a_cancelled_run_from_ending(signal: str) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def slow() -> int:
        busy.set()
        go_on.wait(PATIENCE_SECONDS)
        return 1

    job = Job(pipe("a"), pipe("slow", [], slow), pipe("c", of("slow")), pipe("d", of("a")), grace_seconds=0.2)

    def receive(sender: object, **fields: object) -> None:
        busy.set()
        go_on.wait(PATIENCE_SECONDS)

    job.executer._provider.get_signal(signal).connect(receive)
    threading.Thread(target=lambda: busy.wait(PATIENCE_SECONDS) and job.executer.cancel()).start()
    begun = time.monotonic()
    try:
        report = job.run()
        assert time.monotonic() - begun < PATIENCE_SECONDS / 2
        assert report.status == "cancelled"
        assert len(report.pipes) == 4
    finally:
        go_on.set()


def test_a_commit_that_hangs_is_waited_for_as_long_again_as_the_pipe_was_allowed() -> None:
    go_on = threading.Event()
    job = Job(
        pipe("a", [], timeout_seconds=0.3),
        pipe("b"),
        io=lambda *_: RunIO(None, lambda entity_id, value, one: one.pipe_id == "b" or go_on.wait(PATIENCE_SECONDS)),
        grace_seconds=0.1,
    )
    try:
        report = job.run()
    finally:
        go_on.set()
    assert job.statuses == {"a": "failed", "b": "succeeded"}
    assert report.pipe("a").abandoned
    assert "left behind while it wrote, so look what it wrote" in report.pipe("a").error


# Wrong use


def test_a_pool_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="'heavy' lets 0 pipes"):
        Job(pipe("a"), pools={"heavy": 0})


def test_one_executor_runs_one_generation_at_a_time_and_says_so() -> None:
    inside, go_on, errors = threading.Event(), threading.Event(), []
    with GenerationExecutor(2) as executor:

        def hold(pipe_id: str) -> None:
            inside.set()
            go_on.wait(PATIENCE_SECONDS)

        thread = threading.Thread(target=lambda: errors.append(executor.execute_generation(["a"], hold, 0)))
        thread.start()
        assert inside.wait(PATIENCE_SECONDS)
        with pytest.raises(RuntimeError, match="already"):
            executor.execute_generation(["b"], hold, 1)
        go_on.set()
        thread.join(PATIENCE_SECONDS)
    assert errors == [{"a": True}]


def test_failures_that_fail_the_run_come_before_those_that_may_happen() -> None:
    job = Job(pipe("a", [], broken, allow_failure=True), pipe("b", [], broken), workers=1)
    job.run()
    assert list(job.error.failures) == ["b", "a"]
    assert job.error.__cause__ is job.error.failures["b"]
