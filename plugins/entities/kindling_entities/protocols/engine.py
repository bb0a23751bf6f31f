"""What an engine must give: it computes frames and commits Delta tables.

Written with both a local engine and a Spark session with Delta Lake in view. ``Engine`` therefore speaks of tables,
frames, versions and transaction ids, never of files, and returns the figures that the commit itself reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kindling_entities.protocols.values import (
    DEFAULT_COMMIT,
    Commit,
    CommitInfo,
    CommitOptions,
    MergeRules,
    Table,
    TableInfo,
    Transaction,
    Upkeep,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from kindling_entities.declare.maintenance_policy import MaintenancePolicy


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
    """Computes frames and commits Delta tables. Each App has an engine object of its own.

    Attributes:
        name: as in the job file.
        catalogs: whether tables may have a ``name``.
        several_transactions: whether a commit can carry several transaction ids; if not, several are refused.
        streams: whether rows reach a commit as a stream, so that the writer can see the first rows before it commits.
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
            wanted: given the frame's schema, returns a schema to which it casts without loss, or raises SchemaError.
        """

    def label(self, label: str) -> None:
        """Name what this thread does from now on, for ``interrupt`` and ``release``; replaces an earlier name."""

    def interrupt(self, label: str) -> None:
        """Stop what is computed under this name now, on whichever thread; harmless where there is nothing."""

    def release(self, prefix: str) -> None:
        """Remove what this engine has put aside for frames made under names that begin so; they are not read again."""

    def release_changes(self, label: str) -> None:
        """Remove what was put aside for changes and appends read under exactly this name; they are not read again."""

    def held(self, frame: Any, storage_level: str | None = None) -> AbstractContextManager[Any]:
        """A frame that is computed once and may be read several times within the ``with`` block.

        Args:
            storage_level: where to keep it, by the name in Spark; an engine without storage levels ignores it.
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
                writer in the moment before the merge may go unseen; the caller sees it by the version of the returned
                commit.

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
