"""The time of an App: whatever measures, waits or dates something asks a clock, so that a test can give another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Protocol

# A manual clock lets shorter waits pass in real time: they are about threads that make way for each other.
SHORT_SECONDS = 0.01


class Bell:
    """Wakes the thread that waits for it, at once or as soon as it waits.

    ``ring`` takes no lock, so a signal handler may call it whatever the interrupted thread was doing: a put into a
    ``SimpleQueue`` is documented as reentrant. A ring says only that something changed; the waiter looks what.
    """

    __slots__ = ("_rings",)

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Wake the waiter; safe on any thread and in a signal handler."""
        # A ring that was not heard yet is enough: the waiter looks only after it has heard it.
        if self._rings.empty():
            self._rings.put(None)

    def wait(self, seconds: float | None = None) -> None:
        """Wait in real time until it rings; a single thread at a time.

        Args:
            seconds: the longest wait, 0 or more; None is without limit.
        """
        try:
            self._rings.get(timeout=None if seconds is None else min(seconds, threading.TIMEOUT_MAX))
        except Empty:
            return


class Clock(Protocol):
    """Time as an App sees it."""

    def now(self) -> float:
        """Return seconds that never go back, from any start."""

    def utc_now(self) -> datetime:
        """Return the date and time, with the zone UTC."""

    def wait(self, bell: Bell, seconds: float | None) -> None:
        """Wait until the bell rings, or these seconds have passed by this clock; None is without limit."""


class SystemClock:
    """The time of this machine. Implements ``Clock``."""

    now: Callable[[], float] = staticmethod(perf_counter)

    def utc_now(self) -> datetime:
        return datetime.now(timezone.utc)

    def wait(self, bell: Bell, seconds: float | None) -> None:
        bell.wait(seconds)


class ManualClock:
    """A clock for tests, which stands still until a test lets time pass. Implements ``Clock``.

    Args:
        start: the date and time at which it stands first.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)) -> None:
        self._start = start
        self._passed = 0.0
        self._changed = threading.Condition()
        self._waiters: dict[Bell, float] = {}

    def now(self) -> float:
        return self._passed

    def utc_now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def wait(self, bell: Bell, seconds: float | None) -> None:
        if seconds is None or seconds < SHORT_SECONDS:
            bell.wait(seconds)
            return
        with self._changed:
            self._waiters[bell] = self._passed + seconds
            self._changed.notify_all()
        try:
            bell.wait()
        finally:
            with self._changed:
                self._waiters.pop(bell, None)

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake whoever waited for less."""
        with self._changed:
            self._passed += seconds
            due = [bell for bell, until in self._waiters.items() if until <= self._passed]
        for bell in due:
            bell.ring()

    def elapse(self, seconds: float, patience_seconds: float = 60.0) -> None:
        """Wait until somebody waits for at least so long, then let these seconds pass.

        Args:
            patience_seconds: how long, in real time, to wait for that.

        Raises:
            TimeoutError: nobody did.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_waited_for(seconds), patience_seconds):
                raise TimeoutError(f"Nobody waited for {seconds:g} s on this clock within {patience_seconds:g} s.")
        self.advance(seconds)

    def _is_waited_for(self, seconds: float) -> bool:
        # Sums of floats are not exact.
        return any(until - self._passed > seconds - 1e-6 for until in self._waiters.values())


def wait_until(clock: Clock, bell: Bell, happened: Callable[[], bool], seconds: float | None = None) -> bool:
    """Wait until something has happened, for which the bell rings; return whether it has.

    Args:
        seconds: the longest wait by the clock; None is without limit.
    """
    until = None if seconds is None else clock.now() + seconds
    while not happened():
        left = None if until is None else until - clock.now()
        if left is not None and left <= 0:
            return False
        clock.wait(bell, left)
    return True
