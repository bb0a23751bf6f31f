"""The history of runs: a receiver of signals like any other. What it cannot write it warns of, and fails nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from kindling_core.signals import SignalProvider
from kindling_core.state import AttemptRecord, RunEnd, StateError, StateStore

_log = logging.getLogger("kindling.state")

FLUSH_RECORDS = 500
FLUSH_SECONDS = 0.5


class History:
    """Collects what runs tell and writes it in batches; safe on any thread."""

    def __init__(self, store: StateStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._attempts: list[AttemptRecord] = []
        self._ends: list[RunEnd] = []
        self._started: dict[tuple[str, str], str] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._written = clock()
        self._warned = False

    def listen(self, signals: SignalProvider) -> None:
        """Connect to the signals of an App."""
        for name in (
            "before_run",
            "after_run",
            "run_failed",
            "before_pipe",
            "after_pipe",
            "pipe_retrying",
            "pipe_failed",
            "pipe_skipped",
        ):
            signal = signals.get_signal(f"datapipes.{name}") or signals.create_signal(f"datapipes.{name}")
            signal.connect(getattr(self, name))

    def before_run(self, sender: object, *, run_id: str, **fields: Any) -> None:
        with self._lock:
            self._counts[run_id] = {"succeeded": 0, "failed": 0, "skipped": 0}
            self._warned = False

    def before_pipe(self, sender: object, *, run_id: str, pipe_id: str, timestamp: str, **fields: Any) -> None:
        with self._lock:
            self._started[run_id, pipe_id] = timestamp
        self._add(AttemptRecord(run_id, pipe_id, fields["attempt"], "running", timestamp))

    def after_pipe(self, sender: object, *, run_id: str, pipe_id: str, **fields: Any) -> None:
        self._ended(
            run_id,
            pipe_id,
            "succeeded",
            fields,
            rows=fields["rows_processed"],
            output_entity_id=fields["output_entity_id"],
            version_written=fields["version_written"],
            versions_read=dict(fields["versions_read"]),
        )

    def pipe_retrying(self, sender: object, *, run_id: str, pipe_id: str, **fields: Any) -> None:
        told = {"error": fields["error"], "error_type": fields["error_type"]}
        self._ended(run_id, pipe_id, "retried", fields, **told)
        with self._lock:
            # The next attempt begins about now, after its delay.
            self._started[run_id, pipe_id] = fields["timestamp"]

    def pipe_failed(self, sender: object, *, run_id: str, pipe_id: str, **fields: Any) -> None:
        self._ended(run_id, pipe_id, "failed", fields, error=fields["error"], error_type=fields["error_type"])

    def pipe_skipped(self, sender: object, *, run_id: str, pipe_id: str, **fields: Any) -> None:
        self._count(run_id, "skipped")
        told = {"reason": fields["reason"], "caused_by": fields["caused_by"]}
        self._add(AttemptRecord(run_id, pipe_id, 0, "skipped", **told))

    def after_run(self, sender: object, *, run_id: str, **fields: Any) -> None:
        self._run_ended(run_id, "succeeded", fields)

    def run_failed(self, sender: object, *, run_id: str, **fields: Any) -> None:
        status = "cancelled" if fields["error_type"] == "Cancelled" else "failed"
        self._run_ended(run_id, status, fields, error=fields["error"], error_type=fields["error_type"])

    def _run_ended(self, run_id: str, status: str, fields: dict[str, Any], **told: Any) -> None:
        with self._lock:
            counts = self._counts.pop(run_id, None)
            self._started = {key: value for key, value in self._started.items() if key[0] != run_id}
            if counts is None:
                # It was refused before it began, and is no run that history knows.
                return
            self._ends.append(
                RunEnd(
                    run_id,
                    status,
                    fields["timestamp"],
                    fields["duration_seconds"],
                    counts["succeeded"],
                    counts["failed"],
                    counts["skipped"],
                    **told,
                )
            )
        self.flush()

    def _ended(self, run_id: str, pipe_id: str, status: str, fields: dict[str, Any], **told: Any) -> None:
        if status != "retried":
            self._count(run_id, status)
        with self._lock:
            started = self._started.get((run_id, pipe_id))
        self._add(
            AttemptRecord(run_id, pipe_id, fields["attempt"], status, started, fields["duration_seconds"], **told)
        )

    def _count(self, run_id: str, status: str) -> None:
        with self._lock:
            if run_id in self._counts:
                self._counts[run_id][status] += 1

    def _add(self, record: AttemptRecord) -> None:
        with self._lock:
            self._attempts.append(record)
            due = len(self._attempts) >= FLUSH_RECORDS or self._clock() - self._written > FLUSH_SECONDS
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what was collected; what cannot be written is warned of once a run, and dropped."""
        with self._writing:
            with self._lock:
                attempts, self._attempts = self._attempts, []
                ends, self._ends = self._ends, []
                self._written = self._clock()
            if not attempts and not ends:
                return
            try:
                self._store.record(_newest(attempts), ends)
            except StateError as error:
                if not self._warned:
                    self._warned = True
                    _log.warning("The history of this run is incomplete: %s", error)


def _newest(attempts: list[AttemptRecord]) -> list[AttemptRecord]:
    """Leave out what a later record of the same batch replaces."""
    newest = {(record.run_id, record.pipe_id, record.attempt): record for record in attempts}
    return list(newest.values())
