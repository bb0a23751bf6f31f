"""The history of runs: a receiver of signals like any other, with a thread that writes what it has received.

What cannot be written is warned of and tried again with what comes next; it fails nothing and holds up nobody.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from kindling_core.errors import text_of
from kindling_core.secrets import Redactor
from kindling_core.signals import SignalProvider
from kindling_core.state import AttemptRecord, RunEnd, StateStore

_log = logging.getLogger("kindling.state")

FLUSH_SECONDS = 0.5
# A run waits so long for its history at its end; a run that was asked to end has little time left.
PATIENCE_SECONDS = 30.0
STOPPED_SECONDS = 0.5
# What cannot be written is kept for later up to this; the oldest goes first.
MOST_KEPT = 100_000


class History:
    """Collects the messages of runs and has it written in batches; safe on any thread.

    Args:
        is_stopped: whether the run of this id was asked to end, and has no time to wait.
        redact: masks secrets in what is logged.
    """

    SIGNALS = (
        "before_run",
        "after_run",
        "run_failed",
        "before_pipe",
        "after_pipe",
        "pipe_retrying",
        "pipe_failed",
        "pipe_skipped",
    )

    def __init__(
        self,
        store: StateStore,
        is_stopped: Callable[[str], bool] = lambda run_id: False,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self._store = store
        self._redact = redact or Redactor()
        self._is_stopped = is_stopped
        self._changed = threading.Condition()
        self._attempts: list[AttemptRecord] = []
        self._ends: list[RunEnd] = []
        self._counts: dict[str, dict[str, int]] = {}
        self._warned = False
        self._asked = self._done = 0
        self._late = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def listen(self, signals: SignalProvider) -> None:
        """Connect to the signals of an App."""
        for name in self.SIGNALS:
            signal = signals.get_signal(f"datapipes.{name}") or signals.create_signal(f"datapipes.{name}")
            signal.connect(getattr(self, name))

    def before_run(self, sender: object, *, run_id: str, **fields: Any) -> None:
        with self._changed:
            self._counts[run_id] = {"succeeded": 0, "failed": 0, "skipped": 0}
            self._warned = False

    def before_pipe(self, sender: object, *, run_id: str, pipe_id: str, timestamp: str, **fields: Any) -> None:
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
            ranges_read=dict(fields["ranges_read"]),
            note=fields["note"],
            details=fields["details"],
        )

    def pipe_retrying(self, sender: object, *, run_id: str, pipe_id: str, **fields: Any) -> None:
        more = {"error": fields["error"], "error_type": fields["error_type"]}
        self._ended(run_id, pipe_id, "retried", fields, **more)

    def pipe_failed(self, sender: object, *, run_id: str, pipe_id: str, **fields: Any) -> None:
        more = {"error": fields["error"], "error_type": fields["error_type"], "details": fields["details"]}
        self._ended(run_id, pipe_id, "failed", fields, **more)

    def pipe_skipped(self, sender: object, *, run_id: str, pipe_id: str, **fields: Any) -> None:
        self._count(run_id, "skipped")
        more = {"reason": fields["reason"], "caused_by": fields["caused_by"]}
        self._add(AttemptRecord(run_id, pipe_id, 0, "skipped", **more))

    def after_run(self, sender: object, *, run_id: str, **fields: Any) -> None:
        self._run_ended(run_id, "succeeded", fields)

    def run_failed(self, sender: object, *, run_id: str, **fields: Any) -> None:
        status = "cancelled" if fields["error_type"] == "Cancelled" else "failed"
        self._run_ended(run_id, status, fields, error=fields["error"], error_type=fields["error_type"])

    def _run_ended(self, run_id: str, status: str, fields: dict[str, Any], **more: Any) -> None:
        with self._changed:
            counts = self._counts.pop(run_id, None)
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
                    **more,
                )
            )
        self.flush(STOPPED_SECONDS if self._is_stopped(run_id) else PATIENCE_SECONDS)

    def _ended(self, run_id: str, pipe_id: str, status: str, fields: dict[str, Any], **more: Any) -> None:
        if status != "retried":
            self._count(run_id, status)
        seconds = fields["attempt_seconds"]
        started = datetime.fromisoformat(fields["timestamp"]) - timedelta(seconds=seconds)
        self._add(AttemptRecord(run_id, pipe_id, fields["attempt"], status, started.isoformat(), seconds, **more))

    def _count(self, run_id: str, status: str) -> None:
        with self._changed:
            if run_id in self._counts:
                self._counts[run_id][status] += 1

    def _add(self, record: AttemptRecord) -> None:
        with self._changed:
            self._attempts.append(record)
            self._begin()
            if len(self._attempts) == 1:
                self._changed.notify_all()

    def _begin(self) -> None:
        """Have a thread that writes; the lock is held."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._write_on, name="kindling-history", daemon=True)
            self._thread.start()

    def flush(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until everything received so far is written, or was tried to be; at most so long."""
        with self._changed:
            self._begin()
            if self._thread is None:
                return
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._done >= mine, patience_seconds):
                self._late = True
                self._warn("it takes long to be written, and is not waited for")

    def close(self, signals: SignalProvider | None = None) -> None:
        """Write what is left and end the thread; what was too late for its run is not waited for long again."""
        for name in self.SIGNALS if signals is not None else ():
            signal = signals.get_signal(f"datapipes.{name}") if signals is not None else None
            if signal is not None:
                signal.disconnect(getattr(self, name))
        if self._thread is not None:
            self.flush(STOPPED_SECONDS if self._late else PATIENCE_SECONDS)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # On the thread

    def _write_on(self) -> None:
        while True:
            with self._changed:
                # A pipe's start is written soon, but not each by itself; with nothing to write nobody wakes up.
                self._changed.wait_for(lambda: self._attempts or self._ends or self._asked > self._done or self._closed)
                self._changed.wait_for(lambda: self._asked > self._done or self._closed, FLUSH_SECONDS)
                asked, closed = self._asked, self._closed
                attempts, self._attempts = self._attempts, []
                ends, self._ends = self._ends, []
            self._write(_newest(attempts), ends)
            with self._changed:
                self._done = asked
                self._changed.notify_all()
                if closed:
                    self._thread = None
                    return

    def _write(self, attempts: list[AttemptRecord], ends: list[RunEnd]) -> None:
        if not attempts and not ends:
            return
        try:
            self._store.record(attempts, ends)
        except Exception as error:  # noqa: BLE001 - whatever a record holds, the thread has to go on
            self._warn(text_of(error, self._redact))
        else:
            return
        try:
            # Of a run whose pipes cannot be written it is known at least how it ended.
            self._store.record([], ends)
        except Exception as error:  # noqa: BLE001 - as above
            _log.debug("Nothing can be written now, and is tried again: %s", text_of(error, self._redact))
            with self._changed:
                self._attempts = [*attempts, *self._attempts][-MOST_KEPT:]
                self._ends = [*ends, *self._ends][-MOST_KEPT:]
            return
        refused: list[tuple[AttemptRecord, Exception]] = []
        for attempt in attempts:
            try:
                self._store.record([attempt])
            except Exception as error:  # noqa: BLE001 - as above
                refused.append((attempt, error))
        if len(refused) == len(attempts):
            with self._changed:
                self._attempts = [*attempts, *self._attempts][-MOST_KEPT:]
            return
        # The store takes others, so that it is these that it does not take.
        for attempt, why in refused:
            _log.warning(
                "The attempt %d at pipe %r is not in history: %s",
                attempt.attempt,
                attempt.pipe_id,
                text_of(why, self._redact),
            )

    def _warn(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("The history of this run is incomplete: %s", problem)


def _newest(attempts: list[AttemptRecord]) -> list[AttemptRecord]:
    """Leave out what a later record of the same batch replaces."""
    newest = {(record.run_id, record.pipe_id, record.attempt): record for record in attempts}
    return list(newest.values())
