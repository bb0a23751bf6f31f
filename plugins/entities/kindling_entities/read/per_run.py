"""What the plugin remembers of a run, for as long as anybody knows the run."""

from __future__ import annotations

import threading
import weakref
from typing import Generic, TypeVar

from kindling_core.run.requests import RunInfo

Value = TypeVar("Value")


class PerRun(Generic[Value]):
    """Values by run and name; safe on any thread, since the pipes of a run share it."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Value]] = {}
        self._lock = threading.Lock()

    def keep(self, run: RunInfo, name: str, value: Value) -> None:
        """Remember a value until the run is forgotten."""
        with self._lock:
            if run.run_id not in self._values:
                self._values[run.run_id] = {}
                weakref.finalize(run, self._values.pop, run.run_id, None)
            self._values[run.run_id][name] = value

    def get(self, run: RunInfo, name: str) -> Value | None:
        """Return what was kept under a name in this run, None if nothing was."""
        return self._values.get(run.run_id, {}).get(name)
