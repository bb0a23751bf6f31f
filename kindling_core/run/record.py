"""The state of a run: what it reads and writes with, and how each of its pipes ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kindling_core.clock import Clock
from kindling_core.errors import shortened
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.run.io import RunIO
from kindling_core.run.report import PipeReport, RunReport
from kindling_core.run.requests import RunInfo, WriteResult
from kindling_core.run.streams import RunStreams
from kindling_core.secrets import redacted


class Run:
    """The state of a run. Each pipe ends once: the first ending is kept and later endings are refused.

    Args:
        operation_id: of the signals of the run.
        clock: measures what is recorded.
        began: when the run was asked for, by that clock.
        masked: returns a text without secrets; reports hold no others.
    """

    def __init__(
        self,
        info: RunInfo,
        plan: ExecutionPlan,
        io: RunIO,
        operation_id: str,
        clock: Clock,
        began: float,
        masked: Callable[[str], str],
    ) -> None:
        self.info = info
        self.plan = plan
        self.io = io
        self.operation_id = operation_id
        self.index = {pipe_id: index for index, pipe_id in enumerate(info.pipe_ids)}
        self.operations: dict[str, str] = {}
        self.failing: dict[str, tuple[BaseException, int, float]] = {}
        self.versions_read: dict[str, dict[str, int]] = {}
        self.ranges_read: dict[str, dict[str, tuple[int, int]]] = {}
        self.versions_written: dict[str, int] = {}
        self.exempt: set[str] = set()
        self.left_behind: set[str] = set()
        self.stopped_by: BaseException | None = None
        self.streams = RunStreams()
        # Its streams were stopped, because the run was cancelled.
        self.streams_cancelled = False
        self.process_id = os.getpid()
        self._clock = clock
        self._began = began
        self._masked = masked
        self._started_at = clock.utc_now().isoformat()
        self._generation = {
            pipe_id: index for index, generation in enumerate(plan.generations) for pipe_id in generation
        }
        self._lock = threading.Lock()
        self._starts: dict[str, float] = {}
        self._attempts: dict[str, float] = {}
        self._endings: dict[str, PipeReport] = {}
        self._exceptions: dict[str, BaseException] = {}

    def start(self, pipe_id: str) -> None:
        """Note when an attempt at a pipe begins."""
        now = self._clock.now()
        self._starts.setdefault(pipe_id, now)
        self._attempts[pipe_id] = now

    def has_started(self, pipe_id: str) -> bool:
        return pipe_id in self._starts

    def seconds_since_start(self, pipe_id: str) -> float:
        started = self._starts.get(pipe_id)
        return 0.0 if started is None else self._clock.now() - started

    def seconds_of_attempt(self, pipe_id: str) -> float:
        """Return the seconds since the newest attempt at a pipe began."""
        started = self._attempts.get(pipe_id)
        return 0.0 if started is None else self._clock.now() - started

    def end(
        self,
        pipe_id: str,
        status: str,
        duration: float,
        *,
        attempts: int = 0,
        exception: BaseException | None = None,
        written: WriteResult | None = None,
        error_text: str | None = None,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> PipeReport | None:
        """Record how a pipe ended; return None if it has ended before.

        Args:
            error_text: of the exception, without secrets.
            reason, details: as they are given; secrets are masked here, and those of what was written.
        """
        pipe, started = self.plan.pipes[pipe_id], self._starts.get(pipe_id)
        if written is not None:
            note = self._masked(written.note) if written.note is not None else None
            fields |= {"rows": written.rows, "note": note}
            details = written.details
        report = PipeReport(
            pipe_id,
            pipe.name,
            status,
            duration_seconds=duration,
            started_seconds=started - self._began if started is not None and attempts else None,
            attempts=attempts,
            generation=self._generation.get(pipe_id),
            input_entity_ids=tuple(pipe.input_entity_ids),
            output_entity_id=pipe.output_entity_id,
            version_written=written.version if written is not None else None,
            versions_read=self.versions_read.get(pipe_id, {}),
            ranges_read=self.ranges_read.get(pipe_id, {}),
            abandoned=pipe_id in self.left_behind,
            error=error_text,
            error_type=type(exception).__name__ if exception is not None else None,
            reason=shortened(self._masked(reason)) if reason is not None else None,
            details=redacted(dict(details), self._masked) if details else {},
            **fields,
        )
        with self._lock:
            if pipe_id in self._endings:
                return None
            self._endings[pipe_id] = report
            if exception is not None:
                self._exceptions[pipe_id] = exception
        return report

    def end_stream(self, pipe_id: str, error: BaseException, error_text: str, allowed: bool) -> None:
        """Record that the stream of a pipe has failed after its start had succeeded."""
        with self._lock:
            self._endings[pipe_id] = replace(
                self._endings[pipe_id],
                status="failed",
                error=error_text,
                error_type=type(error).__name__,
                allowed=allowed,
            )
            if allowed:
                self.exempt.add(pipe_id)
            self._exceptions[pipe_id] = error

    def open_pipes(self) -> list[str]:
        """Return the pipes that have no ending yet, in run order."""
        with self._lock:
            return [pipe_id for pipe_id in self.info.pipe_ids if pipe_id not in self._endings]

    def failed(self, but: type[BaseException] | tuple[type[BaseException], ...] = ()) -> list[str]:
        """Return the pipes whose failure fails the run, the first first, without those that raised ``but``."""
        with self._lock:
            return [
                pipe_id
                for pipe_id, error in self._exceptions.items()
                if not isinstance(error, but) and pipe_id not in self.exempt
            ]

    def release(self) -> None:
        """Let go of values and errors: threads that were left behind, and frames of errors, may keep this object."""
        self.io = RunIO()
        self.failing = {}

    def report(self, status: str) -> RunReport:
        with self._lock:
            return RunReport(
                run_id=self.info.run_id,
                mode=self.info.mode,
                status=status,
                started_at=self._started_at,
                duration_seconds=self._clock.now() - self._began,
                pipes=[self._endings[pipe_id] for pipe_id in self.info.pipe_ids],
                exceptions=dict(self._exceptions),
            )
