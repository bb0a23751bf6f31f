"""Makes the executer of an App: its settings become options, its hooks become seams."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kindling_core._io import HookIO
from kindling_core._run import RunIO, RunOptions, Seams
from kindling_core.config import ExecutionSection
from kindling_core.fence import Fence
from kindling_core.pipes import PipeMetadata
from kindling_core.plan import ExecutionPlan
from kindling_core.policy import OnFailure, PipePolicy, RetryPolicy, policies_of
from kindling_core.requests import RunInfo, WriteResult
from kindling_core.runner import DataPipesExecuter
from kindling_core.signals import SignalProvider

if TYPE_CHECKING:
    from kindling_core.app import App


def executer_of(app: App, signals: SignalProvider | None = None) -> DataPipesExecuter:
    """Return what plans and runs the pipes of an App.

    Args:
        signals: None sends nothing, which is enough for a plan.
    """
    settings: ExecutionSection = app.config.section("execution")
    options = _options(settings)

    def known_entities() -> list[str]:
        return [entity_id for ids in app.host.results("kindling_entity_ids") for entity_id in ids]

    def io(run: RunInfo, plan: ExecutionPlan) -> RunIO:
        policies = policies_of(plan.pipes.values(), options.pipe, options.pools)
        once = {pipe_id for pipe_id, policy in policies.items() if policy.retry.attempts > 1}
        return HookIO(app.host, run, plan, settings.cache, once)

    return DataPipesExecuter(
        app.pipes,
        signal_provider=signals,
        max_workers=settings.max_workers,
        options=options,
        seams=_seams(app),
        io=io,
        describe_entity=app.describe_entity if app.host.implements("kindling_describe_entity") else None,
        known_entities=known_entities,
    )


def _options(settings: ExecutionSection) -> RunOptions:
    retry = RetryPolicy(**settings.retry.model_dump())
    return RunOptions(
        schedule=settings.schedule,
        on_failure=OnFailure(settings.on_failure),
        timeout_seconds=settings.timeout_seconds,
        grace_seconds=settings.grace_seconds,
        pipe=PipePolicy(retry=retry, timeout_seconds=settings.pipe_timeout_seconds),
        pools=settings.pools,
    )


def _seams(app: App) -> Seams:
    """Make the seams of a run out of the hooks; one that nobody implements costs a run nothing."""
    host = app.host

    def call(hook: str, *names: str) -> Callable[..., Any] | None:
        if not host.implements(hook):
            return None
        return lambda *values: host.call(hook, **dict(zip(names, values, strict=True)))

    def start_stream(pipe: PipeMetadata, run: RunInfo, fence: Fence) -> int | None:
        result: WriteResult | None = host.call("kindling_start_stream", pipe=pipe, run=run, fence=fence)
        return result.rows if result else None

    return Seams(
        on_plan=call("kindling_plan", "plan", "run"),
        before_run=call("kindling_before_run", "plan", "run"),
        after_run=call("kindling_after_run", "run", "report"),
        before_pipe=call("kindling_before_pipe", "pipe", "run"),
        pipe_succeeded=call("kindling_pipe_succeeded", "pipe", "run", "result"),
        after_pipe=call("kindling_after_pipe", "pipe", "run", "report"),
        start_stream=start_stream if host.implements("kindling_start_stream") else None,
        interrupt=call("kindling_interrupt_pipe", "pipe", "run"),
        classify=call("kindling_classify_error", "error", "pipe"),
        expected_seconds=app.expected_seconds if host.implements("kindling_expected_seconds") else None,
        redact=app.redact,
    )
