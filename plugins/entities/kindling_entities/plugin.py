"""The feature ``entities``: named tables for the pipes of a job. Imports no engine before the first use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from kindling_core.errors import ConfigError, did_you_mean
from kindling_core.hooks import hookimpl
from kindling_core.pipes import split_version
from kindling_core.plan.entity_info import EntityInfo
from kindling_core.run.requests import ReadRequest, RunInfo, WriteRequest, WriteResult
from kindling_entities import hooks
from kindling_entities.config import EntitiesConfig
from kindling_entities.declare.catalog import Catalog
from kindling_entities.declare.dependencies import declared, with_files
from kindling_entities.declare.entity import Entities
from kindling_entities.declare.places import Locations, root_of
from kindling_entities.errors import passes
from kindling_entities.manager import DataEntityManager
from kindling_entities.protocols import Commit, CommitOptions, EntityProvider, Transaction
from kindling_entities.providers import check_declaration, reads_eagerly
from kindling_entities.read.per_run import PerRun
from kindling_entities.read.shared_reads import ReadCache
from kindling_entities.read.views import OPTION, Views, refuse_stored
from kindling_entities.store import EntityStore
from kindling_entities.write.notes import told, with_sources

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from kindling_core.app import App
    from kindling_core.doctor import Check
    from kindling_core.pipes import PipeMetadata
    from kindling_core.plan.execution_plan import ExecutionPlan
    from kindling_core.run.report import PipeReport, RunReport
    from kindling_core.signals import SignalEmitter
    from kindling_entities.declare.expectations import ExpectationResult
    from kindling_entities.protocols import Engine, StorageProvider


_log = logging.getLogger("kindling.entities")

Keep: TypeAlias = "Callable[[Any], AbstractContextManager[Any]]"


class EntitiesPlugin:
    """Keeps the definitions, the store and the engine of one App."""

    requires: list[str] = []
    optional: list[str] = []
    hookspecs = hooks

    def __init__(self) -> None:
        self._manager = DataEntityManager()
        self._views = Views()
        self._locations = Locations()
        self._pinned: PerRun[Mapping[str, int]] = PerRun()
        self._written: PerRun[int] = PerRun()
        self._streams: PerRun[bool] = PerRun()
        self._dirt: PerRun[dict[str, list[ExpectationResult]]] = PerRun()
        self._cache = ReadCache(self._views)
        self._contributed: dict[str, Callable[[Engine], StorageProvider]] = {}
        self._warns = True
        self._store: EntityStore | None = None

    @hookimpl
    def kindling_config(self) -> Mapping[str, type[BaseModel]]:
        return {"entities": EntitiesConfig}

    @hookimpl
    def kindling_signals(self) -> Iterable[type[SignalEmitter]]:
        return [DataEntityManager]

    @hookimpl
    def kindling_mount(self, app: App, collection: object, module: ModuleType | None) -> bool | None:
        if not isinstance(collection, Entities):
            return None
        _engine_factory(app)
        self._contributed = _providers(app)
        for definition in collection:
            check_declaration(definition, self._contributed)
        self._manager.mount(collection)
        self._check_places(app, app.config.section("entities").catalog is not None)
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
        owner = self._manager.quarantined_from(entity_id)
        delta = entity.provider == "delta" and entity_id not in self._views
        filled = owner is not None and self._manager.get_entity_definition(owner).read_only
        return EntityInfo(
            entity_id,
            entity.write_mode,
            entity.read_only,
            entity.description,
            dict(entity.tags),
            references=[one.references for one in entity.expectations if one.references],
            written_with=None if filled else owner,
            filled_by_reading=owner if filled else None,
            versioned=delta,
            keys=entity.keys,
            scd=entity.scd,
            records_changes=delta and entity.properties.get("delta.enableChangeDataFeed") == "true",
            transactional=delta or (entity.provider == "memory" and entity_id not in self._views),
            storage="view" if entity_id in self._views else entity.provider,
            read_once=entity_id in self._views or reads_eagerly(entity.provider, self._contributed),
        )

    @hookimpl
    def kindling_depends_on(self, entity_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        mine = {name: self._manager.get_entity_definition(name) for name in entity_ids if name in self._manager}
        found = {name: declared(entity) for name, entity in mine.items()}
        if self._store is not None:
            # Tables are read by their versions; of files nobody keeps those that were read.
            files = [name for name, entity in mine.items() if entity.read_only and self._store.has_files(name)]
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
        self._contributed = _providers(app)
        settings = app.config.section("entities")
        self._warns = settings.warn_of_overflow
        engine = _engine_factory(app)(app)
        catalog = _catalog(app, engine, self._manager)
        self._store = EntityStore(
            self._manager, engine, settings.root, app.base_dir, self._contributed, catalog, self._views
        )
        self._check_places(app, catalog is not None)
        app.provide(DataEntityManager, self._manager)
        app.provide(EntityStore, self._store)
        app.provide(EntityProvider, self._store)  # type: ignore[type-abstract]

    def _check_places(self, app: App, in_catalog: bool) -> None:
        """Refuse entities that share files. Where a third party's storage keeps its rows is its own affair."""
        settings = app.config.section("entities")
        root = root_of(settings.root, app.base_dir)
        kinds = {"delta", "parquet", "csv", "json"} - set(self._contributed)
        found = map(self._manager.get_entity_definition, self._manager.get_entity_ids())
        with_files = [
            entity
            for entity in found
            if entity.provider in kinds
            and entity.entity_id not in self._views
            and not (in_catalog and entity.path is None and entity.provider == "delta")
        ]
        self._locations.check(with_files, root, app.base_dir)

    @hookimpl
    def kindling_pin(self, plan: ExecutionPlan, run: RunInfo) -> None:
        """Fix the versions of what the run reads and does not write, so that all its pipes see the same rows."""
        if self._store is None:
            return
        self._cache.begin(plan, run)
        self._streams.keep(run, "", any(pipe.mode == "streaming" for pipe in plan.pipes.values()))
        # Looked into at each read: others may add to it until all have pinned.
        self._pinned.keep(run, "", plan.pinned_versions)
        made = {pipe.output_entity_id for pipe in plan.pipes.values() if pipe.output_entity_id is not None}
        read = {split_version(name) for pipe in plan.pipes.values() for name in pipe.input_entity_ids}
        filled = self._quarantines_filled(made, {name for name, _ in read})
        pinned = [
            name
            for name, version in sorted(read, key=str)
            if version is None
            and name in self._manager
            and name not in plan.pinned_versions
            and name not in made
            and name not in filled
            and self._store.is_delta(name)
        ]
        for name, newest in self._store.get_entity_versions(pinned).items():
            # One that cannot be told is left to its reader, whose error has the pipe to it.
            if isinstance(newest, int):
                plan.pinned_versions[name] = newest

    def _quarantines_filled(self, made: Collection[str | None], read: Collection[str]) -> set[str]:
        """Return the quarantines that a run adds rows to."""
        entities = list(map(self._manager.get_entity_definition, self._manager.get_entity_ids()))
        referred = {one.references for entity in entities if entity.entity_id in made for one in entity.expectations}
        filling = {
            entity.entity_id: entity.entity_id in made
            or (entity.read_only and (entity.entity_id in read or entity.entity_id in referred))
            for entity in entities
        }
        return {name for name in filling if filling.get(self._manager.quarantined_from(name) or "", False)}

    @hookimpl
    def kindling_stop(self, app: App) -> None:
        if self._store is not None:
            self._store.engine.stop()

    @hookimpl
    def kindling_before_pipe(self, pipe: PipeMetadata, run: RunInfo) -> str | None:
        if self._store is not None:
            self._store.engine.activate()
            label = getattr(self._store.engine, "label", None)
            if label is not None:
                label(_label(pipe, run))
        return None

    @hookimpl
    def kindling_after_pipe(self, pipe: PipeMetadata, run: RunInfo, report: PipeReport) -> None:
        self._cache.ended(run, pipe)
        release = getattr(self._store.engine, "release_changes", None) if self._store is not None else None
        # A view is computed by the pipes that read it, and a query goes on when the pipe that started it has ended.
        goes_on = pipe.output_entity_id in self._views or pipe.mode == "streaming"
        if release is not None and not goes_on:
            release(_label(pipe, run))

    @hookimpl
    def kindling_after_run(self, run: RunInfo, report: RunReport | None) -> None:
        self._cache.close(run)
        release = getattr(self._store.engine, "release", None) if self._store is not None else None
        # The queries of streaming pipes read on when the run that started them has ended.
        if release is not None and not self._streams.get(run, ""):
            release(_label_of(run))

    @hookimpl
    def kindling_interrupt_pipe(self, pipe: PipeMetadata, run: RunInfo) -> None:
        interrupt = getattr(self._store.engine, "interrupt", None) if self._store is not None else None
        if interrupt is not None:
            interrupt(_label(pipe, run))

    @hookimpl
    def kindling_classify_error(self, error: BaseException, pipe: PipeMetadata) -> bool | None:
        return passes(error)

    @hookimpl
    def kindling_read(self, request: ReadRequest) -> Any | None:
        if self._store is None or request.entity_id not in self._manager:
            return None
        if request.version is None:
            request.version = (self._pinned.get(request.run, "") or {}).get(request.entity_id)
        if request.version is None:
            self._read_source_of(request)
        if request.entity_id in self._views and request.version is None and request.start_version is None:
            frame = self._views.returned.get(request.run, request.entity_id)
            if frame is not None:
                made = frame if request.columns is None else frame.select(*request.columns)
                return self._read_once(request, "a view, as its pipe returned it", lambda: made, self._held(request))
        return self._read_once(request, *self._read_how(request))

    def _read_source_of(self, request: ReadRequest) -> None:
        """Before the quarantine of a source read the source, if the pipe reads both and names it later."""
        source, pipe = self._manager.quarantined_from(request.entity_id), request.pipe
        if source is None or source not in pipe.input_entity_ids:
            return
        was_read = source in (self._dirt.get(request.run, pipe.pipe_id) or {})
        if not was_read and self._manager.get_entity_definition(source).read_only:
            self._read_how(ReadRequest(source, pipe, request.run))[1]()

    def _read_how(self, request: ReadRequest) -> tuple[object, Callable[[], Any], Keep | None]:
        """Return what tells a read from others of its entity, the read itself, and how its frame is kept."""
        store, version = self._store, request.version
        assert store is not None
        if version is None and request.start_version is None and request.cache is not None:
            version = self._written.get(request.run, request.entity_id)
        # Only Delta tables are asked for by version: other storage has its newest rows and no others.
        pinned = version if store.is_delta(request.entity_id) else request.version

        def read() -> Any:
            if request.appends and request.start_version is not None:
                first, last = request.start_version, version
                return store.read_appends(request.entity_id, first, last, columns=request.columns)
            found: list[ExpectationResult] = []
            frame = store.read_entity(
                request.entity_id,
                version=pinned,
                start_version=request.start_version,
                columns=request.columns,
                told=found,
            )
            if found:
                before = self._dirt.get(request.run, request.pipe.pipe_id) or {}
                self._dirt.keep(request.run, request.pipe.pipe_id, {**before, request.entity_id: found})
            return frame

        entity = self._manager.get_entity_definition(request.entity_id)
        if request.entity_id not in self._views and reads_eagerly(entity.provider, self._contributed):
            return ("as it was read first" if version is None else version), read, nullcontext
        return version, read, self._held(request) if request.cache_always else None

    def _held(self, request: ReadRequest) -> Keep:
        assert self._store is not None
        engine, level = self._store.engine, request.cache
        return lambda frame: engine.held(frame, level=level)

    def _read_once(self, request: ReadRequest, version: object, read: Callable[[], Any], keep: Keep | None) -> Any:
        """Read, or take what another pipe of the run has read, where that pays and is the same.

        A stored table is read again rather than kept: the engines read of it the columns and row groups that a pipe
        needs, and of a kept frame everything. What is computed or parsed pays to be kept.

        Args:
            keep: keeps a frame until it is released; None where that does not pay.
        """
        # What is staged for appends goes with the pipe that reads them, so no other pipe is given their frame.
        wanted = keep is not None and request.cache is not None and version is not None and not request.appends
        if keep is None or not wanted or not self._cache.shared(request.run, request.entity_id):
            return read()
        columns = None if request.columns is None else tuple(request.columns)
        return self._cache.read(request.run, request.entity_id, (version, request.start_version, columns), read, keep)

    @hookimpl
    def kindling_write(self, request: WriteRequest) -> WriteResult | None:
        if self._store is None or request.entity_id not in self._manager:
            return None
        self._warn_of_overflow(request)
        if request.entity_id in self._views:
            frame = self._store.engine.to_frame(request.value)
            # Resolves the columns now, so that a slip fails the view's own pipe and not the first that reads it.
            frame.columns  # noqa: B018
            self._views.returned.keep(request.run, request.entity_id, frame)
            return WriteResult(0, None, "a view, nothing stored", durable=False)
        transaction = Transaction(*request.transaction) if request.transaction else None
        options = CommitOptions(
            dict(request.commit_metadata),
            tuple(Transaction(*one) for one in request.transactions),
            request.skip_empty,
        )
        from kindling_entities.write.fenced_rows import guarded

        with guarded(request.value, request.fence) as value:
            commit = self._store.write(request.entity_id, value, request.mode, transaction, options)
        # Of a write that had happened before, the newest version may be somebody else's.
        version = None if commit.skipped else commit.version
        if version is not None:
            self._written.keep(request.run, request.entity_id, version)
        entity = self._manager.get_entity_definition(request.entity_id)
        note, details = told(commit, request.mode or entity.write_mode)
        note, details = with_sources(note, details, self._dirt.get(request.run, request.pipe.pipe_id) or {})
        return WriteResult(_rows(commit), version, note, details, entity.provider != "memory")

    def _warn_of_overflow(self, request: WriteRequest) -> None:
        find = getattr(self._store.engine, "overflows", None) if self._store is not None else None
        if find is None or not self._warns:
            return
        try:
            found = find(request.value)
        except Exception:  # noqa: BLE001 - a plan that cannot be looked through is no fault of the pipe's
            _log.debug("The plan of pipe %r was not searched for overflow.", request.pipe.pipe_id, exc_info=True)
            return
        for one in found:
            _log.warning(
                "Pipe %r: %s in %s (%s) is not checked for overflow: integers wrap where Spark fails. Use functions of "
                "the frame or selectExpr, which are checked, or set entities.warn_of_overflow = false.",
                request.pipe.pipe_id,
                one.operator,
                one.where,
                one.place,
            )

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

        return check(app, self._manager, self._views)


