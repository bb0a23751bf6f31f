"""Clocks and bells."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from kindling_core.run.clock import Bell, ManualClock, SystemClock, wait_until

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
