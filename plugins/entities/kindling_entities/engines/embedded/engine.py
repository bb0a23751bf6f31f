"""``EmbeddedEngine``: Spark's DataFrame interface on Sail, Delta commits through delta-rs."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kindling_entities.declare.casts import cast_reader, cast_table
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.declare.quoting import quote
from kindling_entities.declare.schema import normal_schema
from kindling_entities.engines import _frames, _log
from kindling_entities.engines._appends import appends_log
from kindling_entities.engines._commit_info import read_commits
from kindling_entities.engines._places import refuse_unreachable
from kindling_entities.engines._retained import refuse_gone, refuse_gone_changes
from kindling_entities.engines._retry import Retry
from kindling_entities.engines._side_log import misread
from kindling_entities.engines._staging import Staging
from kindling_entities.engines._transactions import committed, newest_transaction
from kindling_entities.engines.embedded import _delta, _upkeep
from kindling_entities.engines.embedded._int96 import FarTimestamps
from kindling_entities.engines.embedded._overflow import Overflow, overflows
from kindling_entities.engines.embedded._server import SailServer
from kindling_entities.engines.embedded._sift import StreamSift
from kindling_entities.engines.embedded._snapshots import Snapshots, hides_nan, sound, sound_columns
from kindling_entities.protocols import (
    DEFAULT_COMMIT,
    Commit,
    CommitInfo,
    CommitOptions,
    MergeRules,
    Sifted,
    Table,
    TableInfo,
    Transaction,
    Upkeep,
)
from kindling_entities.rules.refusals import refuse_no_change_feed


class EmbeddedEngine:
    """Computes with Sail in this process and commits with delta-rs. Implements ``Engine``.

    Args:
        spool_bytes: a merge source, a partition overwrite or Arrow data above this size goes to disk.
        temp_dir: where spooled and staged data go; the system's temporary folder if None.
        max_attempts: how often a write that lost the race is tried before ConflictError.
        sleep, jitter: how to wait between attempts; replaced in tests.
    """

    name = "embedded"
    catalogs = False
    several_transactions = True
    streams = True

    def __init__(
        self,
        spool_bytes: int = 64 * 1024 * 1024,
        temp_dir: str | None = None,
        max_attempts: int = 30,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._spool_bytes = spool_bytes
        self._server = SailServer()
        self._lock = threading.RLock()
        self._staging = Staging(temp_dir)
        self._retry = Retry(max_attempts, sleep, jitter)
        self._reported_overflows: set[str] = set()
        self._places = self._staging.places
        self._snapshots = Snapshots(self._staging)
        self._far = FarTimestamps()
        self._writer = _delta.DeltaWriter(spool_bytes, self._staging.own_folder, self._retry, self._far)

    @property
    def session(self) -> Any:
        """The Spark Connect session of this engine; starts it if necessary."""
        self._staging.sweep()
        with self._lock:
            return self._server.start()

    def start(self) -> None:
        """Start the server and its session, and remove what killed processes have left; harmless when they run."""
        self._staging.sweep()
        with self._lock:
            self._server.start()

    def stop(self) -> None:
        """End the session and the server and remove staged files; harmless when never started."""
        with self._lock:
            self._server.stop()
        self._snapshots.forget()
        self._staging.remove()

    def activate(self) -> None:
        """Make ``session`` the active one of the calling thread."""
        with self._lock:
            self._server.activate()

    def label(self, label: str) -> None:
        """Name what this thread asks of Sail from now on."""
        session = self.session
        session.clearTags()
        session.addTag(label)
        self._staging.label(label)

    def interrupt(self, label: str) -> None:
        """Stop what Sail computes under this name."""
        if self._server.running:
            self.session.interruptTag(label)

    def release(self, prefix: str) -> None:
        """Remove what was staged under names that begin so; nothing is staged under them any more."""
        self._staging.release(prefix)
        self._snapshots.release(prefix)

    def release_changes(self, label: str) -> None:
        """Remove what was staged for changes and appends read under this name."""
        self._staging.release_for_pipe(label)

    def from_arrow(self, data: pa.Table | pa.RecordBatch | pa.RecordBatchReader) -> Any:
        """Make a frame; small tables travel in the plan, everything else through a staged Parquet file."""
        return self._from_arrow(data)

    def _from_arrow(self, data: pa.Table | pa.RecordBatch | pa.RecordBatchReader, *, for_pipe: bool = False) -> Any:
        if isinstance(data, pa.RecordBatch):
            data = pa.Table.from_batches([data])
        if isinstance(data, pa.Table) and data.num_rows > 0 and data.nbytes <= min(self._spool_bytes, 1 << 20):
            from pyspark.sql.pandas.types import from_arrow_schema

            normal = normal_schema(data.schema)
            # By default it gives timestamps without a zone the zone of the session.
            typed = from_arrow_schema(normal, prefer_timestamp_ntz=True)
            return self.session.createDataFrame(cast_table(data, normal), typed)
        reader = _frames.to_reader(data)
        with _log.mapped_os_errors("Staging a frame"):
            path = self._staging.stage(reader, for_pipe=for_pipe)
        return self.session.read.parquet(path)

    def read_parquet(
        self, paths: Sequence[str], schema: pa.Schema, footers: Sequence[pq.FileMetaData] | None = None
    ) -> Any:
        """A lazy frame of Parquet files that have this schema.

        Args:
            footers: of the files, where they were read before.
        """
        if any(map(hides_nan, map(pq.read_metadata, paths) if footers is None else footers)):
            return self.from_arrow(pa.RecordBatchReader.from_batches(schema, _frames.parquet_batches(paths, schema)))
        return sound(self.session.read.parquet(*map(self._places.plain, paths)), schema)

    def to_reader(self, frame: Any) -> pa.RecordBatchReader:
        """Stream a Spark, Arrow or pandas frame as record batches with normal types."""
        return _frames.to_reader(frame)

    def to_frame(self, frame: Any) -> Any:
        """A Spark frame of a Spark, Arrow or pandas frame."""
        if _frames.is_frame(frame):
            return frame
        return self.from_arrow(frame if isinstance(frame, pa.Table) else _frames.to_reader(frame))

    def conform(self, frame: Any, wanted: Callable[[pa.Schema], pa.Schema]) -> _frames.Stream | pa.RecordBatchReader:
        """Stream a frame, cast to the schema that ``wanted`` makes of its own."""

        def make() -> pa.RecordBatchReader:
            reader = _frames.to_reader(frame)
            return cast_reader(reader, wanted(reader.schema))

        if isinstance(frame, pa.RecordBatchReader):
            return make()
        stream = _frames.Stream(make)
        stream.schema  # noqa: B018 - what does not fit is refused here
        return stream

    def overflows(self, frame: Any) -> list[Overflow]:
        """Arithmetic in a frame's plan that is not checked for overflow; each place is returned once per engine."""
        if not _frames.is_frame(frame):
            return []
        new = {
            overflow.place: overflow for overflow in overflows(frame) if overflow.place not in self._reported_overflows
        }
        self._reported_overflows.update(new)
        return list(new.values())

    def sift(self, frame: Any, flags: Mapping[str, str]) -> Sifted:
        """Count flags, and leave rows out, as the frame streams by."""
        return StreamSift(frame, flags)

    @contextlib.contextmanager
    def held(self, frame: Any, storage_level: str | None = None) -> Iterator[Any]:
        """A frame that is computed once, into a staged Parquet file."""
        with contextlib.ExitStack() as stack:
            reader = _frames.to_reader(frame)
            with _log.mapped_os_errors("Staging a frame"):
                path = stack.enter_context(self._staging.staged(reader))
            yield self.session.read.parquet(path)

    def read(self, table: Table, *, version: int | None = None, columns: Sequence[str] | None = None) -> Any:
        """Return a lazy frame pinned to a version, columns in the order of the table's schema."""
        refuse_unreachable(table)
        if version is not None:
            refuse_gone(table, version)
        opened = _log.open_table(table, version)
        schema, pinned, metadata = _log.arrow_schema(opened), opened.version(), opened.metadata()
        names = list(columns) if columns is not None else schema.names
        reader = self.session.read.format("delta")
        if not any(misread(field.type) for field in schema):
            frame = reader.option("versionAsOf", pinned).load(self._places.plain(table.location))
            # Sail puts partition columns last; a plan without them needs no reordering.
            return frame.select(*map(quote, names)) if metadata.partition_columns or columns is not None else frame
        with _log.mapped_errors(table, "Reading", opening=True):
            frame = reader.load(self._snapshots.of(table.location, str(metadata.id), pinned))
        # Only names that the table has: others are for Sail to refuse.
        return frame.selectExpr(*sound_columns(schema, names))

    def read_changes(self, table: Table, start_version: int, end_version: int) -> Any:
        """Return the changes of (start_version, end_version], which Sail cannot read, through delta-rs."""
        refuse_unreachable(table)
        opened = _log.open_table(table)
        refuse_no_change_feed(table, opened.metadata().configuration)
        if start_version < end_version <= opened.version():
            refuse_gone_changes(table, start_version, end_version)
        self._far.refuse_changes(table, opened, start_version, end_version)
        with _log.mapped_errors(table, "Reading changes"):
            changes = opened.load_cdf(starting_version=start_version + 1, ending_version=end_version)
            return self._from_arrow(pa.RecordBatchReader.from_stream(changes), for_pipe=True)

    def read_appends(self, table: Table, start_version: int, end_version: int) -> Any:
        """Return a lazy frame of the rows that the commits of (start_version, end_version] added."""
        refuse_unreachable(table)
        schema = _log.arrow_schema(_log.open_table(table, end_version))
        path = appends_log(table, start_version, end_version, self._staging)
        return self.session.read.format("delta").load(path).selectExpr(*sound_columns(schema, schema.names))

    def commits(self, table: Table, since: int | None = None) -> list[CommitInfo]:
        """What the log says of the commits after a version, oldest first."""
        refuse_unreachable(table)
        return read_commits(table, since)

    def append(
        self,
        table: Table,
        frame: Any,
        transaction: Transaction | None = None,
        *,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Add the rows of a frame; streamed, never held whole."""
        refuse_unreachable(table)
        return self._writer.append(table, frame, options.after(transaction))

    def overwrite(
        self,
        table: Table,
        frame: Any,
        transaction: Transaction | None = None,
        *,
        scope: str = "table",
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Replace the table, or with scope "partitions" only those the frame has rows for."""
        refuse_unreachable(table)
        if scope == "partitions":
            return self._writer.overwrite_partitions(table, frame, options.after(transaction))
        return self._writer.overwrite(table, frame, options.after(transaction))

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
        """Update rows whose keys match and insert the others, or what the rules say."""
        refuse_unreachable(table)
        return self._writer.merge(table, frame, list(keys), options.after(transaction), expected_version, rules)

    def delete(self, table: Table, condition: str) -> Commit:
        """Remove the rows for which a condition is true."""
        refuse_unreachable(table)
        return self._writer.delete(table, condition)

    def ensure(self, table: Table, schema: pa.Schema) -> bool:
        """Create an empty table if there is none; return whether it was created."""
        refuse_unreachable(table)
        return self._writer.ensure(table, schema)

    def exists(self, table: Table) -> bool:
        """Return whether the table has a commit."""
        return _log.newest_version(table.location) is not None

    def committed(self, table: Table, transaction: Transaction) -> bool:
        """Whether the table has this transaction, or a later one of the same application."""
        return committed(table, transaction)

    def newest_transaction(self, table: Table, ending: str) -> str:
        """The newest transaction id with this ending, "" if there is none."""
        return newest_transaction(table, ending)

    def schema(self, table: Table) -> pa.Schema:
        """The newest schema, in column order."""
        refuse_unreachable(table)
        return _log.arrow_schema(_log.open_table(table))

    def describe(self, table: Table, *, figures: bool = True) -> TableInfo | None:
        """The table as it stands, None if there is none."""
        refuse_unreachable(table)
        return _log.describe(table, figures=figures)

    def maintain(self, table: Table, policy: MaintenancePolicy, *, dry_run: bool) -> Upkeep:
        """Compact, order and vacuum a table; rows stay the same."""
        refuse_unreachable(table)
        return _upkeep.maintain(table, policy, self._retry, self._far, dry_run=dry_run)

    def versions(self, tables: Iterable[Table]) -> dict[str, int | Exception]:
        """The newest version of each table from the names of its log files, or its own error."""
        return _log.newest_versions(tables)
