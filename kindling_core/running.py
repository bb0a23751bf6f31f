"""What plans and runs the pipes of an App: its settings and the hooks of its plugins, put together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.run.executer import DataPipesExecuter
from kindling_core.run.hooks import hooks_of
from kindling_core.run.io import HookIO, RunIO
from kindling_core.run.pipe_execution import PipeExecution
from kindling_core.run.policy import policies_of
from kindling_core.run.requests import RunInfo
from kindling_core.sections import ExecutionSection
from kindling_core.signals import SignalProvider

if TYPE_CHECKING:
    from kindling_core.app import App


def executer_of(app: App, signals: SignalProvider | None = None) -> DataPipesExecuter:
    """Return what plans and runs the pipes; without ``signals`` it sends none, which is enough for a plan."""
    settings: ExecutionSection = app.config.section("execution")
    options = settings.options()

    def io(run: RunInfo, plan: ExecutionPlan) -> RunIO:
        policies = policies_of(plan.pipes.values(), options.pipe, options.pools)
        once = {pipe_id for pipe_id, policy in policies.items() if policy.retry.attempts > 1}
        return HookIO(app.host, run, plan, options.cache, once)

    return DataPipesExecuter(
        app.pipes,
        signal_provider=signals,
        max_workers=settings.max_workers,
        options=options,
        hooks=hooks_of(app.host, app.expected_seconds, app.redact, app.check_pipes),
        io=io,
        clock=app.clock,
        describe_entity=app.describe_entity if app.host.implements("kindling_describe_entity") else None,
        known_entities=lambda: [one for ids in app.host.results("kindling_entity_ids") for one in ids],
    )


def execution_of(app: App, run: RunInfo) -> PipeExecution:
    """Return what executes single pipes within a run."""
    hooks = hooks_of(app.host, app.expected_seconds, app.redact, app.check_pipes)
    return PipeExecution(run, HookIO(app.host, run, None, "never", ()), hooks, os.getpid())
