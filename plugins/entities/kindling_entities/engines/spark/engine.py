"""``SparkEngine``: Spark computes, classic or through Spark Connect, and Delta Lake commits."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.declare.quoting import quote
from kindling_entities.engines._appends import appends_log
from kindling_entities.engines._clients import close_alone
from kindling_entities.engines._frames import is_frame, to_reader
from kindling_entities.engines._log import not_found
from kindling_entities.engines._retained import refuse_gone, refuse_gone_changes
from kindling_entities.engines._retry import Retry
from kindling_entities.engines._staging import Staging
from kindling_entities.engines.spark import _appends, _frames, _log, _session, _upkeep
from kindling_entities.engines.spark._definition import ensure
from kindling_entities.engines.spark._errors import mapped_errors
from kindling_entities.engines.spark._sift import ObservedSift
from kindling_entities.engines.spark._writer import SparkWriter
from kindling_entities.errors import EntityNotFoundError
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


class SparkEngine:
    """Tables on Spark with Delta Lake. Implements ``Engine``.

    A session that the process runs already is used (a platform's, a notebook's), else a session is started. It
    stays when the App closes: the process has no other, and other code may use it.

    Args:
        master, remote, conf: see ``build_session``.
        app_name: shown by Spark.
        staged_bytes: Arrow data above this size go to Spark through a Parquet file.
        max_attempts, sleep, jitter: see ``Retry``.
    """

    name = "spark"
    catalogs = True
    several_transactions = False
    streams = False

    def __init__(
        self,
        master: str | None = None,
        remote: str | None = None,
        conf: Mapping[str, str] | None = None,
        app_name: str = "kindling",
        staged_bytes: int = 8 * 1024 * 1024,
        max_attempts: int = 30,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._master = master
        self._remote = remote
        self._conf = dict(conf or {})
        self._app_name = app_name
        self._staged_bytes = staged_bytes
        self._spark: Any = None
        self._set = False
        self._clones: list[Any] = []
        self._lock = threading.RLock()
        self._staging = Staging(None)
        self._retry = Retry(max_attempts, sleep, jitter)
        self._writer = SparkWriter(self, self._retry)

    @property
    def session(self) -> Any:
        """The Spark session; found or started on first use."""
        self._staging.sweep()
        with self._lock:
            if self._spark is None:
                running = _session.running_session()
                if running is not None:
                    self._set = _session.write_microseconds(running)
                self._spark = running or _session.build_session(self._master, self._remote, self._conf, self._app_name)
            return self._spark

    def start(self) -> None:
        """Find or start the session; harmless when it runs."""
        self.session  # noqa: B018 - made on first use

    def stop(self) -> None:
        """Forget the session and remove staged files."""
        with self._lock:
            session, self._spark = self._spark, None
            was_set, self._set = self._set, False
        if was_set:
            _session.write_as_before(session)
        self._staging.remove()

    def activate(self) -> None:
        """Make ``session`` the active one of the calling thread."""
        session = self.session
        if _session.is_connect(session):
            type(session)._active_session.session = session
        else:
            # By its whole name: part by part each would be a question to the JVM.
            static = getattr(session._jvm, "org.apache.spark.sql.classic.SparkSession")
            static.setActiveSession(session._jsparkSession)

    def label(self, label: str) -> None:
        """Tag the Spark jobs of this thread."""
        self._staging.label(label)
        session = self.session
        if _session.is_connect(session):
            session.clearTags()
            session.addTag(label)
        else:
            # Of the context and not of a session: it holds for the sessions that writes clone, too.
            session.sparkContext.clearJobTags()
            session.sparkContext.addJobTag(label)

    def release(self, prefix: str) -> None:
        """Remove what was staged under names that begin so; nothing is staged under them any more."""
        self._staging.release(prefix)

    def release_changes(self, label: str) -> None:
        """Remove what was put aside for appends read under this name."""
        self._staging.release_for_pipe(label)

    def interrupt(self, label: str) -> None:
        """Cancel the Spark jobs with this tag."""
        with self._lock:
            session, clones = self._spark, list(self._clones)
        if session is None:
            return
        if not _session.is_connect(session):
            session.sparkContext.cancelJobsWithTag(label)
            return
        for each in (session, *clones):
            each.interruptTag(label)

    @contextlib.contextmanager
    def cloned(self) -> Iterator[Any]:
        """A session with the same settings and temporary views, for a single statement with settings of its own."""
        session = self.session
        if not _session.is_connect(session):
            yield type(session)(session.sparkContext, session._jsparkSession.cloneSession())
            return
        clone = session.cloneSession()
        close_alone(clone.client)
        for tag in session.getTags():
            clone.addTag(tag)
        with self._lock:
            self._clones.append(clone)
        try:
            yield clone
        finally:
            with self._lock:
                self._clones.remove(clone)
            # Not stop(): that would end a server which this process started.
            clone.client.release_session()
            clone.client.close()

    def read_parquet(self, paths: Sequence[str], schema: pa.Schema, footers: Sequence[Any] | None = None) -> Any:
        """A lazy frame of Parquet files that have this schema; a path is no pattern. Footers are read by Spark."""
        return self.session.read.parquet(*(re.sub(r"([\\\[\]{}*?])", r"\\\1", path) for path in paths))

    def from_arrow(self, data: pa.Table | pa.RecordBatch | pa.RecordBatchReader) -> Any:
        """Make a frame; large data go through a staged Parquet file where Spark shares this machine's files."""
        if isinstance(data, pa.RecordBatch):
            data = pa.Table.from_batches([data])
        staging = self._staging if self._shares_files() else None
        return _frames.from_arrow(self.session, data, staging, self._staged_bytes)

    def _shares_files(self) -> bool:
        """Whether Spark's workers read the files of this machine."""
        where = self._remote or self._master or self.session.conf.get("spark.master", "local")
        return bool(where.startswith("local"))

    def to_frame(self, frame: Any) -> Any:
        """A Spark frame of a Spark, Arrow or pandas frame."""
        if is_frame(frame):
            return frame
        reader = to_reader(frame)
        return self.from_arrow(reader if isinstance(frame, pa.RecordBatchReader) else reader.read_all())

    def to_reader(self, frame: Any) -> pa.RecordBatchReader:
        """The rows of a frame as record batches; Spark Connect streams them, classic Spark collects them first."""
        return to_reader(frame)

    def conform(self, frame: Any, wanted: Callable[[pa.Schema], pa.Schema]) -> Any:
        """Return the frame with the casts to the schema that ``wanted`` makes of its own; nothing is computed."""
        made = self.to_frame(frame)
        have = _frames.schema_of(made)
        return _frames.cast(made, have, wanted(have))

    @contextlib.contextmanager
    def held(self, frame: Any, storage_level: str | None = None) -> Iterator[Any]:
        """A frame that Spark caches while the block lasts."""
        from pyspark import StorageLevel

        made = self.to_frame(frame)
        made = made.persist() if storage_level is None else made.persist(getattr(StorageLevel, storage_level))
        try:
            yield made
        finally:
            made.unpersist()

    def sift(self, frame: Any, flags: Mapping[str, str]) -> Sifted:
        """Count flags, and leave rows out, in the job that writes the frame."""
        return ObservedSift(frame, flags)

    def read(self, table: Table, *, version: int | None = None, columns: Sequence[str] | None = None) -> Any:
        """Return a lazy frame pinned to a version."""
        session = self.session
        newest = _log.newest_version(session, table)
        if newest is None:
            raise not_found(table)
        if version is not None and not 0 <= version <= newest:
            raise EntityNotFoundError(f"{table.entity_id!r} has no version {version}; the newest is {newest}.")
        if version is not None and _log.is_local(table):
            refuse_gone(table, version)
        pinned = newest if version is None else version
        with mapped_errors(table, "Reading", wanted=(pinned, pinned)):
            frame = _log.at_version(session, table, pinned)
            return frame if columns is None else frame.select(*map(quote, columns))

    def read_changes(self, table: Table, start_version: int, end_version: int) -> Any:
        """Return the changes of (start_version, end_version] from the table's change feed."""
        session = self.session
        state = _log.describe(session, table, figures=False)
        if state is None:
            raise not_found(table)
        refuse_no_change_feed(table, state.properties)
        if start_version < end_version <= state.version and _log.is_local(table):
            refuse_gone_changes(table, start_version, end_version)
        with mapped_errors(table, "Reading changes", wanted=(start_version + 1, end_version)):
            reader = (
                session.read.format("delta")
                .option("readChangeFeed", "true")
                .option("startingVersion", min(start_version + 1, end_version))
                .option("endingVersion", end_version)
            )
            frame = reader.table(_log.identifier(table)) if table.name else reader.load(table.location)
            return frame if start_version < end_version else frame.limit(0)

    def read_appends(self, table: Table, start_version: int, end_version: int) -> Any:
        """Return a lazy frame of the rows that the commits of (start_version, end_version] added."""
        session = self.session
        newest = _log.newest_version(session, table)
        if newest is None:
            raise not_found(table)
        if not 0 <= end_version <= newest:
            raise EntityNotFoundError(f"{table.entity_id!r} has no version {end_version}; the newest is {newest}.")
        if _log.is_local(table) and self._shares_files():
            path = appends_log(table, start_version, end_version, self._staging)
            with mapped_errors(table, "Reading the appends of"):
                return session.read.format("delta").load(path)
        return _appends.read_appends(session, table, start_version, end_version)

    def commits(self, table: Table, since: int | None = None) -> list[CommitInfo]:
        """What the log says of the commits after a version, oldest first."""
        return _log.commits(self.session, table, since)

    def append(
        self,
        table: Table,
        frame: Any,
        transaction: Transaction | None = None,
        *,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Add the rows of a frame."""
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
        return self._writer.merge(table, frame, list(keys), options.after(transaction), expected_version, rules)

    def delete(self, table: Table, condition: str) -> Commit:
        """Remove the rows for which a condition is true."""
        return self._writer.delete(table, condition)

    def ensure(self, table: Table, schema: pa.Schema) -> bool:
        """Create an empty table if there is none; return whether it was created."""
        return ensure(self.session, table, schema)

    def exists(self, table: Table) -> bool:
        """Return whether the table has a commit."""
        return _log.newest_version(self.session, table) is not None

    def committed(self, table: Table, transaction: Transaction) -> bool:
        """Whether the table has this transaction, or a later one of the same application."""
        return _log.committed(self.session, table, transaction)

    def newest_transaction(self, table: Table, ending: str) -> str:
        """The newest transaction id with this ending, "" if there is none."""
        return _log.newest_transaction(self.session, table, ending)

    def schema(self, table: Table) -> pa.Schema:
        """The newest schema, in column order."""
        state = _log.describe(self.session, table, figures=False)
        if state is None:
            raise not_found(table)
        return state.schema

    def describe(self, table: Table, *, figures: bool = True) -> TableInfo | None:
        """The table as it stands, None if there is none; elsewhere than on this machine without its count of rows."""
        return _log.describe(self.session, table, figures=figures)

    def maintain(self, table: Table, policy: MaintenancePolicy, *, dry_run: bool) -> Upkeep:
        """Compact, order and vacuum a table; rows stay the same."""
        return _upkeep.maintain(self, table, policy, self._retry, dry_run=dry_run)

    def versions(self, tables: Iterable[Table]) -> dict[str, int | Exception]:
        """The newest version of each table, or its own error; tables by path cost no Spark job."""
        return _log.newest_versions(self.session, tables)
