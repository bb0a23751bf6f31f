"""The threads that run pipes: made when there is work for them, kept from queue to queue."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Protocol

from kindling_core.clock import Clock
from kindling_core.run.attempt import Attempt

# While pipes are ready, another thread is called once no pipe was taken for this time, and a thread whose pipe took
# less leaves the next pipe to the others: threads that hand pipes of microseconds to each other cost more than they
# bring.
BUSY_SECONDS = 0.001


class Source(Protocol):
    """What gives work to a crew."""

    def ready(self) -> int:
        """How many pipes may start, but for the limits of their pools; the crew's lock is held."""

    def take(self) -> Attempt | None:
        """Begin an attempt, None if no pipe may start now; the crew's lock is held."""

    def carry_out(self, attempt: Attempt) -> bool:
        """Run an attempt to its end; False if it was left behind, and this thread with it. No lock is held."""


class Crew:
    """Worker threads that take their work from a source.

    Args:
        max_workers: threads at a time.
        name: of the threads.
        wake: wakes whoever watches the run, when this crew may be too small; the lock is held.

    Attributes:
        lock: guards this crew, and everything that its source reads and changes while it gives out work. The crew owns
            it; whoever uses the crew holds it where a docstring says so.
        watched: somebody looks again within BUSY_SECONDS, so that nobody need be woken.
    """

    def __init__(self, max_workers: int, name: str, clock: Clock, wake: Callable[[], object]) -> None:
        self.max_workers = max_workers
        self.lock = threading.Lock()
        self.watched = False
        self._clock = clock
        self._wake = wake
        self._names: Iterator[str] = (f"{name}_{number}" for number in count(1))
        self._source: Source | None = None
        self._work_came = threading.Condition(self.lock)
        self._threads = 0
        self._idle = 0
        self._closed = False
        self._pace = _Pace()

    def serve(self, source: Source | None) -> None:
        """Take work from a source from now on; None is from nowhere. The lock is held."""
        self._source = source
        self.watched = False
        self._pace.begin(self._clock.now())

    def call(self, most: int | None = None) -> None:
        """Wake or make as many threads as can start something, ``most`` at most; the lock is held.

        Raises:
            RuntimeError: the system gives no thread at all.
        """
        wanted = min(self._source.ready() if self._source is not None else 0, most or self.max_workers)
        if self._idle:
            self._work_came.notify(wanted)
        for _ in range(min(wanted - self._idle, self.max_workers - self._threads)):
            self._closed = False
            try:
                threading.Thread(target=self._labour, name=next(self._names), daemon=True).start()
            except RuntimeError:
                # The system gives no more threads; those that there are do the work.
                if not self._threads:
                    raise
                return
            self._threads += 1

    def call_if_busy(self) -> bool:
        """Call more threads if those that run are busy; return whether to ask again after BUSY_SECONDS. Lock held."""
        self.watched = False
        if self._source is None or not self._source.ready() or not self.could_grow():
            return False
        if self._threads and self._pace.is_quick(self._clock.now()):
            self.watched = True
            return True
        self.call()
        return False

    def could_grow(self) -> bool:
        """Whether another thread could work beside those that do; the lock is held."""
        return bool(self._idle) or self._threads < self.max_workers

    def lose_thread(self) -> None:
        """Stop counting a thread that was left behind with its attempt; the lock is held."""
        self._threads -= 1

    def close(self) -> None:
        """End the threads; may be called twice, and the crew may be used again afterwards."""
        with self.lock:
            self._closed = True
            self._work_came.notify_all()

    # On the workers

    def _labour(self) -> None:
        began, number = 0.0, 0
        while True:
            with self.lock:
                found = self._next(began, number)
            if found is None:
                return
            source, attempt, number = found
            began = attempt.began
            del found
            if not source.carry_out(attempt):
                return
            del source, attempt

    def _next(self, began: float, number: int) -> tuple[Source, Attempt, int] | None:
        """Return what this thread does next, once there is something; None ends it. The lock is held.

        Args:
            began, number: of the attempt that it took before this, 0 if none.
        """
        others_work = number != self._pace.taken and self._threads - self._idle > 1
        leave = others_work and self._clock.now() - began < BUSY_SECONDS
        while True:
            source = self._source
            attempt = source.take() if source is not None and not leave else None
            if source is not None and attempt is not None:
                return source, attempt, self._pace.take(attempt.began)
            if self._closed:
                self._threads -= 1
                return None
            self._idle += 1
            if leave and not self.watched:
                self._wake()
            self._work_came.wait()
            self._idle -= 1
            leave = False


class _Pace:
    """How fast attempts are taken.

    Attributes:
        taken: how many were.
        newest_at: when the newest was.
    """

    __slots__ = ("_seen", "newest_at", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.newest_at = 0.0
        self._seen = 0

    def begin(self, now: float) -> None:
        """Look at a new source as if an attempt had been taken: its first thread has still to begin."""
        self.newest_at = now
        self._seen = self.taken - 1

    def take(self, now: float) -> int:
        self.newest_at = now
        self.taken += 1
        return self.taken

    def is_quick(self, now: float) -> bool:
        """Whether an attempt was taken just now, and after the look before this (time may stand still in tests)."""
        quick = self._seen != self.taken and now - self.newest_at < BUSY_SECONDS
        self._seen = self.taken
        return quick


def aside(work: Callable[[], object], name: str, context: contextvars.Context | None = None) -> bool:
    """Do something that may hang on a thread of its own, in a copy of the caller's context unless another is given.

    Returns:
        False if the system gives no more threads, and nothing was done.
    """
    context = contextvars.copy_context() if context is None else context.copy()
    try:
        threading.Thread(target=context.run, args=(work,), name=name, daemon=True).start()
    except RuntimeError:
        return False
    return True
