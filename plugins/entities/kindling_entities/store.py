"""Reads and writes entities by id, and tells what happened to them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling_core.errors import safe_str, text_of
from kindling_entities.declare.checks import unknown_provider
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX, ExpectationResult
from kindling_entities.declare.places import root_of
from kindling_entities.declare.reserved import QUARANTINE_KEY
from kindling_entities.errors import (
    DataError,
    EntityNotFoundError,
    ExpectationError,
    MergeKeyError,
    SchemaError,
    UnsupportedError,
)
from kindling_entities.manager import DataEntityManager
from kindling_entities.protocols import (
    DEFAULT_COMMIT,
    Commit,
    CommitInfo,
    CommitOptions,
    Engine,
    StorageProvider,
    TableInfo,
    Transaction,
)
from kindling_entities.providers.built_in import view_kind
from kindling_entities.read.views import Views
from kindling_entities.storage import DirtyStorage, GrowingStorage, LoggedStorage, TransactionalStorage, UntypedStorage
from kindling_entities.tables import Tables
from kindling_entities.write.options import has_no_rows, no_such_thing, put, refuse_options, written_before

if TYPE_CHECKING:
    import pyarrow as pa

    from kindling_entities.declare.catalog import Catalog
    from kindling_entities.formats import Dirt
    from kindling_entities.kinds import StorageKind

# The operation as the names of its signals have it.
_OPERATIONS = {"overwrite": "write", "append": "append", "merge": "merge"}


class EntityStore:
    """The ``EntityProvider`` of one App: definition -> storage provider, with every ``entity.*`` signal.

    Args:
        manager: the definitions and the kinds of storage; sends the signals.
        engine: made by the App; started on first use.
        root: folder of the tables.
        base_dir: what a relative ``path`` of a declaration starts from.
        catalog: names the tables of the kinds that a catalog can name, in place of the root.
        views: entities that are computed when they are read.

    Attributes:
        tables: describes, maintains and changes what is stored.
    """

    def __init__(
        self,
        manager: DataEntityManager,
        engine: Engine,
        root: str | Path,
        base_dir: str | Path = ".",
        catalog: Catalog | None = None,
        views: Views | None = None,
    ) -> None:
        self.manager = manager
        self.engine = engine
        self.base_dir = Path(base_dir).resolve()
        self.root: Path | str = root_of(root, self.base_dir)
        self.catalog = catalog
        self.views = views or Views()
        # An entity is a view because its pipe says so, whatever its declaration has for a provider.
        self._view_kind = view_kind(self.views, lambda name, version: self.read_entity(name, version=version))
        self.tables = Tables(manager, self._find, self._tell_changes)
        self._providers: dict[str, StorageProvider] = {}
        self._lock = threading.Lock()

    def elsewhere(self, engine: Engine, root: str | Path) -> EntityStore:
        """The same entities in another root, read with another engine; those of a catalog lie in the root, too."""
        return EntityStore(self.manager, engine, root, self.base_dir, views=self.views)

    def location(self, entity_id: str) -> str:
        """Return where an entity lies: an absolute path, a URI, or its name in the catalog."""
        entity, location, _ = self._find(entity_id)
        if self.catalog is not None and self.kind(entity_id).catalogs and self.catalog.names(entity):
            return ".".join(self.catalog.table_name(entity_id))
        return location

    def _find(self, entity_id: str) -> tuple[EntityDefinition, str, StorageProvider]:
        entity = self.manager.get_entity_definition(entity_id)
        return entity, entity.resolve(self.root, self.base_dir), self._provider(entity_id)

    def kind(self, entity_id: str) -> StorageKind:
        """The kind of storage of an entity: that of its declared provider, or the one of views.

        Raises:
            UnknownEntityError, EntityDefinitionError: there is no such entity, or no such kind.
        """
        entity = self.manager.get_entity_definition(entity_id)
        if entity_id in self.views:
            return self._view_kind
        if entity.provider not in self.manager.kinds:
            raise unknown_provider(entity, self.manager.kinds)
        return self.manager.kinds[entity.provider]

    def _provider(self, entity_id: str) -> StorageProvider:
        kind = self.kind(entity_id)
        with self._lock:
            if kind.name not in self._providers:
                make = kind.make
                self._providers[kind.name] = make(self.engine, self.catalog) if kind.catalogs else make(self.engine)
            return self._providers[kind.name]

    def read_entity(
        self,
        entity_id: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
        told: list[ExpectationResult] | None = None,
    ) -> Any:
        """Return a frame of an entity.

        Args:
            version: as of this version; None is the newest.
            start_version: only the changes of (start_version, version].
            columns: only these.
            told: takes what did not parse, of files that may hold such.

        Raises:
            UnknownEntityError, EntityNotFoundError, CorruptTableError: there is nothing to read.
        """
        entity, location, provider = self._find(entity_id)
        if self.manager.left_quarantine(entity_id) is not None and not provider.exists(entity, location):
            raise EntityNotFoundError(
                f"There is no {entity_id!r}: nothing of {entity_id.removesuffix(QUARANTINE_SUFFIX)!r} goes to a "
                "quarantine, and no earlier run has left rows there."
            )
        owner = self.manager.quarantined_from(entity_id)
        if owner is not None and version is None and start_version is None and not provider.exists(entity, location):
            return self._nothing_kept(entity_id, owner, columns)
        try:
            if not isinstance(provider, DirtyStorage) or version is not None or start_version is not None:
                return provider.read(entity, location, version=version, start_version=start_version, columns=columns)
            frame, dirt = provider.read_with_dirt(entity, location, columns=columns)
        except (SchemaError, DataError) as error:
            if repr(entity_id) in safe_str(error) or entity_id in self.views:
                raise
            raise type(error)(f"{entity_id!r} at {location}: {safe_str(error)}") from error
        results = [] if dirt is None else dirt.results()
        if dirt is not None and results:
            quarantine = entity.quarantine
            if quarantine is not None and dirt.kept:
                self._keep_dirt(quarantine.entity_id, dirt)
            self._tell_results({"entity_id": entity_id, "operation_id": str(uuid.uuid4())}, results)
            if told is not None:
                told.extend(results)
        return frame

    def infer(self, entity_id: str) -> pa.Schema:
        """Return the types that an entity of untyped text could declare: every value prints back as it came.

        Raises:
            EntityNotFoundError: there is nothing to read.
            UnsupportedError: the storage knows its types.
        """
        entity, location, provider = self._find(entity_id)
        if not isinstance(provider, UntypedStorage):
            raise UnsupportedError(
                f"{entity_id!r} is kept as {entity.provider}, which tells its types: `kindling entities` shows them."
            )
        schema = provider.infer(entity, location)
        # Reading words what is missing.
        return self.engine.to_reader(self.read_entity(entity_id)).schema if schema is None else schema

    def _nothing_kept(self, name: str, owner: str, columns: Sequence[str] | None) -> Any:
        """Return the rows of a quarantine that has no table: none, where its columns are known."""
        if not self.manager.get_entity_definition(owner).read_only:
            raise EntityNotFoundError(f"There is no {name!r}: nothing of {owner!r} was put there so far.")
        from kindling_entities.formats import QUARANTINE_SCHEMA

        empty = QUARANTINE_SCHEMA.empty_table()
        return self.engine.from_arrow(empty if columns is None else empty.select(list(columns)))

    def _keep_dirt(self, name: str, dirt: Dirt) -> None:
        """Put rows of files aside, each once, however often its file is read."""
        known: frozenset[str] = frozenset()
        if self.check_entity_exists(name):
            stored = self.engine.to_reader(self.read_entity(name, columns=[QUARANTINE_KEY])).read_all()
            known = frozenset(stored.column(0).to_pylist())
        rows = dirt.table(known)
        if rows.num_rows:
            self._write(name, self.engine.from_arrow(rows), "merge", None)

    def read_appends(
        self,
        entity_id: str,
        start_version: int,
        end_version: int | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Return the rows that the versions of (start_version, end_version] added to an entity that only grows.

        Args:
            start_version: -1 is before the first version.
            end_version: None is the newest.
            columns: only these.

        Raises:
            RowsRewritten: one of the versions removed or changed rows.
            VersionsGone: some of the versions are kept no more.
            UnsupportedError: the storage keeps no versions.
        """
        entity, location, provider = self._find(entity_id)
        if not isinstance(provider, GrowingStorage):
            raise no_such_thing(entity, "appends by their versions")
        return provider.read_appends(entity, location, start_version, end_version, columns)

    def commits(self, entity_id: str, since: int | None = None) -> Sequence[CommitInfo]:
        """Return what the log of an entity says of the commits after a version, oldest first.

        Raises:
            VersionsGone: the log is kept no more for some of them.
            UnsupportedError: the storage keeps no log.
        """
        entity, location, provider = self._find(entity_id)
        if not isinstance(provider, LoggedStorage):
            raise no_such_thing(entity, "log of its commits")
        return provider.commits(entity, location, since)

    def describe(self, entity_id: str) -> TableInfo | None:
        """Return a table as it stands; None if there is none, or if its kind of storage describes none."""
        return self.tables.describe(entity_id)

    def write_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Replace an entity, or its partitions that the frame has rows for, in one commit."""
        return self._write(entity_id, frame, "overwrite", transaction, options=options)

    def append_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Add rows in one commit."""
        return self._write(entity_id, frame, "append", transaction, options=options)

    def merge_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        keys: Sequence[str] | None = None,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Update the rows whose keys match and insert the others, in one commit.

        Args:
            keys: in place of those that the entity declares.

        Raises:
            MergeKeyError: no keys, or a frame whose keys are missing, null or not unique.
        """
        return self._write(entity_id, frame, "merge", transaction, keys, options=options)

    def write(
        self,
        entity_id: str,
        frame: Any,
        mode: str | None,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Write as the entity declares, or with another mode."""
        return self._write(entity_id, frame, mode, transaction, options=options)

    def release(self, entity_id: str, frame: Any, mode: str, transaction: Transaction) -> Commit:
        """Add rows whose expectations were evaluated before; a merge takes them for no full snapshot."""
        return self._write(entity_id, frame, mode, transaction, checks=False)

    def _write(
        self,
        entity_id: str,
        frame: Any,
        mode: str | None,
        transaction: Transaction | None,
        keys: Sequence[str] | None = None,
        checks: bool = True,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        entity, location, provider = self._find(entity_id)
        if keys is not None:
            entity = replace(entity, keys=tuple(keys))
        if not checks:
            entity = replace(entity, expectations=(), missing_rows="keep")
        mode = mode or entity.write_mode
        self._refuse_wrong_use(entity, self.kind(entity_id), mode)
        refuse_options(entity, self.kind(entity_id), mode, options)
        operation = _OPERATIONS[mode]
        common: dict[str, Any] = {"entity_id": entity_id, "operation_id": str(uuid.uuid4())}
        told: dict[str, Any] = {"merge_keys": list(entity.keys)} if mode == "merge" else {}
        before = told or {"mode": "overwrite_partitions" if _by_partition(entity, mode) else mode}
        emit = self.manager.emit
        emit(f"entity.before_{operation}", **common, **before)
        started = time.perf_counter()
        try:
            earlier = written_before(entity, location, provider, options.after(transaction).transactions)
            if earlier is not None:
                commit = earlier
            elif entity.expectations:
                commit = self._write_checked(common, entity, location, provider, frame, mode, transaction, options)
            else:
                commit = put(provider, entity, location, frame, mode, transaction, options)
        except BaseException as error:
            emit(f"entity.{operation}_failed", **common, **told, error=text_of(error), error_type=type(error).__name__)
            raise
        duration = time.perf_counter() - started
        if mode == "merge":
            told |= {f"rows_{what}": getattr(commit, f"rows_{what}") for what in ("inserted", "updated", "deleted")}
        else:
            told = {"rows_written": commit.rows_written}
        emit(f"entity.after_{operation}", **common, **told, duration_seconds=duration, version=commit.version)
        self._tell_changes(common, commit)
        return commit

    def _write_checked(
        self,
        common: dict[str, Any],
        entity: EntityDefinition,
        location: str,
        provider: StorageProvider,
        frame: Any,
        mode: str,
        transaction: Transaction | None,
        options: CommitOptions,
    ) -> Commit:
        """Write what meets the expectations; the quarantine first, so that no row is lost between the two."""
        from kindling_entities.write.expectation_flags import checked, with_waiting

        def read(entity_id: str, columns: Sequence[str]) -> Any:
            return self.read_entity(entity_id, columns=columns)

        def exists() -> bool:
            return provider.exists(entity, location)

        quarantine = entity.quarantine
        try:
            # A frame that does not stream is computed once and held, to see whether it has rows.
            held = options.skip_empty and not getattr(self.engine, "streams", False)
            with checked(self.engine, entity, frame, mode, read, exists, held) as sound:
                if quarantine is not None and not (options.skip_empty and has_no_rows(sound.results())):
                    everything = mode == "overwrite" and not _by_partition(entity, mode)
                    aside = replace(options, skip_empty=False, deletes=None)
                    self._quarantine(quarantine.entity_id, sound.quarantined, everything, transaction, aside)
                rows = sound.frame
                snapshot = mode == "merge" and entity.missing_rows != "keep"
                if snapshot and sound.quarantined is not None and provider.exists(entity, location):
                    rows = with_waiting(entity, sound, self.read_entity(entity.entity_id))
                commit = put(provider, entity, location, rows, mode, transaction, options)
                results = [] if commit.skipped else sound.results()
        except ExpectationError as error:
            self._tell_results(common, error.results)
            raise
        self._tell_results(common, results)
        return replace(commit, expectations=tuple(results))

    def _tell_results(self, common: dict[str, Any], results: Sequence[ExpectationResult]) -> None:
        for one in results:
            self.manager.emit(
                "entity.expectation_evaluated",
                **common,
                expectation=one.name,
                action=one.action,
                kind=one.kind,
                rows_passed=one.rows_passed,
                rows_failed=one.rows_failed,
            )

    def _quarantine(
        self, name: str, rows: Any | None, everything: bool, transaction: Transaction | None, options: CommitOptions
    ) -> None:
        """Keep rows aside: those of the newest overwrite, or of all other writes, each distinct row once."""
        from kindling_entities.write.expectation_flags import not_yet_kept

        if not everything:
            if rows is not None:
                if self.check_entity_exists(name):
                    rows = not_yet_kept(rows, self.read_entity(name))
                self._add_to_quarantine(name, rows.dropDuplicates([QUARANTINE_KEY]), transaction, options)
        elif rows is not None:
            self._write(name, rows, "overwrite", transaction, options=options)
        elif self.check_entity_exists(name):
            stored, info = self.read_entity(name), self.tables.describe(name)
            if info.rows if info is not None and info.rows is not None else stored.count():
                self._write(name, stored.where("false"), "overwrite", transaction, options=options)

    def _add_to_quarantine(self, name: str, rows: Any, transaction: Transaction | None, options: CommitOptions) -> None:
        try:
            self._write(name, rows, "merge", transaction, options=options)
        except SchemaError as error:
            if not self.check_entity_exists(name):
                raise
            if self.read_entity(name).limit(1).count():
                raise SchemaError(
                    f"{error} Nothing was written to {name.removesuffix(QUARANTINE_SUFFIX)!r}. If its columns are "
                    f"meant to change, release or remove the rows of {name!r} first: `kindling quarantine list {name}`."
                ) from error
            # It holds nothing whose columns would have to be kept.
            self._write(name, rows, "overwrite", transaction, options=options)

    def _tell_changes(self, common: dict[str, Any], commit: Commit) -> None:
        if commit.skipped:
            return
        change = commit.schema_change
        if change:
            self.manager.emit(
                "entity.schema_changed",
                **common,
                added=list(change.added),
                removed=list(change.removed),
                changed=list(change.changed),
            )
        if commit.version is not None and commit.version != commit.old_version:
            self.manager.emit(
                "entity.version_updated", **common, old_version=commit.old_version, new_version=commit.version
            )

    def _refuse_wrong_use(self, entity: EntityDefinition, kind: StorageKind, mode: str) -> None:
        if entity.read_only:
            raise UnsupportedError(
                f"Entity {entity.entity_id!r} is a source and is only read. "
                "Write to another entity, or declare it with entities.entity(...)."
            )
        if mode not in _OPERATIONS or mode not in kind.write_modes:
            raise UnsupportedError(
                f"Entity {entity.entity_id!r}: provider {kind.name!r} cannot {mode!r}. "
                f"Use {' or '.join(sorted(kind.write_modes))}, or provider='delta'."
            )
        if mode == "merge" and entity.ordered and not kind.ordered_merges:
            raise UnsupportedError(
                f"Entity {entity.entity_id!r}: provider {kind.name!r} knows no sequence_by, delete_when or "
                "missing_rows. Use provider='delta'."
            )
        if mode == "merge" and not entity.keys:
            raise MergeKeyError(f"Entity {entity.entity_id!r} declares no keys to merge on. Declare keys=[...].")

    def ensure_entity_table(self, entity_id: str) -> bool:
        """Create an empty table of the declared columns unless there is one; return whether it was created."""
        entity, location, provider = self._find(entity_id)
        common: dict[str, Any] = {"entity_id": entity_id, "operation_id": str(uuid.uuid4())}
        self.manager.emit("entity.before_ensure_table", **common, location=location)
        started = time.perf_counter()
        try:
            if entity.read_only:
                raise UnsupportedError(f"Entity {entity_id!r} is a source; nothing is created for it.")
            created = provider.ensure(entity, location)
        except BaseException as error:
            self.manager.emit("entity.ensure_failed", **common, error=text_of(error), error_type=type(error).__name__)
            raise
        duration = time.perf_counter() - started
        self.manager.emit(
            "entity.after_ensure_table", **common, location=location, created=created, duration_seconds=duration
        )
        return created

    def check_entity_exists(self, entity_id: str) -> bool:
        """Tell whether the table or the files of an entity exist."""
        entity, location, provider = self._find(entity_id)
        return provider.exists(entity, location)

    def newest_transaction(self, entity_id: str, ending: str) -> str | None:
        """Return the newest transaction id with this ending, "" if there is none, None where that cannot be told."""
        entity, location, provider = self._find(entity_id)
        if not isinstance(provider, TransactionalStorage):
            return None
        return provider.newest_transaction(entity, location, ending)

    def get_entity_version(self, entity_id: str) -> int:
        """Return the newest version.

        Raises:
            EntityNotFoundError: nothing was written yet.
        """
        version = self.get_entity_versions([entity_id])[entity_id]
        if isinstance(version, Exception):
            raise version
        return version

    def get_entity_versions(self, entity_ids: Sequence[str]) -> dict[str, int | Exception]:
        """Return the newest version of each entity, or the error of that entity alone."""
        found: dict[str, int | Exception] = {}
        groups: dict[str, dict[str, tuple[EntityDefinition, str]]] = {}
        for entity_id in entity_ids:
            try:
                entity, location, _ = self._find(entity_id)
                kind = self.kind(entity_id).name
            except Exception as error:  # noqa: BLE001 - one entity's error must not hide the others' versions
                found[entity_id] = error
            else:
                groups.setdefault(kind, {})[entity_id] = (entity, location)
        for name, group in groups.items():
            found.update(self._providers[name].versions(group))
        return {entity_id: found[entity_id] for entity_id in entity_ids}


def _by_partition(entity: EntityDefinition, mode: str) -> bool:
    return mode == "overwrite" and entity.overwrite_scope == "partitions"
