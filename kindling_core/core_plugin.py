"""The core's own plugin: what the core contributes to a job comes through the hooks that every plugin has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kindling_core.hooks import hookimpl

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from kindling_core.app import App
    from kindling_core.doctor import Check
    from kindling_core.pipes import PipeMetadata
    from kindling_core.signals import SignalEmitter


class CorePlugin:
    """Registered first by every ``PluginHost``. What it offers is imported by the hook that is asked for it."""

    @hookimpl
    def kindling_config(self) -> Mapping[str, type[BaseModel]]:
        from kindling_core.sections import ExecutionSection, JobSection, SignalsSection

        return {"job": JobSection, "signals": SignalsSection, "execution": ExecutionSection}

    @hookimpl
    def kindling_signals(self) -> Iterable[type[SignalEmitter]]:
        from kindling_core.plan import strategies
        from kindling_core.run.executer import DataPipesExecuter
        from kindling_core.run.generation_executor import GenerationExecutor

        return [
            DataPipesExecuter,
            GenerationExecutor,
            strategies.BatchExecutionStrategy,
            strategies.StreamingExecutionStrategy,
            strategies.HybridExecutionStrategy,
        ]

    @hookimpl
    def kindling_pipe_options(self) -> Mapping[str, str]:
        from kindling_core.run.policy import OPTIONS

        return OPTIONS

    @hookimpl(tryfirst=True)
    def kindling_mount(self, app: App, collection: object) -> bool | None:
        from kindling_core.pipes import Pipes

        if not isinstance(collection, Pipes):
            return None
        app.pipes.mount(collection)
        return True

    @hookimpl
    def kindling_check_pipe(self, app: App, pipe: PipeMetadata) -> None:
        from kindling_core.run.policy import PipePolicy, policies_of

        policies_of([pipe], PipePolicy(), app.config.section("execution").pools)

    @hookimpl
    def kindling_commands(self) -> Iterable[click.Command]:
        from kindling_core.cli.config import config
        from kindling_core.cli.doctor import doctor
        from kindling_core.cli.graph import graph
        from kindling_core.cli.init import init
        from kindling_core.cli.plan import plan
        from kindling_core.cli.plugins import plugins
        from kindling_core.cli.run import run
        from kindling_core.cli.signals import signals

        return [init, run, plan, graph, signals, plugins, config, doctor]

    @hookimpl
    def kindling_checks(self, app: App | None) -> Iterable[Check]:
        from kindling_core.doctor import check

        return check(app)
