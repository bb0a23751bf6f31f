"""The seams of the plugin: what an engine, a storage kind and an entity provider must give.

Nothing has to be inherited: an object with these methods is one. ``Engine`` is written with both a
local engine and a Spark session with Delta Lake in view, so it speaks of tables, frames, versions and
transaction ids, never of files, and it returns the figures that a commit itself tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from kindling_entities.declare.entity import EntityDefinition
    from kindling_entities.declare.expectations import ExpectationResult
    from kindling_entities.declare.maintenance_policy import MaintenancePolicy
    from kindling_entities.declare.schema import SchemaChange


@dataclass(frozen=True)
class Transaction:
    """Identifies a write, so that repeating it does nothing (Delta protocol, "Transaction Identifiers").

    Attributes:
        app_id: who writes, usually the pipe.
        version: a sequence number that only grows; a table that holds it or a higher one is not written again.
    """

    app_id: str
    version: int


@dataclass(frozen=True)
class CommitOptions:
    """What the caller of a write wants of its commit.

    Attributes:
        metadata: kept in the commit's own information; names that begin with ``kindling.`` belong to Kindling and
            its plugins.
        transactions: further transaction ids of the same commit, where the engine can.
        skip_empty: a frame without rows makes no commit, and no table.
        deletes: of a merge: a frame with the keys of rows that the same commit removes, unless the merged frame has
            them; other columns that both frames have, such as ``sequence_by``, say when.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    transactions: tuple[Transaction, ...] = ()
    skip_empty: bool = False
    deletes: Any = None

    def __post_init__(self) -> None:
        for name, value in self.metadata.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError(f"The metadata of a commit are texts by name, not {name!r}: {value!r}.")

    def __bool__(self) -> bool:
        return bool(self.metadata or self.transactions or self.skip_empty) or self.deletes is not None

    def after(self, transaction: Transaction | None) -> CommitOptions:
        """The same with this transaction id first."""
        if transaction is None:
            return self
        return replace(self, transactions=(transaction, *self.transactions))


# What a write gets that asks for nothing.
DEFAULT_COMMIT = CommitOptions()


@dataclass(frozen=True)
class CommitInfo:
    """What the log of a table says of a commit, whichever engine made it.

    Attributes:
        version: that the commit made.
        timestamp: of the commit, UTC; None where its writer left it out.
        operation: as the writer named it, such as "WRITE", "MERGE" or "OPTIMIZE".
        metadata: what its caller gave with it (``CommitOptions.metadata``). A text of another writer that is not ours
            stands under ``userMetadata``.
        transactions: the transaction ids that it carries.
        rows_written: rows of an append or overwrite.
        rows_inserted, rows_updated, rows_deleted: of a merge, an update or a deletion.
        figures: all that the writer counted, under its own names.
    """

    version: int
    timestamp: datetime | None = None
    operation: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    transactions: tuple[Transaction, ...] = ()
    rows_written: int | None = None
    rows_inserted: int | None = None
    rows_updated: int | None = None
    rows_deleted: int | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """One physical table.

    Attributes:
        location: an absolute path or a URI. Of a table in a catalog: where its files are to lie when it is made,
            empty to leave that to the catalog.
        partition_columns: in declared order.
        schema_policy: "evolve", "warn" or "fail".
        name: catalog, schema and table; None for a table by path.
        cluster_columns: what liquid clustering orders by, on an engine that has it.
    """

    entity_id: str
    location: str
    partition_columns: tuple[str, ...] = ()
    schema_policy: str = "evolve"
    description: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    name: tuple[str, ...] | None = None
    cluster_columns: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return ".".join(self.name) if self.name else self.location


