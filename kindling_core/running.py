"""What plans and runs the pipes of an App: its settings and the hooks of its plugins, put together."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

from kindling_core.clock import Clock
from kindling_core.config import Config
from kindling_core.errors import RunFailed
from kindling_core.logs import Log
from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.plan.entity_info import EntityInfo
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plan.graph import ExecutionMode
from kindling_core.plan.schedule import Schedule
from kindling_core.plan.selection import select
from kindling_core.plugins import PluginHost
from kindling_core.run.cancellation import Cancellation, CancelToken, Settable, following
from kindling_core.run.executer import DataPipesExecuter
from kindling_core.run.fence import Fence
from kindling_core.run.hooks import RunHooks, hooks_of
from kindling_core.run.io import HookIO, RunIO
from kindling_core.run.pipe_execution import PipeExecution, PipeInputs
from kindling_core.run.policy import policies_of
from kindling_core.run.report import RunReport
from kindling_core.run.requests import RunInfo, RunRequest, VersionRange, WriteOptions, WriteResult
from kindling_core.run.streams import OpenRun
from kindling_core.sections import ExecutionSection
from kindling_core.signals import BlinkerSignalProvider, SignalProvider
from kindling_core.state import RunStart
from kindling_core.state.kept_options import options_to_continue

_log = Log("kindling.app")


class RunsPipes(ABC):
    """The part of an App that plans and runs its pipes. What it runs them with is composed by the App."""

    config: Config
    host: PluginHost
    pipes: DataPipesRegistry
    signals: BlinkerSignalProvider
    clock: Clock

    def __init__(self) -> None:
        self._cancellation = Cancellation()
        self._open_runs: set[OpenRun] = set()

    # What the App gives

    @abstractmethod
    def start(self) -> None:
        """Start the features unless they have started."""

    @abstractmethod
    def all_pipes(self) -> list[PipeMetadata]:
        """Every registered pipe, in the order of registration."""

    @abstractmethod
    def check_pipes(self, pipes: Iterable[PipeMetadata]) -> None:
        """Have the features check pipes, such as those that a feature adds to a plan."""

    @abstractmethod
    def redact(self, text: str) -> str:
        """Mask the secrets of this job's settings in a text."""

    @abstractmethod
    def expected_seconds(self, pipe_ids: list[str]) -> Mapping[str, float]:
        """Return pipe id -> what it is expected to take, as far as a feature knows."""

    @abstractmethod
    def describe_entity(self, entity_id: str) -> EntityInfo | None:
        """Return what the features know of an entity, None if no active feature knows it."""

    # Planning and running

    def select(self, selection: Sequence[str] = ()) -> list[str]:
        """Resolve a selection to pipe ids."""
        return select(selection, self.all_pipes())

    def plan(self, selection: Sequence[str] = (), mode: ExecutionMode | str = ExecutionMode.BATCH) -> ExecutionPlan:
        """Plan without running.

        Raises:
            SelectionError, PlanError: nothing ran.
        """
        return self._executer().plan(self.select(selection), ExecutionMode(mode))

    def schedule(self, plan: ExecutionPlan) -> Schedule:
        """Return what waits for what in a plan, with what each pipe is expected to take."""
        return self._executer().schedule(plan)

    def run(
        self,
        selection: Sequence[str] = (),
        mode: ExecutionMode | str = ExecutionMode.BATCH,
        *,
        wait: bool = False,
        afresh: bool = False,
        resume: RunStart | None = None,
        cancelled: CancelToken | threading.Event | None = None,
        options: Mapping[str, object] | None = None,
        option_defaults: Mapping[str, object] | None = None,
    ) -> RunReport:
        """Run the selected pipes.

        Args:
            wait: wait for a run that is in the way, where a feature keeps runs apart.
            afresh: start anew although an earlier run of the job was not finished, where a feature remembers runs.
            resume: a run to continue, with its pipes, its mode, its options and the versions that it read; see
                ``resume_run``.
            cancelled: cancels this run, also before it has begun; ``cancel`` sets it, too. A signal handler may set
                only a ``CancelToken``; a plain event is looked at 20 times a second.
            options: values for options of a run that features add: name -> value, see ``RunInfo.options``. Those of
                ``resume`` stay where nothing else is given.
            option_defaults: values for those that are not given.

        Raises:
            SelectionError, PlanError: nothing ran.
            UnfinishedRun: an earlier run has still to be finished, and this run would repeat what it appended.
            RunFailed: pipes failed or the run was cancelled; carries the report and every failure.

        Returns:
            The report. If the run has started streams, its status is "running", and ``report.open_run`` stops them and
            waits for the end of the run; ``close`` stops them, too.
        """
        with ExitStack() as reach:
            token = reach.enter_context(following(cancelled, self.clock))
            reach.enter_context(self.cancelling(token))
            if resume is None:
                pipe_ids = self.select(selection)
            else:
                # Others were added to its plan by features, and are added to this plan again.
                pipe_ids = [pipe_id for pipe_id in resume.pipe_ids if pipe_id in self.pipes]
            request = RunRequest(
                tuple(resume.selection if resume is not None else selection),
                resumes=resume.run_id if resume is not None else None,
                root_run_id=resume.root_run_id if resume is not None else None,
                wait=wait,
                afresh=afresh,
                cancelled=token,
                options=dict(options or {}) if resume is None else options_to_continue(resume, options or {}),
                option_defaults=dict(option_defaults or {}),
            )
            self.start()
            report = self._executer(self.signals).run_datapipes(
                pipe_ids,
                mode=ExecutionMode(resume.mode if resume is not None else mode),
                request=request,
                pinned_versions=resume.pinned_versions if resume is not None else None,
            )
            if report.open_run is not None:
                # It can be cancelled for as long as its streams run.
                self._keep(report.open_run, reach.pop_all())
        return report

    def _keep(self, open_run: OpenRun, reach: ExitStack) -> None:
        self._open_runs.add(open_run)

        def forget() -> None:
            self._open_runs.discard(open_run)
            reach.close()

        open_run.when_ended(forget)

    def run_pipe(
        self,
        pipe: PipeMetadata | str,
        run: RunInfo,
        *,
        inputs: Mapping[str, Any] | None = None,
        versions: Mapping[str, int | tuple[int, int] | VersionRange] | None = None,
        fence: Fence | None = None,
        transaction: tuple[str, int] | None = None,
        transactions: Sequence[tuple[str, int]] = (),
        skip_empty: bool = False,
        commit_metadata: Mapping[str, str] | None = None,
    ) -> WriteResult:
        """Execute a pipe once within a run: for a micro-batch of its stream, a catch-up, a backfill.

        Inputs are read and the output is written through the hooks, as in a run; there are no attempts, no time limit
        and no ``datapipes.*`` signals. Safe on any thread.

        Args:
            run: that it belongs to, as hooks get it.
            inputs: entity id, as the pipe names it -> the frame that it gets; nothing is read for it.
            versions: entity id, as the pipe names it -> the version that is read, or the range of which changes or
                appends are read. A tuple (start, end) is a range whose changes are read.
            fence: stands before the commit; closed by whoever gives the work up.
            transaction, transactions: identify the write, so that its repetition does nothing; see ``WriteRequest``.
            skip_empty: where there are no rows, nothing is committed.
            commit_metadata: kept in the commit itself.

        Raises:
            PipeAbandoned: the fence was closed before the commit.
            Exception: whatever the pipe, a read or the write raises.
        """
        self.start()
        pipe = self.pipes.get_pipe_definition(pipe) if isinstance(pipe, str) else pipe
        ranges = {
            entity_id: VersionRange(*version) if isinstance(version, tuple) else version
            for entity_id, version in (versions or {}).items()
        }
        write = WriteOptions(
            transaction=transaction,
            transactions=tuple(transactions),
            skip_empty=skip_empty,
            commit_metadata=dict(commit_metadata or {}),
        )
        execution = PipeExecution(run, HookIO(self.host, run, None, "never", ()), self._run_hooks(), os.getpid())
        return execution.execute(pipe, fence or Fence(), PipeInputs(inputs or {}, ranges), write)

    def cancelling(self, token: Settable) -> AbstractContextManager[None]:
        """Have ``cancel`` set a token while the block lasts, such as that of a run which has still to be prepared."""
        return self._cancellation.reaching(token)

    def cancel(self) -> None:
        """End the runs that are under way: nothing new starts, running pipes are asked to stop, and the runs fail.

        What does not stop within ``execution.grace_seconds`` is left behind, and can no longer write.
        """
        self._cancellation.cancel()

    def _end_open_runs(self) -> None:
        """Stop the streams that still run, and wait for the end of their runs."""
        open_runs = tuple(self._open_runs)
        for open_run in open_runs:
            open_run.stop()
        seconds = self.config.section("execution").grace_seconds
        for open_run in open_runs:
            try:
                open_run.wait(seconds)
            except TimeoutError:
                # What does not stop is left behind.
                open_run.cancel()
                with suppress(RunFailed):
                    open_run.wait()
            except RunFailed as error:
                _log.error("%s", error)

    # What runs them

    def _executer(self, signals: SignalProvider | None = None) -> DataPipesExecuter:
        """Return what plans and runs the pipes; without ``signals`` it sends none, which is enough for a plan."""
        settings: ExecutionSection = self.config.section("execution")
        options = settings.options()

        def io(run: RunInfo, plan: ExecutionPlan) -> RunIO:
            policies = policies_of(plan.pipes.values(), options.pipe, options.pools)
            once = {pipe_id for pipe_id, policy in policies.items() if policy.retry.attempts > 1}
            return HookIO(self.host, run, plan, options.cache, once)

        return DataPipesExecuter(
            self.pipes,
            signal_provider=signals,
            max_workers=settings.max_workers,
            options=options,
            hooks=self._run_hooks(),
            io=io,
            describe_entity=self.describe_entity if self.host.implements("kindling_describe_entity") else None,
            known_entities=lambda: [
                entity_id for entity_ids in self.host.results("kindling_entity_ids") for entity_id in entity_ids
            ],
            clock=self.clock,
        )

    def _run_hooks(self) -> RunHooks:
        return hooks_of(self.host, self.expected_seconds, self.redact, self.check_pipes)
