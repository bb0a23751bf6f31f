"""The feature ``entities``: named tables for the pipes of a job. Imports no engine before the first use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kindling_core.hooks import hookimpl
from kindling_core.plan.entity_info import EntityInfo
from kindling_core.run.requests import ReadRequest, RunInfo, WriteRequest, WriteResult
from kindling_entities import hooks
from kindling_entities.compose import Declarations, catalog_of, engine_of, storage_of
from kindling_entities.config import EntitiesConfig
from kindling_entities.declare.checks import check_declaration
from kindling_entities.declare.dependencies import declared, with_files
from kindling_entities.declare.entity import Entities
from kindling_entities.engines import built_in as engines
from kindling_entities.errors import passes
from kindling_entities.manager import DataEntityManager
from kindling_entities.protocols import EntityProvider
from kindling_entities.providers import built_in as providers
from kindling_entities.read.views import OPTION, Views, refuse_stored
from kindling_entities.run.reads import RunReads
from kindling_entities.run.writes import RunWrites
from kindling_entities.store import EntityStore

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from kindling_core.app import App
    from kindling_core.doctor import Check
    from kindling_core.pipes import PipeMetadata
    from kindling_core.plan.execution_plan import ExecutionPlan
    from kindling_core.run.report import PipeReport, RunReport
    from kindling_core.signals import SignalEmitter
    from kindling_entities.kinds import EngineKind, StorageKind


class EntitiesPlugin:
    """Keeps the definitions, the store and the engine of an App."""

    requires: list[str] = []
    optional: list[str] = []
    hookspecs = hooks

    def __init__(self) -> None:
        self._manager = DataEntityManager()
        self._views = Views()
        self._declarations = Declarations(self._manager, self._views)
        self._store: EntityStore | None = None
        self._reads: RunReads | None = None
        self._writes: RunWrites | None = None

    @hookimpl
    def kindling_config(self) -> Mapping[str, type[BaseModel]]:
        return {"entities": EntitiesConfig}

    @hookimpl
    def kindling_signals(self) -> Iterable[type[SignalEmitter]]:
        return [DataEntityManager]

    @hookimpl
    def kindling_entity_providers(self) -> Iterable[StorageKind]:
        return providers.built_in().values()

    @hookimpl
    def kindling_engines(self) -> Iterable[EngineKind]:
        return engines.built_in()

    @hookimpl
    def kindling_mount(self, app: App, collection: object, module: ModuleType | None) -> bool | None:
        if not isinstance(collection, Entities):
            return None
        engine_of(app)
        self._manager.kinds = storage_of(app)
        for definition in collection:
            check_declaration(definition, self._manager.kinds)
        self._manager.mount(collection)
        self._declarations.check_places(app, app.config.section("entities").catalog is not None)
        return True

    @hookimpl
    def kindling_pipe_options(self) -> Mapping[str, str]:
        return {OPTION: "'table' stores what the pipe returns; 'view' computes it whenever it is read"}

    @hookimpl
    def kindling_check_pipe(self, app: App, pipe: PipeMetadata) -> None:
        output = pipe.output_entity_id
        if self._views.take(pipe) and output is not None and output in self._manager:
            refuse_stored(pipe, self._manager.get_entity_definition(output))

    @hookimpl
    def kindling_entity_ids(self) -> Iterable[str]:
        return self._manager.get_entity_ids()

    @hookimpl
    def kindling_describe_entity(self, entity_id: str) -> EntityInfo | None:
        if entity_id not in self._manager:
            return None
        entity = self._manager.get_entity_definition(entity_id)
        kind, view = self._manager.kinds[entity.provider], entity_id in self._views
        owner = self._manager.quarantined_from(entity_id)
        filled = owner is not None and self._manager.get_entity_definition(owner).read_only
        return EntityInfo(
            entity_id,
            entity.write_mode,
            entity.read_only,
            entity.description,
            dict(entity.tags),
            references=[expectation.references for expectation in entity.expectations if expectation.references],
            written_with=None if filled else owner,
            filled_by_reading=owner if filled else None,
            versioned=kind.versioned and not view,
            keys=entity.keys,
            scd=entity.scd,
            records_changes=not view and kind.records_changes is not None and kind.records_changes(entity),
            transactional=kind.transactional and not view,
            storage="view" if view else kind.name,
            read_once=kind.reads_eagerly or view,
        )

    @hookimpl
    def kindling_depends_on(self, entity_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        mine = {name: self._manager.get_entity_definition(name) for name in entity_ids if name in self._manager}
        found = {name: declared(entity) for name, entity in mine.items()}
        if self._store is not None:
            # A resumed run reads tables at their pinned versions; files may have been replaced since.
            kinds = {name: self._store.kind(name) for name, entity in mine.items() if entity.read_only}
            files = [name for name, kind in kinds.items() if kind.in_files and not kind.versioned]
            for name, version in self._store.get_entity_versions(files).items():
                found[name] = with_files(found[name], version)
        return found

    @hookimpl
    def kindling_newest_transaction(self, entity_id: str, ending: str) -> str | None:
        if self._store is None or entity_id not in self._manager or entity_id in self._views:
            return None
        return self._store.newest_transaction(entity_id, ending)

    @hookimpl
    def kindling_start(self, app: App) -> None:
        self._manager.set_signal_provider(app.signals)
        self._manager.kinds = storage_of(app)
        settings = app.config.section("entities")
        engine = engine_of(app).make(app)
        catalog = catalog_of(app, engine, self._declarations.of_kinds(lambda kind: kind.catalogs))
        self._store = EntityStore(self._manager, engine, settings.root, app.base_dir, catalog, self._views)
        self._reads = RunReads(self._store)
        self._writes = RunWrites(self._store, self._reads, app.redact, settings.warn_of_overflow)
        self._declarations.check_places(app, catalog is not None)
        app.provide(DataEntityManager, self._manager)
        app.provide(EntityStore, self._store)
        app.provide(EntityProvider, self._store)  # type: ignore[type-abstract]

    @hookimpl
    def kindling_stop(self, app: App) -> None:
        if self._store is not None:
            self._store.engine.stop()

    @hookimpl
    def kindling_pin(self, plan: ExecutionPlan, run: RunInfo) -> None:
        if self._reads is not None:
            self._reads.pin(plan, run)

    @hookimpl
    def kindling_before_pipe(self, pipe: PipeMetadata, run: RunInfo) -> str | None:
        if self._store is not None and self._reads is not None:
            self._reads.pipe_starts(run, pipe)
            self._store.engine.activate()
            self._store.engine.label(_label(pipe, run))
        return None

    @hookimpl
    def kindling_after_pipe(self, pipe: PipeMetadata, run: RunInfo, report: PipeReport) -> None:
        if self._reads is None or self._store is None:
            return
        self._reads.pipe_ended(run, pipe)
        # A view is computed by the pipes that read it, and a query goes on when the pipe that started it has ended.
        if pipe.output_entity_id not in self._views and pipe.mode != "streaming":
            self._store.engine.release_changes(_label(pipe, run))

    @hookimpl
    def kindling_after_run(self, run: RunInfo, report: RunReport | None) -> None:
        if self._store is None or self._reads is None:
            return
        self._reads.run_ended(run)
        self._views.returned.forget(run)
        self._store.engine.release(_label_of(run))

    @hookimpl
    def kindling_interrupt_pipe(self, pipe: PipeMetadata, run: RunInfo) -> None:
        if self._store is not None and self._reads is not None:
            # First: asking an engine that hangs may hang, too.
            self._reads.interrupt(run, pipe)
            self._store.engine.interrupt(_label(pipe, run))

    @hookimpl
    def kindling_classify_error(self, error: BaseException, pipe: PipeMetadata) -> bool | None:
        return passes(error)

    @hookimpl
    def kindling_read(self, request: ReadRequest) -> Any | None:
        if self._reads is None or request.entity_id not in self._manager:
            return None
        return self._reads.read(request)

    @hookimpl
    def kindling_write(self, request: WriteRequest) -> WriteResult | None:
        if self._writes is None or request.entity_id not in self._manager:
            return None
        return self._writes.write(request)

    @hookimpl
    def kindling_commands(self) -> Iterable[click.Command]:
        from kindling_entities.commands.columns import columns
        from kindling_entities.commands.entities import entities
        from kindling_entities.commands.maintain import maintain
        from kindling_entities.commands.migrate import migrate
        from kindling_entities.commands.quarantine import quarantine
        from kindling_entities.commands.show import show
        from kindling_entities.commands.verify import verify

        return [entities, show, columns, quarantine, migrate, maintain, verify]

    @hookimpl
    def kindling_checks(self, app: App | None) -> Iterable[Check]:
        from kindling_entities.doctor import check

        return check(app, self._engine_to_check(app), self._manager, self._views)

    def _engine_to_check(self, app: App | None) -> EngineKind:
        if app is not None:
            return engine_of(app)
        # No job composes: what a job would need that names no engine.
        mine = {kind.name: kind for kind in engines.built_in()}
        return mine[EntitiesConfig.model_fields["engine"].default]


def _label(pipe: PipeMetadata, run: RunInfo) -> str:
    # Spark takes no commas in what it calls a tag.
    return _label_of(run) + pipe.pipe_id.replace(",", "_")


def _label_of(run: RunInfo) -> str:
    return f"kindling:{run.run_id}:"