@dataclass(frozen=True)
class MergeRules:
    """Conditions under which a merge changes rows, evaluated within the merge itself.

    SQL that every engine reads, over ``t`` (the row of the table) and ``s`` (that of the source). Where a deletion
    and an update both hold, the row is deleted.

    Attributes:
        update_when: which matched rows are updated; None: all.
        delete_when: which matched rows are deleted; None: none.
        insert_flag: column of the source that is true in rows that are inserted where none matches; None: all.
        delete_missing: rows of the table that no row of the source matches are deleted.
        helpers: columns of the source that the conditions read and that are not stored.
    """

    update_when: str | None = None
    delete_when: str | None = None
    insert_flag: str | None = None
    delete_missing: bool = False
    helpers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Commit:
    """What one write did.

    Attributes:
        version: of the table after the write, None where the storage has no versions.
        old_version: before it, None if the table did not exist.
        rows_written: rows of an append or overwrite; None for a merge, or where it cannot be told.
        rows_inserted, rows_updated, rows_deleted: of a merge.
        skipped: the transaction id was already in the table, nothing was written.
        empty: the frame had no rows and the caller wanted no commit of none; nothing was written.
        created: the write made the table.
        schema_change: columns added, removed or changed, None if the schema stayed.
        expectations: what the entity's expectations counted.
    """

    version: int | None
    old_version: int | None = None
    rows_written: int | None = None
    rows_inserted: int | None = None
    rows_updated: int | None = None
    rows_deleted: int | None = None
    skipped: bool = False
    empty: bool = False
    created: bool = False
    schema_change: SchemaChange | None = None
    expectations: tuple[ExpectationResult, ...] = ()


@dataclass(frozen=True)
class TableInfo:
    """A table as it stands.

    Attributes:
        schema: in column order, normal types.
        computed: columns that the table fills itself where a frame lacks them, as far as known.
        table_id: the table's identity; a table that was removed and made anew has another. "" where it is not known.
        rows, size_bytes, files: of the newest version; None where the log does not tell or was not asked.
    """

    version: int
    schema: pa.Schema
    partition_columns: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    size_bytes: int | None = None
    files: int | None = None
    computed: tuple[str, ...] = ()
    table_id: str = ""

    @property
    def records_changes(self) -> bool:
        """Whether the table keeps a change feed."""
        return self.properties.get("delta.enableChangeDataFeed") == "true"


@dataclass(frozen=True)
class Upkeep:
    """What maintenance did, or in a dry run would do.

    Attributes:
        files_compacted, files_written: small files, and what they became; None where a dry run cannot tell.
        files_removed: paths of files that no retained version needs, leftovers of killed writes among them.
        version: of the table afterwards.
    """

    files_compacted: int | None
    files_written: int | None
    files_removed: tuple[str, ...]
    version: int


class Sifted(Protocol):
    """A frame whose flags are counted while it is written.

    Attributes:
        frame: without the flags and the rows that are left out; what ``append`` and ``overwrite`` take.
    """

    frame: Any

    def tally(self) -> dict[str, int]:
        """Rows of the whole frame under ``rows``, and rows with each flag; after it was written, or refused."""

    def refused(self, error: BaseException) -> bool:
        """Whether writing ended with this error because a row had a flag with the action "fail"."""


