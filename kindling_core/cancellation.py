"""Cancelling: every run has an event of its own, so that none is missed and none cancels another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cancellation:
    """The runs that are under way; safe on any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[threading.Event] = []

    @contextmanager
    def reaching(self, event: threading.Event) -> Iterator[None]:
        """Have ``cancel`` reach a run, from here to the end of the block."""
        with self._lock:
            self._events.append(event)
        try:
            yield
        finally:
            with self._lock:
                self._events.remove(event)

    def cancel(self) -> None:
        """Cancel the runs that are under way now, and none that begins later."""
        with self._lock:
            for event in self._events:
                event.set()
