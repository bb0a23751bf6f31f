"""Values that the plugin keeps for a run."""

from __future__ import annotations

import threading
import weakref
from typing import Generic, TypeVar

from kindling_core.run.requests import RunInfo

Value = TypeVar("Value")


class PerRun(Generic[Value]):
    """Values by run and name; safe on any thread, since the pipes of a run share it.

    They are released with the run's ``RunInfo``, which a kept error or a listener may hold for long. Values that are
    large, or hold something open, are removed when the run ends.
    """

    def __init__(self) -> None:
        # None once the values of a run are forgotten.
        self._values: dict[str, dict[str, Value] | None] = {}
        self._lock = threading.Lock()

    def keep(self, run: RunInfo, name: str, value: Value) -> bool:
        """Remember a value; return False if the run was forgotten before, and nothing is remembered."""
        with self._lock:
            values = self._of(run)
            if values is None:
                return False
            values[name] = value
            return True

    def get(self, run: RunInfo, name: str) -> Value | None:
        """Return what was kept under a name in this run, None if nothing was."""
        return (self._values.get(run.run_id) or {}).get(name)

    def forget(self, run: RunInfo) -> None:
        """Drop the values of a run, and those that come later."""
        with self._lock:
            self._of(run)
            self._values[run.run_id] = None

    def _of(self, run: RunInfo) -> dict[str, Value] | None:
        if run.run_id not in self._values:
            self._values[run.run_id] = {}
            weakref.finalize(run, self._values.pop, run.run_id, None)
        return self._values[run.run_id]
