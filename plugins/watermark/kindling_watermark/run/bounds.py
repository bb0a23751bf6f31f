"""Up to which version the pipes of a run read: one bound for each source, whichever pipe comes first."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from kindling_core import RunInfo
from kindling_entities import EntityStore


class Bounds:
    """The bounds of the runs of one App; safe on any thread.

    Args:
        store: of the App, which has started.
    """

    def __init__(self, store: EntityStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._pinned: dict[str, Mapping[str, int]] = {}
        self._found: dict[str, dict[str, int]] = {}

    def begin(self, run: RunInfo, pinned: Mapping[str, int]) -> None:
        """Take the versions that every pipe of a run reads; looked into at each question, as others add to them."""
        self._pinned[run.run_id] = pinned

    def of(self, run: RunInfo, source: str) -> int:
        """The version up to which a run reads a source. One that the run writes is bound by its first reader.

        Raises:
            EntityNotFoundError: there is no such table.
        """
        pinned = self._pinned.get(run.run_id, {}).get(source)
        if pinned is not None:
            return pinned
        with self._lock:
            found = self._found.setdefault(run.run_id, {})
            if source not in found:
                found[source] = self._store.get_entity_version(source)
            return found[source]

    def end(self, run: RunInfo) -> None:
        """Forget a run."""
        self._pinned.pop(run.run_id, None)
        with self._lock:
            self._found.pop(run.run_id, None)
