"""Cancelling: every run has an event of its own, so that none is missed and none cancels another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cancellation:
    """The runs that are under way; safe on any thread, and in a signal handler: it takes no lock."""

    def __init__(self) -> None:
        self._events: set[threading.Event] = set()

    @contextmanager
    def reaching(self, event: threading.Event) -> Iterator[None]:
        """Have ``cancel`` reach a run, from here to the end of the block."""
        mine = event not in self._events
        self._events.add(event)
        try:
            yield
        finally:
            if mine:
                self._events.discard(event)

    def cancel(self) -> None:
        """Cancel the runs that are under way now, and none that begins later."""
        for event in tuple(self._events):
            event.set()
