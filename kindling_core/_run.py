"""The state of one run: what it reads and writes with, and how each of its pipes ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from time import perf_counter
from typing import Any, TypeAlias

from kindling_core.attempt import Attempt
from kindling_core.errors import PipeError, did_you_mean
from kindling_core.fence import Fence
from kindling_core.pipes import PipeMetadata
from kindling_core.plan import ExecutionPlan
from kindling_core.policy import OnFailure, PipePolicy
from kindling_core.report import PipeReport, RunReport
from kindling_core.requests import ReadResult, RunInfo, WriteResult

Read: TypeAlias = Callable[[str, PipeMetadata], Any]
Write: TypeAlias = "Callable[[str, Any, PipeMetadata], WriteResult | int | None]"


@dataclass(frozen=True)
class RunOptions:
    """How runs are scheduled, and what a failure means to them.

    Attributes:
        schedule: "ready": a pipe starts once its last producer has ended; "generation": once its generation does.
        on_failure: what a failed pipe means to the others.
        timeout_seconds: of a run; None is no limit.
        grace_seconds: how long what was told to stop may take to.
        pipe: the policy of each pipe, but for its own options.
        pools: name -> how many of its pipes may run at a time.
    """

    schedule: str = "ready"
    on_failure: OnFailure = OnFailure.SKIP_DOWNSTREAM
    timeout_seconds: float | None = None
    grace_seconds: float = 2.0
    pipe: PipePolicy = field(default_factory=PipePolicy)
    pools: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, limit in self.pools.items():
            if limit < 1:
                raise ValueError(f"Pool {name!r} lets {limit} pipes run at a time; it must be at least 1.")


@dataclass(frozen=True)
class Seams:
    """Where others take part in a run; each is left out where there is nobody.

    Attributes:
        on_plan: called with each plan; raises PlanError to refuse it.
        before_run, after_run: around what the run tells; ``after_run`` gets None if the run was refused.
        before_pipe: returns a reason to skip a pipe, or None; called on the pipe's thread before each attempt.
        pipe_succeeded: called with what a pipe wrote before anybody is told; raises to fail the pipe.
        after_pipe: called once a pipe has ended.
        start_stream: starts the query of a streaming pipe and returns once it runs; the fence tells whether the pipe
            was given up meanwhile.
        interrupt: stops what the engine does for a pipe.
        classify: whether an error is worth another attempt; None leaves it to the core.
        expected_seconds: pipe id -> what it took before.
        redact: masks secrets in error texts.
    """

    on_plan: Callable[[ExecutionPlan, RunInfo], object] | None = None
    before_run: Callable[[ExecutionPlan, RunInfo], object] | None = None
    after_run: Callable[[RunInfo, RunReport | None], object] | None = None
    before_pipe: Callable[[PipeMetadata, RunInfo], str | None] | None = None
    pipe_succeeded: Callable[[PipeMetadata, RunInfo, WriteResult], object] | None = None
    after_pipe: Callable[[PipeMetadata, RunInfo, PipeReport], object] | None = None
    start_stream: Callable[[PipeMetadata, RunInfo, Fence], int | None] | None = None
    interrupt: Callable[[PipeMetadata, RunInfo], object] | None = None
    classify: Callable[[BaseException, PipeMetadata], bool | None] | None = None
    expected_seconds: Callable[[list[str]], Mapping[str, float]] | None = None
    redact: Callable[[str], str] | None = None


class RunIO:
    """Reads and writes for one run. An App makes one of hooks; this one is made of two functions.

    Args:
        read, write: as ``DataPipesExecuter`` takes them; what is missing is kept in memory until the run ends.
    """

    def __init__(self, read: Read | None = None, write: Write | None = None) -> None:
        memory = Memory()
        self._read = read or memory.read
        self._write = write or memory.write

    def read(self, entity_id: str, pipe: PipeMetadata) -> ReadResult:
        """Return an input; the id keeps its version suffix."""
        return ReadResult(self._read(entity_id, pipe))

    def write(self, entity_id: str, value: Any, pipe: PipeMetadata, attempt: Attempt) -> WriteResult | Any:
        """Write an output; what is no WriteResult and no count is taken for a count that is not known."""
        with attempt.fence.committing():
            return self._write(entity_id, value, pipe)


class Run:
    """The state of one run. Each pipe ends once: the first ending is kept and later ones are refused."""

    def __init__(self, info: RunInfo, plan: ExecutionPlan, io: RunIO, clock: float, operation_id: str) -> None:
        self.info = info
        self.plan = plan
        self.io = io
        self.operation_id = operation_id
        self.index = {pipe_id: index for index, pipe_id in enumerate(info.pipe_ids)}
        self.operations: dict[str, str] = {}
        self.failing: dict[str, tuple[BaseException, int, float]] = {}
        self.versions_read: dict[str, dict[str, int]] = {}
        self.versions_written: dict[str, int] = {}
        self.exempt: set[str] = set()
        self.left_behind: set[str] = set()
        self.stopped_by: BaseException | None = None
        self._clock = clock
        self._started_at = datetime.now(timezone.utc).isoformat()
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
        now = perf_counter()
        self._starts.setdefault(pipe_id, now)
        self._attempts[pipe_id] = now

    def has_started(self, pipe_id: str) -> bool:
        return pipe_id in self._starts

    def seconds_since_start(self, pipe_id: str) -> float:
        started = self._starts.get(pipe_id)
        return 0.0 if started is None else perf_counter() - started

    def seconds_of_attempt(self, pipe_id: str) -> float:
        """Return the seconds since the newest attempt at a pipe began."""
        started = self._attempts.get(pipe_id)
        return 0.0 if started is None else perf_counter() - started

    def end(
        self,
        pipe_id: str,
        status: str,
        duration: float,
        *,
        attempts: int = 0,
        exception: BaseException | None = None,
        written: WriteResult | None = None,
        **told: Any,
    ) -> PipeReport | None:
        """Record how a pipe ended; return None if it has ended before."""
        pipe, started = self.plan.pipes[pipe_id], self._starts.get(pipe_id)
        if written is not None:
            told |= {"rows": written.rows, "note": written.note, "details": dict(written.details)}
        report = PipeReport(
            pipe_id,
            pipe.name,
            status,
            duration_seconds=duration,
            started_seconds=started - self._clock if started is not None and attempts else None,
            attempts=attempts,
            generation=self._generation.get(pipe_id),
            input_entity_ids=tuple(pipe.input_entity_ids),
            output_entity_id=pipe.output_entity_id,
            version_written=written.version if written is not None else None,
            versions_read=self.versions_read.get(pipe_id, {}),
            abandoned=pipe_id in self.left_behind,
            **told,
        )
        with self._lock:
            if pipe_id in self._endings:
                return None
            self._endings[pipe_id] = report
            if exception is not None:
                self._exceptions[pipe_id] = exception
        return report

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
