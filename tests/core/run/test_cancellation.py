"""Cancelling: signal handlers may cancel at any moment, and whoever waits is woken."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import pytest

from kindling_core import App, Pipes
from kindling_core.clock import ManualClock
from kindling_core.errors import RunFailed
from kindling_core.run.cancellation import Cancellation, CancelToken, following
from tests.core.run.test_failures import Job, pipe

PATIENCE_SECONDS = 30

# Raises SIGINT, whose handler cancels, before every line that the main thread runs in the modules that cancel and wait.
# A lock that such a line holds and the handler takes is a deadlock, which the time limit of the test ends.
INTERRUPTED_EVERYWHERE = """
import signal, sys, threading
from kindling_core.run.cancellation import Cancellation, CancelToken, following

FILES = ("cancellation.py", "clock.py", "threading.py", "queue_run.py", "dispatcher.py", "limits.py", "run.py")
handled = 0

def interrupting(token, at=None):
    signal.signal(signal.SIGINT, lambda number, frame: token())
    lines = 0

    def trace(frame, event, argument):
        global handled
        nonlocal lines
        if not frame.f_code.co_filename.endswith(FILES):
            return None
        lines += event == "line"
        if event == "line" and at in (None, lines):
            handled += 1
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
            sys.settrace(trace)
        return trace

    sys.settrace(trace)
"""


def run_script(body: str) -> str:
    script = INTERRUPTED_EVERYWHERE + textwrap.dedent(body) + "\nsys.settrace(None)\nassert handled > 3\nprint('ended')"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_handler_may_set_a_token_whatever_the_interrupted_thread_does_with_it() -> None:
    body = """
        token = CancelToken()
        interrupting(token.set)
        token.set()
        token.wait(0.01)
        token.is_set()
        with token.waking(lambda: None):
            pass
    """
    assert "ended" in run_script(body)


def test_a_handler_may_cancel_while_runs_begin_and_end() -> None:
    body = """
        cancellation = Cancellation()
        interrupting(cancellation.cancel)
        for _ in range(3):
            with following(None) as token, cancellation.reaching(token):
                token.wait(0.01)
    """
    assert "ended" in run_script(body)


def test_a_handler_may_cancel_a_run_at_any_line_of_its_dispatcher() -> None:
    body = """
        from kindling_core.run.attempt import Attempt
        from kindling_core.run.dispatcher import Dispatcher
        from kindling_core.run.policy import REACHED
        from kindling_core.run.ready_queue import ReadyQueue
        from kindling_core.plan.schedule import unordered

        class Nothing:
            ending = False

            def timeout_seconds(self, pipe_id): return 30.0
            def perform(self, attempt): token.wait(30)
            def settle(self, attempt, result, error): return REACHED
            def skipped(self, pipe_id, because_of): pass
            def interrupt(self, attempt): pass

        token = CancelToken()
        dispatcher = Dispatcher(2, cancel=token)
        interrupting(token.set)
        dispatcher.run(ReadyQueue(unordered(["a", "b", "c"])), Nothing())
        dispatcher.close()
    """
    assert "ended" in run_script(body)


def test_the_handler_of_the_command_line_may_come_at_any_line_of_its_token() -> None:
    # A handler does its work once, so that each line gets a handler of its own.
    body = """
        from kindling_core.cli import CommandContext
        from kindling_core.cli.run import _stopping_cleanly

        for line in range(1, 40):
            with _stopping_cleanly(CommandContext()) as token:
                handler = signal.getsignal(signal.SIGINT)
                interrupting(lambda: token.is_set() or handler(signal.SIGINT, None), line)
                token.wait(0.01)
                token.set()
                sys.settrace(None)
    """
    assert "ended" in run_script(body)


def test_setting_a_token_wakes_everybody_who_waits_and_those_who_come_later_do_not_wait() -> None:
    token, woken = CancelToken(), []
    threads = [threading.Thread(target=lambda: woken.append(token.wait(PATIENCE_SECONDS))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert not token.is_set()
    token.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert woken == [True] * 5
    assert token.wait()


def test_a_wait_ends_with_its_time_by_the_clock_of_the_token() -> None:
    clock, results = ManualClock(), []
    token = CancelToken(clock)
    thread = threading.Thread(target=lambda: results.append(token.wait(600)))
    thread.start()
    clock.elapse(600)
    thread.join(PATIENCE_SECONDS)
    assert results == [False]
    assert not token.wait(0)


def test_a_plain_event_cancels_a_run_and_is_set_with_it() -> None:
    event = threading.Event()
    with following(event) as token:
        event.set()
        assert token.wait(PATIENCE_SECONDS)
    event = threading.Event()
    with following(event) as token:
        token.set()
        assert event.is_set()


def test_an_app_takes_a_plain_event_as_before() -> None:
    event, pipes = threading.Event(), Pipes()
    pipes.pipe("a")(event.set)
    pipes.pipe("b", inputs=[])(lambda: go_on.wait(PATIENCE_SECONDS) and None)
    go_on = threading.Event()
    with App(config={"execution": {"max_workers": 2, "grace_seconds": 0.1}}, environ={}) as app:
        app.mount(pipes)
        with pytest.raises(RunFailed, match="cancelled"):
            app.run(cancelled=event)
    go_on.set()


def test_a_token_that_is_no_longer_waited_for_calls_nobody() -> None:
    token, calls = CancelToken(), []
    with token.waking(lambda: calls.append("inside")):
        token.set()
    token.set()
    assert calls == ["inside"]


def test_cancelling_reaches_what_is_under_way_alone() -> None:
    cancellation, before, during = Cancellation(), CancelToken(), CancelToken()
    with cancellation.reaching(before):
        pass
    with cancellation.reaching(during):
        with cancellation.reaching(during):
            pass
        cancellation.cancel()
    assert (before.is_set(), during.is_set()) == (False, True)


def test_a_run_sleeps_until_something_happens_and_cancelling_wakes_it() -> None:
    sleeps, started = threading.Event(), threading.Event()

    class Recording(ManualClock):
        def wait(self, bell, seconds):  # type: ignore[no-untyped-def]
            if seconds is None:
                sleeps.set()
            super().wait(bell, seconds)

    def wait() -> bool:
        token = token_of(job)
        started.set()
        return token.wait(PATIENCE_SECONDS)

    job = Job(pipe("a", [], wait), pipe("b", ["of.a"]), clock=Recording())

    def cancel() -> None:
        assert sleeps.wait(PATIENCE_SECONDS), "the run looks again by itself, at a time when nothing is due"
        # A run that is cancelled before its first pipe has begun skips that one, too.
        assert started.wait(PATIENCE_SECONDS)
        job.executer.cancel()

    assert job.run_while(cancel).status == "cancelled"
    assert job.statuses == {"a": "succeeded", "b": "skipped"}


def token_of(job: Job) -> CancelToken:
    (token,) = job.executer._cancellation._tokens
    assert isinstance(token, CancelToken)
    return token
