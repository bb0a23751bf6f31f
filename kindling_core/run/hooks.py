"""Where others take part in a run, as plain functions: what an App makes of its hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kindling_core.errors import text_of
from kindling_core.pipes import PipeMetadata
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plugins import PluginHost
from kindling_core.run.fence import Fence
from kindling_core.run.report import PipeReport, RunReport
from kindling_core.run.requests import RunInfo, WriteResult


@dataclass(frozen=True)
class RunHooks:
    """Where others take part in a run; each is left out where there is nobody.

    Attributes:
        on_plan: called with each plan; raises PlanError to refuse it.
        before_run: called before the first signal of a run; raises to refuse the run.
        after_run: called before the last signal of a run; gets None if the run was refused.
        before_pipe: returns a reason to skip a pipe, or None; called on the pipe's thread before each attempt.
        pipe_succeeded: called with what a pipe wrote, before any signal of it; raises to fail the pipe.
        after_pipe: called once a pipe has ended.
        start_stream: starts the query of a streaming pipe and returns once it runs; the fence tells whether the pipe
            was given up meanwhile.
        interrupt: stops what the engine does for a pipe.
        classify: whether an error is worth another attempt; None leaves that to the core.
        expected_seconds: returns pipe id -> the seconds that it took before.
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

    def error_text(self, error: BaseException | None) -> str:
        """Return an error's text without secrets."""
        text = text_of(error)
        return self.redact(text) if self.redact is not None else text


def hooks_of(
    host: PluginHost,
    expected_seconds: Callable[[list[str]], Mapping[str, float]],
    redact: Callable[[str], str],
) -> RunHooks:
    """Return the hooks of an App's features; a hook that no feature implements costs a run nothing."""

    def call(hook: str, *names: str) -> Callable[..., Any] | None:
        if not host.implements(hook):
            return None
        return lambda *values: host.call(hook, **dict(zip(names, values, strict=True)))

    def start_stream(pipe: PipeMetadata, run: RunInfo, fence: Fence) -> int | None:
        result: WriteResult | None = host.call("kindling_start_stream", pipe=pipe, run=run, fence=fence)
        return result.rows if result else None

    return RunHooks(
        on_plan=call("kindling_plan", "plan", "run"),
        before_run=call("kindling_before_run", "plan", "run"),
        after_run=call("kindling_after_run", "run", "report"),
        before_pipe=call("kindling_before_pipe", "pipe", "run"),
        pipe_succeeded=call("kindling_pipe_succeeded", "pipe", "run", "result"),
        after_pipe=call("kindling_after_pipe", "pipe", "run", "report"),
        start_stream=start_stream if host.implements("kindling_start_stream") else None,
        interrupt=call("kindling_interrupt_pipe", "pipe", "run"),
        classify=call("kindling_classify_error", "error", "pipe"),
        expected_seconds=expected_seconds if host.implements("kindling_expected_seconds") else None,
        redact=redact,
    )
