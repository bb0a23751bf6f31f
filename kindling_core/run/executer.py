"""Runs pipes: plans a run, has its pipes carried out, and ends it with a report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from traceback import clear_frames
from typing import Any, ClassVar
from uuid import uuid4

from kindling_core.clock import Clock, SystemClock
from kindling_core.errors import (
    KindlingError,
    PlanError,
    RunFailed,
    RunTimeout,
)
from kindling_core.logs import Log
from kindling_core.pipes import DataPipesRegistry
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plan.graph import DescribeEntity, ExecutionMode, PipeGraphBuilder, has_networkx
from kindling_core.plan.payloads import PlanCreated
from kindling_core.plan.schedule import Schedule, schedule_of
from kindling_core.plan.strategies import ExecutionStrategy
from kindling_core.run import payloads
from kindling_core.run.cancellation import Cancellation
from kindling_core.run.closing import RunClosing
from kindling_core.run.dispatcher import Dispatcher
from kindling_core.run.frames import release_frames
from kindling_core.run.generation_executor import GenerationExecutor
from kindling_core.run.generations import GenerationTracker
from kindling_core.run.hooks import RunHooks
from kindling_core.run.io import Read, RunIO, Write
from kindling_core.run.options import DEFAULT_MAX_WORKERS, RunOptions
from kindling_core.run.pipe_lifecycle import PipeLifecycle
from kindling_core.run.planning import RunPlanner, in_given_order, mode_of, policies_of_plan
from kindling_core.run.policy import PipePolicy
from kindling_core.run.ready_queue import ReadyQueue
from kindling_core.run.record import Run
from kindling_core.run.report import RunReport
from kindling_core.run.requests import RunInfo, RunRequest
from kindling_core.run.streams import OpenRun
from kindling_core.secrets import describe_error
from kindling_core.signals import SignalEmitter, SignalPayload, SignalProvider


class DataPipesExecuter(SignalEmitter):
    """Runs pipes of a registry. Each run keeps its own state, so that runs may overlap.

    Args:
        read_entity: ``read_entity(entity_id, pipe)`` returns an input; the id keeps its version suffix.
            Default: what pipes of the same run returned.
        write_entity: ``write_entity(entity_id, value, pipe)`` returns the rows written, None if not known.
            Default: keeps the value in memory until the run ends.
        max_workers: pipes at a time.
        options: schedule, failure policy, retries, timeouts and pools.
        hooks: where others take part.
        io: makes what each run reads and writes with, in place of the two functions above.
        describe_entity, known_entities: see ``PipeGraphBuilder``.
        clock: measures durations, delays and time limits; replaced in tests.
    """

    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = (
        payloads.BeforeRun,
        payloads.AfterRun,
        payloads.RunFailed,
        payloads.BeforePipe,
        payloads.AfterPipe,
        payloads.PipeRetrying,
        payloads.PipeFailed,
        payloads.PipeSkipped,
        PlanCreated,
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
        max_workers: int = DEFAULT_MAX_WORKERS,
        *,
        options: RunOptions | None = None,
        hooks: RunHooks | None = None,
        io: Callable[[RunInfo, ExecutionPlan], RunIO] | None = None,
        describe_entity: DescribeEntity | None = None,
        known_entities: Callable[[], Iterable[str]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        if max_workers < 1:
            raise ValueError(f"max_workers is {max_workers}; at least 1 pipe must be able to run.")
        builder = PipeGraphBuilder(
            pipe_registry, signal_provider, describe_entity=describe_entity, known_entities=known_entities
        )
        self._max_workers = max_workers
        self._options = options or RunOptions()
        self._hooks = hooks or RunHooks()
        self._planner = RunPlanner(builder, self._hooks)
        self._io = io or (lambda info, plan: RunIO(read_entity, write_entity))
        self._cancellation = Cancellation()
        self._clock: Clock = clock or SystemClock()
        self._warned: set[str] = set()
        self._provider: SignalProvider | None = None
        if signal_provider is not None:
            self.set_signal_provider(signal_provider)

    def set_signal_provider(self, provider: SignalProvider) -> None:
        """Send the signals of this object, and of what it makes for a run, through this provider."""
        super().set_signal_provider(provider)
        self._provider = provider

    def cancel(self) -> None:
        """End the runs that are under way: nothing new starts, running pipes are asked to stop, the runs fail."""
        self._cancellation.cancel()

    def plan(self, pipes: Sequence[str], mode: ExecutionMode | str = ExecutionMode.BATCH) -> ExecutionPlan:
        """Plan without running and without any signal; features may add to the plan.

        Raises:
            PlanError: the pipes could not run.
        """
        return self._planner.plan(pipes, True, mode_of(mode), None)[1]

    def schedule(self, plan: ExecutionPlan) -> Schedule:
        """Return what waits for what in a plan, with the seconds that each pipe is expected to take."""
        expected = self._hooks.expected_seconds
        return schedule_of(plan, expected(plan.pipe_ids) if expected is not None else None)

    def run_datapipes(
        self,
        pipes: Sequence[str],
        use_graph: bool = True,
        mode: ExecutionMode | str = ExecutionMode.BATCH,
        *,
        request: RunRequest | None = None,
        pinned_versions: Mapping[str, int] | None = None,
    ) -> RunReport:
        """Run pipes; what does not depend on a failure goes on, unless the options say otherwise.

        Args:
            pipes: their ids.
            use_graph: order them by their inputs and run independent ones beside each other. Without it, and
                for a single pipe, they run in the given order, in turn.
            request: what else is asked of the run, such as the run that it resumes.
            pinned_versions: entity id -> the version that every pipe reads.

        Raises:
            PlanError: nothing ran.
            RunFailed: pipes failed or the run was cancelled; carries the report and every failure.
        """
        request = request or RunRequest()
        outside = sys.exc_info()[1]
        with self._cancellation.reaching(request.cancelled):
            try:
                report = self._run(request, pipes, use_graph, mode, pinned_versions or {})
            except RunFailed as failed:
                clear_frames(failed.__traceback__)
                release_frames([failed.__cause__, *failed.report.exceptions.values()], outside)
                raise
            release_frames(report.exceptions.values(), outside)
            return report

    def _run(
        self,
        request: RunRequest,
        pipes: Sequence[str],
        use_graph: bool,
        mode: ExecutionMode | str,
        pinned_versions: Mapping[str, int],
    ) -> RunReport:
        began = self._clock.now()
        run_id, operation_id = _new_run_id(self._clock.utc_now()), str(uuid4())
        held: RunInfo | None = None
        try:
            checked_mode = mode_of(mode)
            strategy, plan = self._planner.plan(
                pipes, use_graph, checked_mode, partial(request.as_run, run_id, checked_mode.value)
            )
            if use_graph and plan.total_pipes <= 1:
                strategy = None
                plan.rearrange(in_given_order(list(plan.pipes.values()), checked_mode))
            info = request.as_run(run_id, checked_mode.value, plan.pipe_ids)
            plan.pinned_versions.update(pinned_versions)
            policies = policies_of_plan(plan, self._options)
            schedule = self.schedule(plan)
            held = info
            earlier = self._hooks.claim(plan, info) if self._hooks.claim is not None else None
            if earlier is not None:
                held = info = info.continuing(earlier)
            if self._hooks.before_run is not None:
                self._hooks.before_run(plan, info)
            run = Run(info, plan, self._io(info, plan), operation_id, self._clock, began, self._hooks.masked)
        except BaseException as error:
            self._refuse(error, run_id, pipes, began, operation_id, held)
            if isinstance(error, PlanError) or not isinstance(error, Exception):
                raise
            raise PlanError(self._hooks.error_text(error)) from error
        generations = (
            GenerationTracker(plan, info.run_id, self.emit)
            if strategy is not None and self._options.schedule == "ready"
            else None
        )
        work = PipeLifecycle(run, policies, self._options.on_failure, self.emit, self._hooks, generations, self._warned)
        failure: BaseException | None = None
        try:
            self._execute(run, work, strategy, schedule, policies)
            failure = run.stopped_by if isinstance(run.stopped_by, RunTimeout) else None
        except BaseException as error:  # noqa: BLE001 - a run ends exactly once, whatever ended it
            failure = error
        closing = RunClosing(run, work, self.emit, self._hooks.error_text, self._release, self._clock)
        if not run.streams:
            return _closed(run, closing, failure)
        return self._keep_open(run, closing, failure, policies)

    def _keep_open(
        self, run: Run, closing: RunClosing, failure: BaseException | None, policies: Mapping[str, PipePolicy]
    ) -> RunReport:
        """Return the report of a run whose streams still run; the run ends when they have ended.

        Args:
            failure: what has ended the run before; then its streams are stopped, and their end is waited for.
        """
        fail_fast = self._options.on_failure.ends_run
        ends = failure is not None or run.stopped_by is not None or (fail_fast and bool(run.failed()))

        def end(errors: Mapping[str, BaseException], cancelled: bool) -> RunReport:
            for pipe_id, error in errors.items():
                run.end_stream(pipe_id, error, self._hooks.error_text(error), policies[pipe_id].allow_failure)
            run.streams_cancelled = cancelled and not ends
            try:
                return _closed(run, closing, failure)
            except RunFailed as failed:
                release_frames([failed.__cause__, *failed.report.exceptions.values()], None)
                raise

        open_run = OpenRun(
            run.info.run_id,
            run.streams,
            cancelled=run.info.cancelled,
            grace_seconds=self._options.grace_seconds,
            fail_fast=fail_fast,
            clock=self._clock,
            end=end,
        )
        reach = ExitStack()
        reach.enter_context(self._cancellation.reaching(run.info.cancelled))
        open_run.when_ended(reach.close)
        report = run.report("running")
        report.open_run = open_run
        open_run.start()
        if not ends:
            return report
        open_run.cancel()
        return open_run.wait()

    # Running

    def _refuse(
        self,
        error: BaseException,
        run_id: str,
        pipes: Sequence[str],
        began: float,
        operation_id: str,
        held: RunInfo | None,
    ) -> None:
        """Release what the features hold for a run that does not start, and signal its failure."""
        if held is not None:
            self._release(held, None)
        self.emit(
            payloads.RunFailed.SIGNAL,
            pipe_ids=[pipes] if isinstance(pipes, str) else list(pipes),
            failed_pipe=None,
            success_count=0,
            error=self._hooks.error_text(error),
            error_type=type(error).__name__,
            duration_seconds=self._clock.now() - began,
            run_id=run_id,
            operation_id=operation_id,
        )

    def _execute(
        self,
        run: Run,
        work: PipeLifecycle,
        strategy: ExecutionStrategy | None,
        schedule: Schedule,
        policies: Mapping[str, PipePolicy],
    ) -> None:
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
        limit = self._options.timeout_seconds
        timeout = RunTimeout(f"The run took longer than {limit:g} s") if limit is not None else None
        limits: dict[str, Any] = {
            "pools": {pipe_id: policy.pool for pipe_id, policy in policies.items() if policy.pool is not None},
            "limits": self._options.pools,
        }
        until: dict[str, Any] = {
            "timeout": timeout,
            "deadline": None if limit is None else self._clock.now() + limit,
        }
        # Without networkx the graph is a plain dict, and the contract has such runs go one pipe at a time.
        one_by_one = strategy is None or not has_networkx()
        dispatcher = Dispatcher(
            1 if one_by_one else self._max_workers,
            grace_seconds=self._options.grace_seconds,
            cancel=run.info.cancelled,
            clock=self._clock,
        )
        try:
            if strategy is not None and self._options.schedule == "generation":
                self._by_generation(run, work, dispatcher, schedule, {**limits, **until})
            else:
                dispatcher.run(ReadyQueue(schedule, **limits), work, **until)
        finally:
            run.stopped_by = dispatcher.stopped_by or run.stopped_by
            dispatcher.close()

    def _by_generation(
        self, run: Run, work: PipeLifecycle, dispatcher: Dispatcher, schedule: Schedule, limits: Mapping[str, Any]
    ) -> None:
        """Run with a barrier after each generation, leaving out what failures touch."""
        executor = GenerationExecutor(dispatcher.max_workers, self._provider, dispatcher=dispatcher)
        because: dict[str, str] = {}
        for index, generation in enumerate(run.plan.generations):
            left = []
            for pipe_id in generation:
                causes = (because[other] for other in schedule.needs.get(pipe_id, ()) if other in because)
                cause = next(causes, None)
                if cause is None:
                    left.append(pipe_id)
                else:
                    because[pipe_id] = cause
                    work.skipped(pipe_id, cause)
            if not left:
                continue
            if run.info.cancelled.is_set():
                run.stopped_by = InterruptedError("the run was cancelled")
                return
            part = replace(schedule, pipe_ids=left, waits_for={}, needs={})
            results = executor.run_generation(generation, work, index, run_id=run.info.run_id, schedule=part, **limits)
            if dispatcher.stopped:
                # Whoever ends the run says why the rest did not run.
                return
            because.update({pipe_id: pipe_id for pipe_id, reached in results.items() if not reached})

    # Ending

    def _release(self, info: RunInfo, report: RunReport | None) -> BaseException | None:
        """Let the features release what they hold; return what went wrong with that."""
        if self._hooks.after_run is None:
            return None
        try:
            self._hooks.after_run(info, report)
        except BaseException as error:  # noqa: BLE001 - returned; whoever ends the run decides what it means
            expected = isinstance(error, KindlingError)
            text = self._hooks.error_text(error) if expected else describe_error(error, self._hooks.masked)
            Log("kindling.runs").error("A feature failed at the end of run %s: %s", info.run_id, text)
            return error
        return None


def _closed(run: Run, closing: RunClosing, failure: BaseException | None) -> RunReport:
    try:
        return closing.finish(failure)
    finally:
        run.release()


def _new_run_id(now: datetime) -> str:
    """Return an id that sorts by the time at which it was made."""
    return f"{now:%Y%m%dT%H%M%S%f}-{uuid4().hex[:8]}"
