"""The life of an App: composed, starting, started, closing, closed.

The lock is held for a change of state only, never while a feature or a receiver is called: what they call may come back
here, on this thread or on another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum

from kindling_core.errors import KindlingError


class Stage(Enum):
    """Where an App is in its life."""

    COMPOSED = "composed"
    STARTING = "starting"
    STARTED = "started"
    CLOSING = "closing"
    CLOSED = "closed"


class Life:
    """Starts and closes something once, whichever threads ask for it.

    Args:
        name: of the app, for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._stage = Stage.COMPOSED
        self._starter: int | None = None
        self._changed = threading.Condition()

    def start(self, begin: Callable[[], object]) -> None:
        """Call ``begin`` unless that was done; wait while another thread does it. What it raises leaves all as it was.

        Raises:
            KindlingError: it is closing or closed, or this thread is within ``begin``.
        """
        with self._changed:
            self._wait_for_the_starter("started")
            if self._stage in (Stage.CLOSING, Stage.CLOSED):
                raise KindlingError(f"The app {self._name!r} is {self._stage.value}. Compose a new App.")
            if self._stage is Stage.STARTED:
                return
            self._stage, self._starter = Stage.STARTING, threading.get_ident()
        reached = Stage.COMPOSED
        try:
            begin()
            reached = Stage.STARTED
        finally:
            self._reach(reached)

    def close(self, end: Callable[[bool], object]) -> None:
        """Call ``end`` once; it gets whether there was a start.

        A thread that comes while another closes does not wait for it, but returns at once: whoever closes may be
        waiting for this thread, as for that of a receiver.

        Raises:
            KindlingError: this thread is within ``begin`` of ``start``.
        """
        with self._changed:
            self._wait_for_the_starter("closed")
            if self._stage in (Stage.CLOSING, Stage.CLOSED):
                return
            started = self._stage is Stage.STARTED
            self._stage = Stage.CLOSING
        try:
            end(started)
        finally:
            self._reach(Stage.CLOSED)

    def _wait_for_the_starter(self, wish: str) -> None:
        if self._stage is Stage.STARTING and self._starter == threading.get_ident():
            raise KindlingError(
                f"The app {self._name!r} cannot be {wish} or run while it starts: a feature asked for it in its "
                f"kindling_start. Ask later, such as in kindling_before_run."
            )
        self._changed.wait_for(lambda: self._stage is not Stage.STARTING)

    def _reach(self, stage: Stage) -> None:
        with self._changed:
            self._stage, self._starter = stage, None
            self._changed.notify_all()
