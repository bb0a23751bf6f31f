"""Cancelling: every run has a token of its own, so that no cancelling is missed and none reaches another run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from kindling_core.clock import Bell, Clock, SystemClock, wait_until

# A plain event of a caller cannot wake anybody but its own waiters, so that it is looked at this often.
PLAIN_EVENT_SECONDS = 0.05


class Settable(Protocol):
    """What can be cancelled: a token, or a plain ``threading.Event``."""

    def set(self) -> None:
        """Cancel."""


class CancelToken:
    """Cancels a run: once it is set, nothing new starts and running pipes are asked to stop.

    Has the methods of a ``threading.Event`` that runs need, but takes no lock: ``set`` is safe in a signal handler,
    also while the interrupted thread is inside a method of the same token.

    Args:
        clock: measures the waits; replaced in tests.
    """

    __slots__ = ("__weakref__", "_clock", "_set", "_wake")

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._set = False
        self._wake: dict[object, Callable[[], object]] = {}

    def is_set(self) -> bool:
        """Whether the run has to end."""
        return self._set

    def set(self) -> None:
        """Cancel the run and wake whoever waits; may be called twice."""
        # Set before anybody is woken, and looked at after each registration, so that nobody misses it.
        self._set = True
        for wake in tuple(self._wake.values()):
            wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the token is set; return whether it is.

        Args:
            timeout: the longest wait in seconds; None is without limit.
        """
        if self._set:
            return True
        bell = Bell()
        with self.waking(bell.ring):
            return wait_until(self._clock, bell, self.is_set, timeout)

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Have a function called when the token is set, at once if it is, until the end of the block.

        Args:
            wake: may be called in a signal handler, so it must take no lock; more than once at worst.
        """
        key = object()
        # ``set`` may come between any two steps here; each change of the dict happens as a whole.
        self._wake[key] = wake
        try:
            if self._set:
                wake()
            yield
        finally:
            self._wake.pop(key, None)


@contextmanager
def following(event: CancelToken | threading.Event | None, clock: Clock | None = None) -> Iterator[CancelToken]:
    """Give a token that is set with an event, and sets it, until the end of the block.

    Args:
        event: a token is given as it is; None makes a new token.
        clock: measures the waits of a new token.
    """
    if event is None or isinstance(event, CancelToken):
        yield event or CancelToken(clock)
        return
    token, ended = CancelToken(clock), threading.Event()

    def follow() -> None:
        while not ended.is_set():
            if event.wait(PLAIN_EVENT_SECONDS):
                token.set()
                return

    if event.is_set():
        token.set()
    else:
        threading.Thread(target=follow, name="kindling-cancel", daemon=True).start()
    try:
        with token.waking(event.set):
            yield token
    finally:
        ended.set()


class Cancellation:
    """The runs that are under way; safe on any thread, and in a signal handler: it takes no lock."""

    def __init__(self) -> None:
        self._tokens: set[Settable] = set()

    @contextmanager
    def reaching(self, token: Settable) -> Iterator[None]:
        """Have ``cancel`` reach a run, from here to the end of the block."""
        mine = token not in self._tokens
        self._tokens.add(token)
        try:
            yield
        finally:
            if mine:
                self._tokens.discard(token)

    def cancel(self) -> None:
        """Cancel the runs that are under way now, and none that begins later."""
        for token in tuple(self._tokens):
            token.set()