def _providers(app: App) -> dict[str, Callable[[Engine], StorageProvider]]:
    factories: dict[str, Callable[[Engine], StorageProvider]] = {}
    for contributed in app.host.results("kindling_entity_providers"):
        factories.update(contributed)
    return factories


def _catalog(app: App, engine: Engine, manager: DataEntityManager) -> Catalog | None:
    settings = app.config.section("entities")
    if settings.catalog is None:
        return None
    if not getattr(engine, "catalogs", False):
        if settings.engine == "auto":
            return None
        raise ConfigError(
            f"entities.catalog: the engine {engine.name!r} knows no catalogs. Leave it out, or use engine = 'spark'."
        )
    catalog = Catalog(settings.catalog, settings.schemas)
    catalog.check(map(manager.get_entity_definition, manager.get_entity_ids()))
    return catalog


def _engine_factory(app: App) -> Callable[[App], Engine]:
    factories: dict[str, Callable[[App], Engine]] = {"embedded": _embedded, "spark": _spark, "auto": _auto}
    for contributed in app.host.results("kindling_engines"):
        factories.update(contributed)
    name = app.config.section("entities").engine
    if name not in factories:
        raise ConfigError(
            f"entities.engine: unknown engine {name!r}.{did_you_mean(name, factories)} "
            f"Known: {', '.join(sorted(factories))}."
        )
    return factories[name]


