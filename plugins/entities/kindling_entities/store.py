"""The store of entities: reads and writes them by id, for pipes, commands and other plugins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling_core.errors import full_text_of, safe_str
from kindling_entities.commit_signals import new_operation, send_results
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX, ExpectationResult
from kindling_entities.entity_writer import EntityWriter
from kindling_entities.errors import DataError, EntityNotFoundError, SchemaError, UnsupportedError
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
from kindling_entities.read.views import Views
from kindling_entities.resolver import EntityResolver
from kindling_entities.storage import DirtyStorage, GrowingStorage, LoggedStorage, TransactionalStorage, UntypedStorage
from kindling_entities.tables import Tables
from kindling_entities.write.options import no_such_thing

if TYPE_CHECKING:
    import pyarrow as pa

    from kindling_entities.declare.catalog import Catalog
    from kindling_entities.kinds import StorageKind


class EntityStore:
    """The ``EntityProvider`` of an App: reads and writes entities by their providers, with every ``entity.*`` signal.

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
        self.catalog = catalog
        self.views = views or Views()
        self._resolver = EntityResolver(
            manager,
            engine,
            root,
            self.base_dir,
            catalog,
            self.views,
            lambda entity_id, version: self.read_entity(entity_id, version=version),
        )
        self.root = self._resolver.root
        self.tables = Tables(manager, self._resolver.find)
        self._writer = EntityWriter(
            manager,
            engine,
            self._resolver,
            self.tables,
            lambda entity_id, columns: self.read_entity(entity_id, columns=columns),
        )

    def elsewhere(self, engine: Engine, root: str | Path) -> EntityStore:
        """The same entities in another root, read with another engine; those of a catalog lie in the root, too."""
        return EntityStore(self.manager, engine, root, self.base_dir, views=self.views)

    def location(self, entity_id: str) -> str:
        """Return where an entity lies: an absolute path, a URI, or its name in the catalog."""
        return self._resolver.shown_location(entity_id)

    def kind(self, entity_id: str) -> StorageKind:
        """Return the kind of storage of an entity: that of its declared provider, or of views.

        Raises:
            UnknownEntityError, EntityDefinitionError: there is no such entity, or no such kind of storage.
        """
        return self._resolver.kind(entity_id)

    def read_entity(
        self,
        entity_id: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
        parse_results: list[ExpectationResult] | None = None,
    ) -> Any:
        """Return a frame of an entity.

        Args:
            version: as of this version; None is the newest.
            start_version: only the changes of (start_version, version].
            columns: only these.
            parse_results: takes the counts of rows and values that did not parse, of files that may hold such.

        Raises:
            UnknownEntityError, EntityNotFoundError, CorruptTableError: there is nothing to read.
        """
        entity, location, provider = self._resolver.find(entity_id)
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
                self._writer.keep_dirt(quarantine.entity_id, dirt)
            send_results(self.manager, new_operation(entity_id), results)
            if parse_results is not None:
                parse_results.extend(results)
        return frame

    def infer(self, entity_id: str) -> pa.Schema:
        """Return the types that an entity of untyped text could declare: every value prints back as it came.

        Raises:
            EntityNotFoundError: there is nothing to read.
            UnsupportedError: the storage knows its types.
        """
        entity, location, provider = self._resolver.find(entity_id)
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
        entity, location, provider = self._resolver.find(entity_id)
        if not isinstance(provider, GrowingStorage):
            raise no_such_thing(entity, "appends by their versions")
        return provider.read_appends(entity, location, start_version, end_version, columns)

    def commits(self, entity_id: str, since: int | None = None) -> Sequence[CommitInfo]:
        """Return what the log of an entity says of the commits after a version, oldest first.

        Raises:
            VersionsGone: the log is kept no more for some of them.
            UnsupportedError: the storage keeps no log.
        """
        entity, location, provider = self._resolver.find(entity_id)
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
        return self._writer.write(entity_id, frame, "overwrite", transaction, options=options)

    def append_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Add rows in one commit."""
        return self._writer.write(entity_id, frame, "append", transaction, options=options)

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
        return self._writer.write(entity_id, frame, "merge", transaction, keys, options=options)

    def write(
        self,
        entity_id: str,
        frame: Any,
        mode: str | None,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Write as the entity declares, or with another mode."""
        return self._writer.write(entity_id, frame, mode, transaction, options=options)

    def release(self, entity_id: str, frame: Any, mode: str, transaction: Transaction) -> Commit:
        """Add rows whose expectations were evaluated before; a merge takes them for no full snapshot."""
        return self._writer.write(entity_id, frame, mode, transaction, checks=False)

    def ensure_entity_table(self, entity_id: str) -> bool:
        """Create an empty table of the declared columns if none exists; return whether it was created."""
        entity, location, provider = self._resolver.find(entity_id)
        operation = new_operation(entity_id)
        self.manager.emit("entity.before_ensure_table", **operation, location=location)
        started = time.perf_counter()
        try:
            if entity.read_only:
                raise UnsupportedError(f"Entity {entity_id!r} is a source; nothing is created for it.")
            created = provider.ensure(entity, location)
        except BaseException as error:
            fields = {"error": full_text_of(error), "error_type": type(error).__name__}
            self.manager.emit("entity.ensure_failed", **operation, **fields)
            raise
        duration = time.perf_counter() - started
        self.manager.emit(
            "entity.after_ensure_table", **operation, location=location, created=created, duration_seconds=duration
        )
        return created

    def check_entity_exists(self, entity_id: str) -> bool:
        """Return whether the table or the files of an entity exist."""
        entity, location, provider = self._resolver.find(entity_id)
        return provider.exists(entity, location)

    def newest_transaction(self, entity_id: str, ending: str) -> str | None:
        """Return the newest transaction id with this ending, "" if there is none, None if that is not known."""
        entity, location, provider = self._resolver.find(entity_id)
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
        # Kind of storage -> its provider, and the entities to ask it for.
        groups: dict[str, tuple[StorageProvider, dict[str, tuple[EntityDefinition, str]]]] = {}
        for entity_id in entity_ids:
            try:
                entity, location, provider = self._resolver.find(entity_id)
                kind = self.kind(entity_id).name
            except Exception as error:  # noqa: BLE001 - one entity's error must not hide the others' versions
                found[entity_id] = error
            else:
                groups.setdefault(kind, (provider, {}))[1][entity_id] = (entity, location)
        for provider, entities in groups.values():
            found.update(provider.versions(entities))
        return {entity_id: found[entity_id] for entity_id in entity_ids}
