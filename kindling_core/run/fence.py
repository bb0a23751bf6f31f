"""Keeps work that was given up from changing anything later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kindling_core.errors import PipeAbandoned


class Fence:
    """Stands before the commits of an attempt at a pipe; safe on any thread.

    Whoever commits does so within ``committing()``: the shorter that block, the sooner a timeout can take hold. The
    fence cannot be closed while a commit is under way, nor by a time limit after a commit: it either happened and
    counts, or can no longer happen.
    """

    __slots__ = ("_closed", "_committed", "_inside", "_left", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._committed = False
        self._inside = 0
        self._left: Callable[[], object] | None = None

    @property
    def closed(self) -> bool:
        """Whether the attempt was given up."""
        return self._closed

    @property
    def committed(self) -> bool:
        """Whether a commit has ended without an error."""
        return self._committed

    @property
    def entered(self) -> bool:
        """Whether a commit is under way."""
        return self._inside > 0

    def when_left(self, call: Callable[[], object]) -> None:
        """Have a function called, on the thread of the commit, each time a commit ends from now on."""
        self._left = call

    def check(self) -> None:
        """Raise if the attempt was given up.

        Raises:
            PipeAbandoned: it was.
        """
        if self._closed:
            raise PipeAbandoned("This attempt was given up before it wrote; what it made is dropped.")

    def enter(self) -> None:
        """Begin to commit. Raises PipeAbandoned if the attempt was given up."""
        with self._lock:
            self.check()
            self._inside += 1

    def leave(self, committed: bool = True) -> None:
        """End what ``enter`` began; ``committed``: without an error."""
        with self._lock:
            self._inside -= 1
            self._committed = self._committed or committed
        if self._left is not None:
            self._left()

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Hold the fence open for the length of a commit."""
        self.enter()
        committed = False
        try:
            yield
            committed = True
        finally:
            self.leave(committed)

    def close(self) -> bool:
        """Let nothing commit from now on; False, and nothing is closed, while a commit is under way or after it."""
        with self._lock:
            self._closed = self._closed or not (self._inside or self._committed)
            return self._closed

    def give_up(self) -> bool:
        """As ``close``, but also after a commit: nothing follows it."""
        with self._lock:
            self._closed = self._closed or not self._inside
            return self._closed
