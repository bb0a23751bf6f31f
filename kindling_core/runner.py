"""Runs pipes: plans, executes generation by generation, tells what happens, and reports."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from numbers import Integral
from time import perf_counter
from typing import Any, ClassVar
from uuid import uuid4

from kindling_core import payloads
from kindling_core._run import Memory, Read, Run, Write
from kindling_core.errors import GenerationFailed, KindlingError, PipeError, PlanError, RunFailed, did_you_mean
from kindling_core.executor import GenerationExecutor
from kindling_core.graph import DescribeEntity, ExecutionMode, PipeGraphBuilder
from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.plan import ExecutionPlan, ExecutionStrategy, strategy_for
from kindling_core.report import RunReport
from kindling_core.requests import RunInfo, WriteResult
from kindling_core.signals import SignalEmitter, SignalPayload, SignalProvider


class DataPipesExecuter(SignalEmitter):
    """Runs pipes of a registry. Each run keeps its own state, so that runs may overlap.

    Args:
        read_entity: ``read_entity(entity_id, pipe)`` returns an input; the id keeps its version suffix.
            Default: what pipes of the same run returned.
        write_entity: ``write_entity(entity_id, value, pipe)`` returns the rows written, None if not known.
            Default: keeps the value in memory until the run ends.
        max_workers: pipes at a time.
        io: makes the pair of read and write for each run, in place of the two above.
        describe_entity, known_entities: see ``PipeGraphBuilder``.
        before_pipe: returns a reason to skip a pipe, or None; called on the pipe's thread.
        on_plan: called with each plan before it runs; raises PlanError to refuse it.
        start_stream: starts the query of a streaming pipe and returns once it runs.
        redact: masks secrets in the error texts of signals and reports.
        cancel: once set, nothing new starts. The owner of a given event clears it.
    """

    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = (
        payloads.BeforeRun,
        payloads.AfterRun,
        payloads.RunFailed,
        payloads.BeforePipe,
        payloads.AfterPipe,
        payloads.PipeFailed,
        payloads.PipeSkipped,
        payloads.PlanCreated,
        payloads.BeforeGeneration,
        payloads.AfterGeneration,
    )
    EMITS: ClassVar[list[str]] = [payload.SIGNAL for payload in PAYLOADS]

    def __init__(
        self,
        pipe_registry: DataPipesRegistry,
        read_entity: Read | None = None,
        write_entity: Write | None = None,
        signal_provider: SignalProvider | None = None,
        max_workers: int = 4,
        *,
        io: Callable[[RunInfo, ExecutionPlan], tuple[Read, Write]] | None = None,
        describe_entity: DescribeEntity | None = None,
        known_entities: Callable[[], Iterable[str]] | None = None,
        before_pipe: Callable[[PipeMetadata, RunInfo], str | None] | None = None,
        on_plan: Callable[[ExecutionPlan, RunInfo], object] | None = None,
        start_stream: Callable[[PipeMetadata, RunInfo], int | None] | None = None,
        redact: Callable[[str], str] | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        super().__init__()
        if max_workers < 1:
            raise ValueError(f"max_workers is {max_workers}; at least 1 pipe must be able to run.")
        self._builder = PipeGraphBuilder(
            pipe_registry, signal_provider, describe_entity=describe_entity, known_entities=known_entities
        )
        self._read_entity = read_entity
        self._write_entity = write_entity
        self._max_workers = max_workers
        self._io = io
        self._before_pipe = before_pipe
        self._on_plan = on_plan
        self._start_stream = start_stream
        self._redact = redact
        self._owns_cancel = cancel is None
        self._cancel = cancel or threading.Event()
        self._warned: set[str] = set()
        self._provider: SignalProvider | None = None
        if signal_provider is not None:
            self.set_signal_provider(signal_provider)

    def set_signal_provider(self, provider: SignalProvider) -> None:
        """Send the signals of this object, and of what it makes for a run, through this provider."""
        super().set_signal_provider(provider)
        self._provider = provider

    def cancel(self) -> None:
        """End the current run: nothing new starts, running pipes end, the run fails as cancelled."""
        self._cancel.set()

    def plan(self, pipes: Sequence[str], mode: ExecutionMode | str = ExecutionMode.BATCH) -> ExecutionPlan:
        """Plan without running and without telling anybody.

        Raises:
            PlanError: the pipes could not run.
        """
        return self._arrange(pipes, True, _mode(mode))[1]

    def run_datapipes(
        self,
        pipes: Sequence[str],
        use_graph: bool = True,
        mode: ExecutionMode | str = ExecutionMode.BATCH,
    ) -> RunReport:
        """Run pipes; after the first failure nothing new starts.

        Args:
            pipes: their ids.
            use_graph: order them by their inputs and run independent ones beside each other. Without it, and
                for a single pipe, they run in the given order, one after the other.

        Raises:
            PlanError: nothing ran.
            RunFailed: a pipe failed or the run was cancelled; carries the report.
        """
        clock = perf_counter()
        operation_id = str(uuid4())
        run_id = _new_run_id()
        try:
            checked_mode = _mode(mode)
            strategy, plan = self._arrange(pipes, use_graph, checked_mode)
            if use_graph and plan.total_pipes <= 1:
                strategy, plan = None, _in_given_order(list(plan.pipes.values()), checked_mode)
            info = RunInfo(run_id, checked_mode.value, plan.pipe_ids)
            if self._on_plan is not None:
                self._on_plan(plan, info)
            read, write = self._read_and_write(info, plan)
        except BaseException as error:
            self.emit(
                payloads.RunFailed.SIGNAL,
                pipe_ids=[pipes] if isinstance(pipes, str) else list(pipes),
                failed_pipe=None,
                success_count=0,
                error=self._told(error),
                error_type=type(error).__name__,
                duration_seconds=perf_counter() - clock,
                run_id=run_id,
                operation_id=operation_id,
            )
            if isinstance(error, PlanError) or not isinstance(error, Exception):
                raise
            raise PlanError(self._told(error)) from error
        run = Run(info, plan, read, write, clock, operation_id)
        try:
            self._execute(run, strategy)
        except GenerationFailed as failed:
            return self._finish(run, failed.__cause__)
        except BaseException as error:  # noqa: BLE001 - a run has exactly one ending, whatever ended it
            return self._finish(run, error)
        return self._finish(run, None)

    # Planning

    def _arrange(
        self, pipe_ids: Sequence[str], use_graph: bool, mode: ExecutionMode
    ) -> tuple[ExecutionStrategy | None, ExecutionPlan]:
        if isinstance(pipe_ids, str):
            raise PlanError(f"Give a list of pipe ids: [{pipe_ids!r}].")
        pipes = self._builder.definitions(pipe_ids)
        for pipe in pipes:
            if pipe.mode == "streaming" and self._start_stream is None:
                raise PlanError(
                    f"Pipe {pipe.pipe_id!r} is a streaming pipe, and no active feature runs those. "
                    f"pip install kindling-streaming, and add 'streaming' to the job's features."
                )
        if not use_graph:
            self._builder.check(pipes)
            return None, _in_given_order(pipes, mode)
        strategy = strategy_for(mode, pipes)
        return strategy, strategy.arrange(self._builder.connect(pipe_ids), pipes)

    def _read_and_write(self, info: RunInfo, plan: ExecutionPlan) -> tuple[Read, Write]:
        if self._io is not None:
            return self._io(info, plan)
        memory = Memory()
        return self._read_entity or memory.read, self._write_entity or memory.write

    # Running

    def _execute(self, run: Run, strategy: ExecutionStrategy | None) -> None:
        plan, run_id = run.plan, run.info.run_id
        if strategy is not None:
            if self._provider is not None:
                strategy.set_signal_provider(self._provider)
            strategy.announce(plan, run_id)
        self.emit(
            payloads.BeforeRun.SIGNAL,
            pipe_ids=list(run.info.pipe_ids),
            pipe_count=len(run.info.pipe_ids),
            run_id=run_id,
            execution_mode=run.info.mode,
            generation_count=len(plan.generations),
            operation_id=run.operation_id,
        )
        if strategy is None:
            for pipe_id in run.info.pipe_ids:
                if self._cancel.is_set():
                    return
                self._run_pipe(run, pipe_id)
            return
        # Without networkx the graph is a plain dict, and the contract has such runs go one pipe at a time.
        workers = 1 if isinstance(plan.dependency_graph, dict) else self._max_workers
        with GenerationExecutor(workers, self._provider) as executor:
            for index, generation in enumerate(plan.generations):
                if self._cancel.is_set():
                    return
                executor.execute_generation(
                    generation,
                    lambda pipe_id: self._run_pipe(run, pipe_id),
                    index,
                    run_id=run_id,
                    cancel=self._cancel,
                )

    def _run_pipe(self, run: Run, pipe_id: str) -> int | None:
        pipe = run.plan.pipes[pipe_id]
        common = {
            "pipe_id": pipe_id,
            "pipe_name": pipe.name,
            "run_id": run.info.run_id,
            "operation_id": str(uuid4()),
        }
        started = run.start(pipe_id)
        announced = False
        try:
            reason = self._reason_to_skip(pipe, run)
            if reason is None:
                announced = True
                self.emit(payloads.BeforePipe.SIGNAL, pipe_index=run.index[pipe_id], **common)
                written = self._do(run, pipe)
        except BaseException as error:
            duration = perf_counter() - started
            told, kind = self._told(error), type(error).__name__
            details = error.details if isinstance(error, KindlingError) else {}
            if run.end(pipe_id, "failed", duration, error=told, error_type=kind, exception=error, details=details):
                if not announced:
                    self.emit(payloads.BeforePipe.SIGNAL, pipe_index=run.index[pipe_id], **common)
                self.emit(
                    payloads.PipeFailed.SIGNAL,
                    error=told,
                    error_type=kind,
                    duration_seconds=duration,
                    **common,
                )
            raise
        duration = perf_counter() - started
        if reason is not None:
            if run.end(pipe_id, "skipped", duration, reason=reason):
                self.emit(payloads.PipeSkipped.SIGNAL, reason=reason, **common)
            return 0
        rows = written.rows
        if run.end(pipe_id, "succeeded", duration, rows=rows, note=written.note, details=written.details):
            self.emit(payloads.AfterPipe.SIGNAL, duration_seconds=duration, rows_processed=rows, **common)
        return rows

    def _reason_to_skip(self, pipe: PipeMetadata, run: Run) -> str | None:
        reason = self._before_pipe(pipe, run.info) if self._before_pipe is not None else None
        return None if reason is None else str(reason)

    def _do(self, run: Run, pipe: PipeMetadata) -> WriteResult:
        if pipe.mode == "streaming" and self._start_stream is not None:
            return WriteResult(self._start_stream(pipe, run.info))
        inputs = {parameter: run.read(entity_id, pipe) for parameter, entity_id in pipe.parameters.items()}
        value = pipe.execute(**inputs)
        if pipe.output_entity_id is None:
            if value is not None and pipe.pipe_id not in self._warned:
                self._warned.add(pipe.pipe_id)
                logging.getLogger("kindling.pipes").warning(
                    "Pipe %r (%s) returned a %s but declares no output, so it is dropped. Declare output=..., "
                    "or return nothing.",
                    pipe.pipe_id,
                    pipe.location,
                    type(value).__name__,
                )
            return WriteResult(0)
        if value is None:
            raise PipeError(
                f"Pipe {pipe.pipe_id!r} ({pipe.location}) returned nothing for its output "
                f"{pipe.output_entity_id!r}. Return it, or declare no output if the pipe writes by itself."
            )
        written = run.write(pipe.output_entity_id, value, pipe)
        if isinstance(written, WriteResult):
            return written
        # A user's own write function may return anything, its frame for one; only a count is a count.
        return WriteResult(int(written) if isinstance(written, Integral) else None)

    # Ending

    def _finish(self, run: Run, error: BaseException | None) -> RunReport:
        cancelled = isinstance(error, KeyboardInterrupt) or (self._cancel.is_set() and bool(run.open_pipes()))
        if self._owns_cancel:
            self._cancel.clear()
        failed_pipe = run.first_failed(but=KeyboardInterrupt)
        if failed_pipe is not None:
            status, skip_reason = "failed", f"pipe {failed_pipe!r} failed"
        elif cancelled:
            status, skip_reason = "cancelled", "cancelled"
        else:
            status, skip_reason = ("failed", "the run failed") if error else ("succeeded", "")
        self._close_open_pipes(run, skip_reason)
        report = run.report(status)
        common: dict[str, Any] = {
            "pipe_ids": list(run.info.pipe_ids),
            "success_count": report.count("succeeded"),
            "duration_seconds": report.duration_seconds,
            "run_id": run.info.run_id,
            "operation_id": run.operation_id,
        }
        if status == "succeeded":
            self.emit(payloads.AfterRun.SIGNAL, failed_count=report.count("failed"), **common)
            return report
        if failed_pipe is not None:
            failure = report.pipe(failed_pipe)
            told, kind = failure.error or "", failure.error_type or ""
            message = f"Pipe {failed_pipe!r} failed: {kind}: {told}"
            error = report.exceptions.get(failed_pipe, error)
        elif status == "cancelled":
            failed_pipe = run.first_failed()
            told, kind = "The run was cancelled.", "Cancelled"
            message = f"The run was cancelled after {report.count('succeeded')} of {len(report.pipes)} pipes."
        else:
            told, kind = self._told(error), type(error).__name__
            message = f"The run failed: {kind}: {told}"
        self.emit(payloads.RunFailed.SIGNAL, failed_pipe=failed_pipe, error=told, error_type=kind, **common)
        raise RunFailed(message, report) from error

    def _close_open_pipes(self, run: Run, skip_reason: str) -> None:
        """Give each pipe that has none its ending."""
        for pipe_id in run.open_pipes():
            common = {
                "pipe_id": pipe_id,
                "pipe_name": run.plan.pipes[pipe_id].name,
                "run_id": run.info.run_id,
                "operation_id": str(uuid4()),
            }
            if not run.has_started(pipe_id):
                if run.end(pipe_id, "skipped", 0.0, reason=skip_reason):
                    self.emit(payloads.PipeSkipped.SIGNAL, reason=skip_reason, **common)
                continue
            # Only a second Ctrl-C gets here: it broke off the wait for a pipe that is still running.
            duration, told = run.seconds_since_start(pipe_id), "Still running when the run was given up."
            abandoned = KeyboardInterrupt(told)
            if run.end(pipe_id, "failed", duration, error=told, error_type="Abandoned", exception=abandoned):
                self.emit(
                    payloads.PipeFailed.SIGNAL,
                    error=told,
                    error_type="Abandoned",
                    duration_seconds=duration,
                    **common,
                )

    def _told(self, error: BaseException | None) -> str:
        text = str(error) or type(error).__name__
        return self._redact(text) if self._redact is not None else text


def _mode(mode: ExecutionMode | str) -> ExecutionMode:
    try:
        return ExecutionMode(mode)
    except ValueError:
        names = [known.value for known in ExecutionMode]
        raise PlanError(
            f"Unknown execution mode {mode!r}, use one of {', '.join(names)}.{did_you_mean(str(mode), names)}"
        ) from None


def _in_given_order(pipes: Sequence[PipeMetadata], mode: ExecutionMode) -> ExecutionPlan:
    return ExecutionPlan(
        generations=[],
        total_pipes=len(pipes),
        max_parallelism=min(1, len(pipes)),
        mode=mode,
        pipes={pipe.pipe_id: pipe for pipe in pipes},
    )


def _new_run_id() -> str:
    """Return an id that sorts by the time at which it was made."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}-{uuid4().hex[:8]}"
