"""The state of one run: what it reads and writes with, and how each of its pipes ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from time import perf_counter
from typing import Any, TypeAlias

from kindling_core.errors import PipeError, did_you_mean
from kindling_core.pipes import PipeMetadata
from kindling_core.plan import ExecutionPlan
from kindling_core.report import PipeReport, RunReport
from kindling_core.requests import RunInfo, WriteResult

Read: TypeAlias = Callable[[str, PipeMetadata], Any]
Write: TypeAlias = "Callable[[str, Any, PipeMetadata], WriteResult | int | None]"


class Run:
    """The state of one run. Each pipe ends once: the first ending is kept and later ones are refused."""

    def __init__(
        self,
        info: RunInfo,
        plan: ExecutionPlan,
        read: Read,
        write: Write,
        clock: float,
        operation_id: str,
    ) -> None:
        self.info = info
        self.plan = plan
        self.read = read
        self.write = write
        self.operation_id = operation_id
        self.index = {pipe_id: index for index, pipe_id in enumerate(info.pipe_ids)}
        self._clock = clock
        self._started_at = datetime.now(timezone.utc).isoformat()
        self._generation = {
            pipe_id: index for index, generation in enumerate(plan.generations) for pipe_id in generation
        }
        self._lock = threading.Lock()
        self._starts: dict[str, float] = {}
        self._endings: dict[str, PipeReport] = {}
        self._exceptions: dict[str, BaseException] = {}

    def start(self, pipe_id: str) -> float:
        started = perf_counter()
        self._starts[pipe_id] = started
        return started

    def has_started(self, pipe_id: str) -> bool:
        return pipe_id in self._starts

    def seconds_since_start(self, pipe_id: str) -> float:
        return perf_counter() - self._starts[pipe_id]

    def end(
        self,
        pipe_id: str,
        status: str,
        duration: float,
        *,
        rows: int | None = 0,
        error: str | None = None,
        error_type: str | None = None,
        reason: str | None = None,
        exception: BaseException | None = None,
        note: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> bool:
        """Record how a pipe ended; return False if it has ended before."""
        pipe, started = self.plan.pipes[pipe_id], self._starts.get(pipe_id)
        ran = started is not None and status != "skipped"
        report = PipeReport(
            pipe_id=pipe_id,
            name=pipe.name,
            status=status,
            rows=rows,
            duration_seconds=duration,
            started_seconds=started - self._clock if started is not None and ran else None,
            error=error,
            error_type=error_type,
            attempts=1 if ran else 0,
            reason=reason,
            generation=self._generation.get(pipe_id),
            input_entity_ids=list(pipe.input_entity_ids),
            output_entity_id=pipe.output_entity_id,
            note=note,
            details=dict(details or {}),
        )
        with self._lock:
            if pipe_id in self._endings:
                return False
            self._endings[pipe_id] = report
            if exception is not None:
                self._exceptions[pipe_id] = exception
        return True

    def open_pipes(self) -> list[str]:
        """Return the pipes that have no ending yet, in run order."""
        with self._lock:
            return [pipe_id for pipe_id in self.info.pipe_ids if pipe_id not in self._endings]

    def first_failed(self, but: type[BaseException] | tuple[()] = ()) -> str | None:
        """Return the pipe that failed first, leaving out those that raised ``but``."""
        with self._lock:
            return next((key for key, error in self._exceptions.items() if not isinstance(error, but)), None)

    def report(self, status: str) -> RunReport:
        with self._lock:
            return RunReport(
                run_id=self.info.run_id,
                mode=self.info.mode,
                status=status,
                started_at=self._started_at,
                duration_seconds=perf_counter() - self._clock,
                pipes=[self._endings[pipe_id] for pipe_id in self.info.pipe_ids],
                exceptions=dict(self._exceptions),
            )


class Memory:
    """What the pipes of one run returned, for a run that nothing was given to read and write with."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def read(self, entity_id: str, pipe: PipeMetadata) -> Any:
        try:
            return self._values[entity_id]
        except KeyError:
            raise PipeError(
                f"Pipe {pipe.pipe_id!r} reads {entity_id!r}, which no earlier pipe of this run returned, and no "
                f"read_entity was given to read it with.{did_you_mean(entity_id, self._values)}"
            ) from None

    def write(self, entity_id: str, value: Any, pipe: PipeMetadata) -> None:
        self._values[entity_id] = value
