"""Where others take part in a run, as plain functions: what an App makes of its hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kindling_core.errors import PluginError, text_of
from kindling_core.pipes import PipeMetadata
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plugins import PluginHost
from kindling_core.run.fence import Fence
from kindling_core.run.report import PipeReport, RunReport
from kindling_core.run.requests import Continuation, RunInfo, WriteResult
from kindling_core.run.streams import StreamHandle


@dataclass(frozen=True)
class RunHooks:
    """Where others take part in a run; each is left out where there is nobody.

    Attributes:
        on_plan: called with each plan; adds to it, raises PlanError to refuse it. The run is None for a plan that is
            only shown.
        claim: keeps other runs away before the run takes anything; returns the run that this run continues, or None.
        before_run: called before the first signal of a run; takes what the run needs, fixes the versions that it reads
            and has the run written down; raises to refuse the run.
        after_run: called before the last signal of a run; gets None if the run was refused.
        before_pipe: returns a reason to skip a pipe, or None; called on the pipe's thread before each attempt.
        pipe_succeeded: called with what a pipe wrote, before any signal of it; raises to fail the pipe.
        after_pipe: called once a pipe has ended.
        start_stream: starts the query of a streaming pipe and returns its handle once it runs; the fence says whether
            the pipe was given up meanwhile.
        execute: calls the function of a pipe with its arguments, with what features do around that.
        argument: returns what a feature gives for a keyword-only parameter of a pipe's function.
        interrupt: stops what the engine does for a pipe.
        classify: whether an error is worth another attempt; None leaves that to the core.
        expected_seconds: returns pipe id -> the seconds that it took before.
        redact: masks secrets in error texts.
    """

    on_plan: Callable[[ExecutionPlan, RunInfo | None], object] | None = None
    claim: Callable[[ExecutionPlan, RunInfo], Continuation | None] | None = None
    before_run: Callable[[ExecutionPlan, RunInfo], object] | None = None
    after_run: Callable[[RunInfo, RunReport | None], object] | None = None
    before_pipe: Callable[[PipeMetadata, RunInfo], str | None] | None = None
    pipe_succeeded: Callable[[PipeMetadata, RunInfo, WriteResult], object] | None = None
    after_pipe: Callable[[PipeMetadata, RunInfo, PipeReport], object] | None = None
    start_stream: Callable[[PipeMetadata, RunInfo, Fence], StreamHandle | None] | None = None
    execute: Callable[[PipeMetadata, RunInfo, Mapping[str, Any]], Any] | None = None
    argument: Callable[[str, PipeMetadata, RunInfo], Any] | None = None
    interrupt: Callable[[PipeMetadata, RunInfo], object] | None = None
    classify: Callable[[BaseException, PipeMetadata], bool | None] | None = None
    expected_seconds: Callable[[list[str]], Mapping[str, float]] | None = None
    redact: Callable[[str], str] | None = None

    def masked(self, text: str) -> str:
        """Return a text without secrets."""
        return self.redact(text) if self.redact is not None else text

    def error_text(self, error: BaseException | None) -> str:
        """Return an error's text without secrets."""
        return text_of(error, self.redact)


def hooks_of(
    host: PluginHost,
    expected_seconds: Callable[[list[str]], Mapping[str, float]],
    redact: Callable[[str], str],
    check_pipes: Callable[[Iterable[PipeMetadata]], object],
) -> RunHooks:
    """Return the hooks of an App's features; a hook that no feature implements costs a run nothing.

    Args:
        check_pipes: checks the pipes that features add to a plan as those of the job were checked.
    """

    def call(hook: str, *names: str) -> Callable[..., Any] | None:
        if not host.implements(hook):
            return None
        return lambda *values: host.call(hook, **dict(zip(names, values, strict=True)))

    def on_plan(plan: ExecutionPlan, run: RunInfo | None) -> None:
        host.call("kindling_plan", plan=plan, run=run)
        check_pipes(plan.added_pipes.values())

    def claim(plan: ExecutionPlan, run: RunInfo) -> Continuation | None:
        found: list[Continuation] = host.call("kindling_claim_run", plan=plan, run=run)
        if len(found) > 1:
            raise PluginError(f"Two features say which run this run continues: {found[0].run_id}, {found[1].run_id}.")
        return found[0] if found else None

    beginning = [
        hook
        for name in ("kindling_before_run", "kindling_pin", "kindling_run_begins")
        if (hook := call(name, "plan", "run")) is not None
    ]

    def before_run(plan: ExecutionPlan, run: RunInfo) -> None:
        for hook in beginning:
            hook(plan, run)

    def execute(pipe: PipeMetadata, run: RunInfo, arguments: Mapping[str, Any]) -> Any:
        return host.call_around("kindling_execute_pipe", _execute, pipe=pipe, run=run, arguments=arguments)

    return RunHooks(
        on_plan=on_plan if host.implements("kindling_plan") else None,
        claim=claim if host.implements("kindling_claim_run") else None,
        before_run=before_run if beginning else None,
        after_run=call("kindling_after_run", "run", "report"),
        before_pipe=call("kindling_before_pipe", "pipe", "run"),
        pipe_succeeded=call("kindling_pipe_succeeded", "pipe", "run", "result"),
        after_pipe=call("kindling_after_pipe", "pipe", "run", "report"),
        start_stream=call("kindling_start_stream", "pipe", "run", "fence"),
        execute=execute if host.implements("kindling_execute_pipe") else None,
        argument=call("kindling_pipe_argument", "name", "pipe", "run"),
        interrupt=call("kindling_interrupt_pipe", "pipe", "run"),
        classify=call("kindling_classify_error", "error", "pipe"),
        expected_seconds=expected_seconds if host.implements("kindling_expected_seconds") else None,
        redact=redact,
    )


def _execute(pipe: PipeMetadata, run: RunInfo, arguments: Mapping[str, Any]) -> Any:
    return pipe.execute(**arguments)