class Engine(Protocol):
    """Computes frames and commits Delta tables. One App owns one engine object.

    Attributes:
        name: as the job file has it.
        catalogs: whether tables may have a ``name``.
        several_transactions: whether a commit can carry more than one transaction id; else more are refused.
        streams: whether rows reach a commit as a stream, so that the first of them can be looked at before it.
    """

    name: str
    catalogs: bool
    several_transactions: bool
    streams: bool

    @property
    def session(self) -> Any:
        """The Spark session (classic or Connect) in which the pipes' frames live; starts it if necessary."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Release the session; harmless when never started."""

    def activate(self) -> None:
        """Make ``session`` the active one of the calling thread."""

    def from_arrow(self, data: pa.Table | pa.RecordBatchReader) -> Any:
        """Make a frame of Arrow data; a reader is streamed, never held whole."""

    def to_reader(self, frame: Any) -> pa.RecordBatchReader:
        """Stream a frame (or Arrow data, or a pandas frame) as record batches."""

    def to_frame(self, frame: Any) -> Any:
        """Return a Spark frame of this engine's session: of a Spark frame itself, of Arrow or pandas data."""

    def sift(self, frame: Any, flags: Mapping[str, str]) -> Sifted:
        """Take off flag columns in the pass that writes the frame.

        Args:
            flags: boolean column that is never null -> what becomes of a row where it is true: "warn" keeps it,
                "drop" leaves it out, "fail" fails the write.
        """

    def conform(self, frame: Any, wanted: Callable[[pa.Schema], pa.Schema]) -> Any:
        """Return what ``append``, ``overwrite`` and ``merge`` take, cast to what ``wanted`` makes of its schema.

        Args:
            wanted: given the frame's schema, returns one to which it casts without loss, or raises SchemaError.
        """

    def label(self, label: str) -> None:
        """Name what this thread does from now on, for ``interrupt`` and ``release``; replaces an earlier name."""

    def interrupt(self, label: str) -> None:
        """Stop what is computed under this name now, on whichever thread; harmless where there is nothing."""

    def release(self, prefix: str) -> None:
        """Remove what this engine has put aside for frames made under names that begin so; they are not read again."""

    def release_changes(self, label: str) -> None:
        """Remove what was put aside for changes and appends read under exactly this name; they are not read again."""

    def held(self, frame: Any, level: str | None = None) -> AbstractContextManager[Any]:
        """A frame that is computed once and may be read several times within the ``with`` block.

        Args:
            level: where to keep it, a name of Spark's storage levels; an engine without them takes no notice.
        """

    def read(self, table: Table, *, version: int | None = None, columns: Sequence[str] | None = None) -> Any:
        """Return a frame pinned to a version (the newest if None).

        Raises:
            EntityNotFoundError: no such table or version.
            VersionsGone: the version is kept no more.
        """

    def read_parquet(self, paths: Sequence[str], schema: pa.Schema, footers: Sequence[Any] | None = None) -> Any:
        """A lazy frame of Parquet files that have this schema; a path is no pattern.

        Args:
            footers: of the files (``pyarrow.parquet.FileMetaData``), where they were read before.
        """

    def read_changes(self, table: Table, start_version: int, end_version: int) -> Any:
        """Return the changes of (start_version, end_version] with ``_change_type`` and ``_commit_version``.

        Raises:
            UnsupportedError: the table records no changes.
            VersionsGone: some of the versions are kept no more.
        """

    def read_appends(self, table: Table, start_version: int, end_version: int) -> Any:
        """Return the rows that the commits of (start_version, end_version] added, with the columns of the last.

        For tables that only grow, with or without a change feed. Commits that only moved rows between files
        (compaction) add none.

        Args:
            start_version: -1 is before the first version.

        Raises:
            EntityNotFoundError: no such table, or no ``end_version``.
            RowsRewritten: a commit removed or changed rows.
            VersionsGone: some of the versions are kept no more.
        """

    def commits(self, table: Table, since: int | None = None) -> Sequence[CommitInfo]:
        """Return what the log says of the commits after a version, oldest first.

        Args:
            since: None returns all that the log still has.

        Raises:
            EntityNotFoundError: no such table.
            VersionsGone: the log is kept no more for some of them.
        """

    def append(
        self,
        table: Table,
        frame: Any,
        transaction: Transaction | None = None,
        *,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Add rows in one commit.

        Raises:
            UnsupportedError: more transaction ids than a commit of this engine can carry.
            TransactionsDisagree: of several transaction ids some are in the table and some are not.
        """

    def overwrite(
        self,
        table: Table,
        frame: Any,
        transaction: Transaction | None = None,
        *,
        scope: str = "table",
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Replace the table, or (scope "partitions") only the partitions that the frame has rows for."""

    def merge(
        self,
        table: Table,
        frame: Any,
        keys: Sequence[str],
        transaction: Transaction | None = None,
        *,
        expected_version: int | None = None,
        rules: MergeRules | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Update rows whose keys match and insert the others, or what the rules say.

        Args:
            expected_version: the version that the frame was computed from; -1 means no table. A commit of another
                writer in the moment before the merge may go unseen: then the version of the commit tells of it.

        Raises:
            VersionMoved: the table is at another version than expected; nothing was written.
            MergeKeyError: a key column is missing, or keys are null or not unique in the frame.
        """

    def delete(self, table: Table, condition: str) -> Commit:
        """Remove the rows for which a condition is true, in one commit.

        Args:
            condition: SQL of comparisons and ``like`` over the table's columns, which means the same on every engine.

        Raises:
            EntityNotFoundError: no such table.
        """

    def ensure(self, table: Table, schema: pa.Schema) -> bool:
        """Create an empty table if there is none; return whether it was created."""

    def exists(self, table: Table) -> bool: ...

    def committed(self, table: Table, transaction: Transaction) -> bool:
        """Whether the table has this transaction, or a later one of the same application."""

    def newest_transaction(self, table: Table, ending: str) -> str:
        """The newest transaction id with this ending that the table has, "" if there is none."""

    def schema(self, table: Table) -> pa.Schema:
        """The newest schema, in column order."""

    def describe(self, table: Table, *, figures: bool = True) -> TableInfo | None:
        """The table as it stands, None if there is none; without ``figures`` its files are not counted."""

    def maintain(self, table: Table, policy: MaintenancePolicy, *, dry_run: bool) -> Upkeep:
        """Compact, order and vacuum a table; rows stay the same.

        Raises:
            EntityNotFoundError: no such table.
        """

    def versions(self, tables: Iterable[Table]) -> dict[str, int | Exception]:
        """The newest version of each table by entity id, or the error of that table alone."""


@runtime_checkable
class OverflowFinder(Protocol):
    """An engine that finds arithmetic in frames which it does not check for overflow."""

    def overflows(self, frame: Any) -> Sequence[Any]:
        """Places in the frame's plan, each with ``operator``, ``where`` and ``place``; each place once."""


class StorageProvider(Protocol):
    """One kind of storage: delta, parquet, csv, json, memory, or a third party's.

    Made once per App by ``StorageKind.make``. Locations are absolute paths or URIs. What a kind can do beyond this it
    says by having the methods of a protocol in ``storage.py``, too.
    """

    def read(
        self,
        entity: EntityDefinition,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any: ...

    def write(
        self,
        entity: EntityDefinition,
        location: str,
        frame: Any,
        mode: str,
        transaction: Transaction | None = None,
    ) -> Commit:
        """Write with mode "overwrite", "append" or "merge"."""

    def ensure(self, entity: EntityDefinition, location: str) -> bool: ...

    def exists(self, entity: EntityDefinition, location: str) -> bool: ...

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]: ...


class EntityProvider(Protocol):
    """Reads and writes entities by id. What other plugins build on."""

    def read_entity(
        self,
        entity_id: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any: ...

    def read_appends(
        self,
        entity_id: str,
        start_version: int,
        end_version: int | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> Any: ...

    def commits(self, entity_id: str, since: int | None = None) -> Sequence[CommitInfo]: ...

    def describe(self, entity_id: str) -> TableInfo | None: ...

    def write_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit: ...

    def append_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit: ...

    def merge_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        keys: Sequence[str] | None = None,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit: ...

    def ensure_entity_table(self, entity_id: str) -> bool: ...

    def check_entity_exists(self, entity_id: str) -> bool: ...

    def get_entity_version(self, entity_id: str) -> int: ...

    def get_entity_versions(self, entity_ids: Sequence[str]) -> dict[str, int | Exception]: ...
