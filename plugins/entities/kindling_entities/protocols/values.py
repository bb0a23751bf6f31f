"""The values that engines and kinds of storage take and return: tables, transactions, commits and their figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from kindling_entities.declare.expectations import ExpectationResult
    from kindling_entities.declare.schema import SchemaChange


@dataclass(frozen=True)
class Transaction:
    """Identifies a write, so that repeating it does nothing (Delta protocol, "Transaction Identifiers").

    Attributes:
        app_id: who writes, usually the pipe.
        version: a sequence number that only grows; a table that holds it or a higher number is not written again.
    """

    app_id: str
    version: int


@dataclass(frozen=True)
class CommitOptions:
    """Options of a single write.

    Attributes:
        metadata: kept in the commit's own information; names that begin with ``kindling.`` belong to Kindling and
            its plugins.
        transactions: further transaction ids of the same commit, on engines that support several.
        skip_empty: whether a frame without rows makes no commit, and no table.
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
        version: of the table after the commit.
        timestamp: of the commit, UTC; None where its writer left it out.
        operation: as the writer named it, such as "WRITE", "MERGE" or "OPTIMIZE".
        metadata: texts by name that the caller of the write gave (``CommitOptions.metadata``). A text by a writer other
            than Kindling is under ``userMetadata``.
        transactions: the transaction ids that it carries.
        rows_written: rows of an append or overwrite.
        rows_inserted: of a merge.
        rows_updated: of a merge or an update.
        rows_deleted: of a merge or a deletion.
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
    """A physical table.

    Attributes:
        location: an absolute path or a URI. For a table in a catalog: where its files are put when it is created,
            "" to leave that to the catalog.
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

    The conditions are SQL that every engine reads, over ``t`` (the row of the table) and ``s`` (the row of the source).
    Where the conditions of a deletion and an update both hold, the row is deleted.

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
    """What a write did.

    Attributes:
        version: of the table after the write, None where the storage has no versions.
        old_version: of the table before the write, None if the table did not exist.
        rows_written: rows of an append or overwrite; None for a merge, or where it is not known.
        rows_inserted: new rows of a merge; None for other writes.
        rows_updated: changed rows of a merge; None for other writes.
        rows_deleted: removed rows of a merge or a deletion; None for other writes.
        skipped: the transaction id was already in the table; nothing was written.
        empty: the frame had no rows and the caller wanted no commit without rows; nothing was written.
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
        table_id: the table's identity, "" where it is not known. A table that was removed and created again has
            another.
        rows: of the newest version; None where the log does not hold the count or was not asked.
        size_bytes: of the data files of the newest version; None where the log was not asked.
        files: number of data files of the newest version; None where the log was not asked.
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
        files_compacted: number of small files that were replaced; None where a dry run does not know.
        files_written: number of files that replaced them; None where a dry run does not know.
        files_removed: paths of files that no retained version needs, leftovers of killed writes among them.
        version: of the table afterwards.
    """

    files_compacted: int | None
    files_written: int | None
    files_removed: tuple[str, ...]
    version: int
