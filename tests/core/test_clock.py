"""Clocks and bells."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from io import StringIO

import pytest
from rich.console import Console

from kindling_core import App, Pipes
from kindling_core.cli.progress import _LiveProgress
from kindling_core.clock import Bell, ManualClock, SystemClock, wait_until

PATIENCE_SECONDS = 30


def test_a_ring_is_heard_by_who_waits_later_and_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    bell.wait(PATIENCE_SECONDS)
    begun = SystemClock().now()
    bell.wait(0.01)
    assert SystemClock().now() - begun >= 0.009


def test_the_longest_wait_is_no_error() -> None:
    bell = Bell()
    bell.ring()
    bell.wait(1e300)


def test_the_time_of_the_system_goes_on_and_has_a_zone() -> None:
    clock = SystemClock()
    assert clock.now() <= clock.now()
    assert clock.utc_now().utcoffset() == timedelta(0)


def test_a_manual_clock_stands_still_until_time_is_let_pass() -> None:
    clock = ManualClock()
    date = clock.utc_now()
    assert clock.now() == clock.now() == 0
    clock.advance(90)
    assert clock.now() == 90
    assert clock.utc_now() - date == timedelta(seconds=90)


def test_letting_time_pass_wakes_those_whose_time_is_over_alone() -> None:
    clock, ended = ManualClock(), {10: threading.Event(), 100: threading.Event()}

    def wait(seconds: int) -> None:
        wait_until(clock, Bell(), lambda: False, seconds)
        ended[seconds].set()

    for seconds in ended:
        threading.Thread(target=wait, args=(seconds,), daemon=True).start()
    clock.elapse(100)
    assert all(event.wait(PATIENCE_SECONDS) for event in ended.values())


def test_time_that_nobody_waits_for_does_not_elapse() -> None:
    clock = ManualClock()
    with pytest.raises(TimeoutError, match="Nobody waited for 5 s"):
        clock.elapse(5, patience_seconds=0.01)


def test_what_has_happened_is_not_waited_for() -> None:
    assert wait_until(ManualClock(), Bell(), lambda: True, 0)
    assert not wait_until(ManualClock(), Bell(), lambda: False, 0)


def test_the_clock_of_an_app_is_that_of_its_runs_and_signals() -> None:
    clock = ManualClock(datetime(2031, 5, 6, tzinfo=timezone.utc))
    heard: list[tuple[str, str]] = []
    pipes = Pipes()
    pipes.pipe("a.b")(lambda: clock.advance(90))
    with App(clock=clock, environ={}) as app:
        app.mount(pipes)
        app.signals.on(
            "datapipes.*", lambda sender, signal_name, timestamp, **fields: heard.append((signal_name, timestamp))
        )
        report = app.run()
    began, ended = "2031-05-06T00:00:00+00:00", "2031-05-06T00:01:30+00:00"
    assert (report.started_at, report.duration_seconds, report.run_id[:15]) == (began, 90, "20310506T000000")
    assert heard == [
        ("datapipes.before_run", began),
        ("datapipes.before_pipe", began),
        ("datapipes.after_pipe", ended),
        ("datapipes.after_run", ended),
    ]


def test_the_live_display_measures_by_its_clock() -> None:
    clock, shown = ManualClock(), StringIO()
    console = Console(file=shown, force_terminal=True, width=100)
    display = _LiveProgress(console, clock)
    display.before_pipe(None, pipe_id="a.b")
    clock.advance(12.5)
    console.print(display._draw())
    assert "a.b  12.5 s" in shown.getvalue()