def _embedded(app: App) -> Engine:
    try:
        from kindling_entities.engines.embedded import EmbeddedEngine
    except ImportError as error:
        raise ConfigError(
            f"The embedded engine lacks the module {error.name!r}. Run: pip install 'kindling-entities[embedded]'"
        ) from error
    return EmbeddedEngine()


def _spark(app: App) -> Engine:
    try:
        from kindling_entities.engines.spark import SparkEngine
    except ImportError as error:
        raise ConfigError(
            f"The spark engine lacks the module {error.name!r}. Run: pip install 'kindling-entities[spark]'"
        ) from error
    settings = app.config.section("entities").spark
    return SparkEngine(settings.master, settings.remote, settings.conf, app.name)


def _auto(app: App) -> Engine:
    from kindling_entities.engines.spark._session import running_session

    return _embedded(app) if running_session() is None else _spark(app)


def _label(pipe: PipeMetadata, run: RunInfo) -> str:
    # Spark takes no commas in what it calls a tag.
    return _label_of(run) + pipe.pipe_id.replace(",", "_")


def _label_of(run: RunInfo) -> str:
    return f"kindling:{run.run_id}:"


def _rows(commit: Commit) -> int | None:
    if commit.skipped:
        return 0
    merged = (commit.rows_inserted, commit.rows_updated, commit.rows_deleted)
    if commit.rows_written is None and any(count is not None for count in merged):
        return sum(count or 0 for count in merged)
    return commit.rows_written
