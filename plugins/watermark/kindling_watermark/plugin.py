"""The feature ``watermark``: pipes that read what is new, each change once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kindling_core import KindlingError, PipeDefinitionError, ReadRequest, RunInfo, WriteRequest, WriteResult, hookimpl
from kindling_core.state import StateStore
from kindling_entities import Entities, EntityDefinition, EntityStore
from kindling_watermark.config import WatermarkConfig
from kindling_watermark.declare.checks import check
from kindling_watermark.declare.options import OPTIONS, Declaration, declared
from kindling_watermark.manager import WatermarkManager

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from kindling_core import App, ExecutionPlan, PipeMetadata, PipeReport, RunReport, SignalEmitter
    from kindling_watermark.run.bounds import Bounds
    from kindling_watermark.run.pipes import RunPipes


class WatermarkPlugin:
    """Keeps the incremental pipes of one App."""

    name = "watermark"
    requires = ("entities", "state")
    optional: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._declarations: dict[str, Declaration] = {}
        self._definitions: dict[str, EntityDefinition] = {}
        self._app: App | None = None
        self._manager: WatermarkManager | None = None
        self._bounds: Bounds | None = None
        self._pipes: RunPipes | None = None

    @hookimpl
    def kindling_config(self) -> Mapping[str, type[BaseModel]]:
        return {"watermark": WatermarkConfig}

    @hookimpl
    def kindling_signals(self) -> Iterable[type[SignalEmitter]]:
        return [WatermarkManager]

    @hookimpl
    def kindling_pipe_options(self) -> Mapping[str, str]:
        return OPTIONS

    @hookimpl(wrapper=True)
    def kindling_mount(
        self, app: App, collection: object, module: ModuleType | None
    ) -> Generator[None, bool | None, bool | None]:
        taken = yield
        if isinstance(collection, Entities):
            # Planning knows less of an entity than its declaration says.
            self._definitions.update({one.entity_id: one for one in collection})
        return taken

    @hookimpl
    def kindling_check_pipe(self, app: App, pipe: PipeMetadata) -> None:
        self._app = app
        declaration = declared(pipe)
        if declaration is not None:
            check(pipe, declaration, app.describe_entity, self._definitions)
            self._declarations[pipe.pipe_id] = declaration

    @hookimpl
    def kindling_check_without(self, app: App, pipe: PipeMetadata) -> None:
        info = app.describe_entity(pipe.output_entity_id) if pipe.output_entity_id is not None else None
        if "incremental" in pipe.options and info is not None and info.write_mode == "append":
            raise PipeDefinitionError(
                f"Pipe {pipe.pipe_id!r} ({pipe.location}) is incremental and appends to {info.entity_id!r}: without "
                f"the feature 'watermark' each run would append everything again. Add 'watermark' to its features."
            )

    @hookimpl
    def kindling_services(self, app: App) -> Mapping[type, Callable[[], Any]]:
        return {WatermarkManager: lambda: self.manager(app)}

    def manager(self, app: App) -> WatermarkManager:
        """The watermarks of an App; needs no start."""
        if self._manager is None:
            self._manager = WatermarkManager(app.service(StateStore), app.signals)  # type: ignore[type-abstract]
        return self._manager

    @hookimpl
    def kindling_start(self, app: App) -> None:
        from kindling_watermark.run.bounds import Bounds
        from kindling_watermark.run.pipes import RunPipes
        from kindling_watermark.run.work import Works

        store = app.service(EntityStore)

        def again(pipe: PipeMetadata, run: RunInfo, request: WriteRequest) -> WriteResult:
            return app.run_pipe(pipe, run, fence=request.fence)

        def read(pipe: PipeMetadata, run: RunInfo, source: str) -> Any:
            return app.host.call("kindling_read", request=ReadRequest(source, pipe, run))

        self._bounds = Bounds(store)
        catch_up = app.config.section("watermark").catch_up
        self._pipes = RunPipes(store, self.manager(app), self._bounds, again, read, catch_up)
        app.provide(Works, self._pipes.works)
        app.provide(RunPipes, self._pipes)

    @hookimpl
    def kindling_run_options(self) -> Iterable[click.Option]:
        import click

        told = (
            "Compute the outputs of these incremental pipes anew, from their whole inputs; separate several by commas."
        )
        return [click.Option(["--full-refresh"], metavar="SELECTION", help=told)]

    @hookimpl
    def kindling_commands(self) -> Iterable[click.Command]:
        from kindling_watermark.commands.backfill import backfill
        from kindling_watermark.commands.lag import lag
        from kindling_watermark.commands.watermarks import watermarks

        return [watermarks, lag, backfill]

    @hookimpl
    def kindling_plan(self, plan: ExecutionPlan, run: RunInfo | None) -> None:
        if run is not None:
            self._refreshed(run)
        elif self._app is not None and any(pipe_id in self._declarations for pipe_id in plan.pipes):
            from kindling_watermark.explain import incremental, lines

            try:
                # The tables are asked, so the features have to run.
                self._app.start()
            except KindlingError as error:
                plan.notes.append(f"What incremental pipes would read cannot be told: {error}")
                return
            pipes = list(plan.pipes.values())
            written = {pipe.output_entity_id for pipe in pipes if pipe.output_entity_id is not None}
            quiet = WatermarkManager(self._app.service(StateStore))  # type: ignore[type-abstract]
            store = self._app.service(EntityStore)
            plan.notes += lines(store, quiet, incremental(pipes, self._declarations), written)

    def _refreshed(self, run: RunInfo) -> list[str]:
        """The pipes whose outputs a run computes anew.

        Raises:
            SelectionError: there is no such pipe.
        """
        given = run.options.get("full_refresh")
        if not given or self._app is None:
            return []
        return self._app.select(given.replace(",", " ").split() if isinstance(given, str) else list(given))  # type: ignore[call-overload]

    @hookimpl
    def kindling_writes_once(self, pipe: PipeMetadata) -> bool | None:
        return True if pipe.pipe_id in self._declarations else None

    @hookimpl
    def kindling_pin(self, plan: ExecutionPlan, run: RunInfo) -> None:
        if self._bounds is not None and self._pipes is not None:
            self._bounds.begin(run, plan.pinned_versions)
            readers = [pipe_id for pipe_id in plan.pipes if pipe_id in self._declarations]
            self._pipes.expect(run, readers, frozenset(self._refreshed(run)))

    @hookimpl
    def kindling_after_run(self, run: RunInfo, report: RunReport | None) -> None:
        if self._bounds is not None and self._pipes is not None:
            self._bounds.end(run)
            self._pipes.end(run)

    @hookimpl
    def kindling_before_pipe(self, pipe: PipeMetadata, run: RunInfo) -> str | None:
        declaration = self._declarations.get(pipe.pipe_id)
        if declaration is None or self._pipes is None:
            return None
        return self._pipes.begin(pipe, run, declaration)

    @hookimpl
    def kindling_after_pipe(self, pipe: PipeMetadata, run: RunInfo, report: PipeReport) -> None:
        if self._pipes is not None:
            self._pipes.ended(pipe, run)

    @hookimpl
    def kindling_interrupt_pipe(self, pipe: PipeMetadata, run: RunInfo) -> None:
        if self._pipes is not None and pipe.pipe_id in self._declarations:
            self._pipes.interrupt(pipe, run)

    @hookimpl(wrapper=True)
    def kindling_read(self, request: ReadRequest) -> Generator[None, Any, Any]:
        from kindling_watermark.run.reading import made_of, narrow

        work = self._pipes.works.get(request.run, request.pipe) if self._pipes is not None else None
        if work is None or request.entity_id not in work.intent.ranges:
            return (yield)
        narrow(work, request)
        frame = yield
        assert self._pipes is not None
        return made_of(self._pipes.store, work, request, frame)

    @hookimpl(wrapper=True)
    def kindling_execute_pipe(
        self, pipe: PipeMetadata, run: RunInfo, arguments: Mapping[str, Any]
    ) -> Generator[None, Any, Any]:
        from kindling_watermark.run.reading import old_value

        value = yield
        work = self._pipes.works.get(run, pipe) if self._pipes is not None else None
        if work is not None and work.increment and work.old:
            work.old_value = old_value(pipe, work, arguments)
        return value

    @hookimpl(wrapper=True)
    def kindling_write(self, request: WriteRequest) -> Generator[None, WriteResult | None, WriteResult | None]:
        work = self._pipes.works.get(request.run, request.pipe) if self._pipes is not None else None
        if work is None or self._pipes is None:
            return (yield)
        self._pipes.write(work, request)
        result = yield
        return None if result is None else self._pipes.written(work, request, result)
