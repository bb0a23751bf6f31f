"""Commits through Delta Lake: append, overwrite, partition overwrite, MERGE; races and repeats."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kindling_entities.declare.quoting import quote
from kindling_entities.declare.schema import SchemaChange, compare
from kindling_entities.engines._commit_info import user_metadata
from kindling_entities.engines._frames import is_frame
from kindling_entities.engines._log import append_only, not_found
from kindling_entities.engines._retry import Retry
from kindling_entities.engines._transactions import refuse_several
from kindling_entities.engines.spark import _frames, _log, _partitions
from kindling_entities.engines.spark._definition import delta_properties, ensure, make_schema
from kindling_entities.engines.spark._errors import mapped_errors
from kindling_entities.engines.spark._merge import bad_keys, clauses, inserted, without_helpers
from kindling_entities.errors import MergeKeyError
from kindling_entities.protocols import Commit, CommitOptions, MergeRules, Table, TableInfo
from kindling_entities.rules.key_equality import refuse_nested_keys
from kindling_entities.rules.refusals import (
    refuse_keys_not_stored,
    refuse_missing_keys,
    refuse_missing_partitions,
    refuse_moved,
    refuse_repartitioned,
    refuse_unpartitioned,
    refuse_untyped,
)
from kindling_entities.rules.schema_policy import apply_policy, evolved

if TYPE_CHECKING:
    from kindling_entities.engines.spark.engine import SparkEngine

_TRANSACTION = ("spark.databricks.delta.write.txnAppId", "spark.databricks.delta.write.txnVersion")
_MARKER = "spark.databricks.delta.commitInfo.userMetadata"


class SparkWriter:
    """Writes tables; every method either commits once or leaves the table as it was.

    Args:
        engine: gives the Spark session.
        retry: how often a write that lost a race is tried again.
    """

    def __init__(self, engine: SparkEngine, retry: Retry) -> None:
        self._engine = engine
        self._retry = retry

    def append(self, table: Table, frame: Any, how: CommitOptions) -> Commit:
        def attempt(state: TableInfo | None, source: Any, schema: pa.Schema) -> Commit:
            if state is None:
                return self._create(table, source, schema, how)
            target, change = evolved(table, state.schema, schema)
            target = _without_computed(state, target, schema)
            return self._save(table, state, source, schema, target, change, how, mode="append")

        return self._retried(table, frame, how, attempt)

    def overwrite(self, table: Table, frame: Any, how: CommitOptions) -> Commit:
        def attempt(state: TableInfo | None, source: Any, schema: pa.Schema) -> Commit:
            if state is None:
                return self._create(table, source, schema, how)
            _refuse_append_only(table, state)
            change = compare(state.schema, schema)
            apply_policy(table, change)
            extra = {}
            if change or state.schema.names != schema.names or state.partition_columns != table.partition_columns:
                extra = {"overwriteSchema": "true"}
            return self._save(table, state, source, schema, schema, change, how, mode="overwrite", extra=extra)

        return self._retried(table, frame, how, attempt)

    def overwrite_partitions(self, table: Table, frame: Any, how: CommitOptions) -> Commit:
        refuse_unpartitioned(table)

        def attempt(state: TableInfo | None, source: Any, schema: pa.Schema) -> Commit:
            refuse_missing_partitions(table, schema)
            if state is None:
                return self._create(table, source, schema, how)
            _refuse_append_only(table, state)
            refuse_repartitioned(table, state.partition_columns)
            target, change = evolved(table, state.schema, schema)
            extra = {"partitionOverwriteMode": "dynamic"}
            return self._save(table, state, source, schema, target, change, how, mode="overwrite", extra=extra)

        return self._retried(table, frame, how, attempt)

    def merge(
        self,
        table: Table,
        frame: Any,
        keys: list[str],
        how: CommitOptions,
        expected_version: int | None = None,
        rules: MergeRules | None = None,
    ) -> Commit:
        known: dict[str, Any] = {}

        def attempt(state: TableInfo | None, source: Any, schema: pa.Schema) -> Commit:
            source = known.get("distinct", source)
            refuse_moved(table, expected_version, None if state is None else state.version)
            refuse_missing_keys(table.entity_id, keys, schema)
            refuse_nested_keys(table.entity_id, keys, schema)
            try:
                if state is None:
                    made = self._create(table, *inserted(source, schema, keys, rules), how)
                    return Commit(
                        made.version,
                        rows_inserted=made.rows_written,
                        rows_updated=0,
                        rows_deleted=0,
                        created=True,
                        skipped=made.skipped,
                    )
                return self._merge(table, state, source, schema, keys, how, rules)
            except MergeKeyError as error:
                if "distinct" in known:
                    raise
                distinct = _frames.without_repeats(source, schema)
                bad = bad_keys(table, distinct, keys)
                if bad is not None:
                    raise bad from error.__cause__
                known["distinct"] = distinct
                return attempt(state, distinct, schema)

        return self._retried(table, frame, how, attempt)

    def _merge(
        self,
        table: Table,
        state: TableInfo,
        source: Any,
        schema: pa.Schema,
        keys: list[str],
        how: CommitOptions,
        rules: MergeRules | None,
    ) -> Commit:
        _refuse_append_only(table, state)
        refuse_keys_not_stored(table, keys, state.schema)
        helpers = [] if rules is None else [schema.field(name) for name in rules.helpers]
        target, change = evolved(table, state.schema, without_helpers(schema, rules))
        stored = pa.schema([field for field in target if field.name in schema.names])
        refuse_untyped(table, stored)
        given = pa.schema([*stored, *helpers])
        ready = _frames.guarded(_frames.cast(source, schema, given), given, keys)
        ready = _partitions.guarded(ready, table, given, state.partition_columns)
        view, marker = f"kindling_{uuid.uuid4().hex}", _new_marker(how)
        with mapped_errors(table, "Merging into"):
            ready.createOrReplaceTempView(view)
            # With evolution a column that the source lacks keeps its value, without it that is an error.
            on = " and ".join(f"t.{quote(key)} = s.{quote(key)}" for key in keys)
            statement = (
                f"merge with schema evolution into {_log.identifier(table)} t using {view} s on {on} "
                f"{clauses(stored, rules)}"
            )
            try:
                # The clone has settings of its own, so that other writes of this process do not see these.
                with self._engine.cloned() as session:
                    session.conf.set(_MARKER, marker)
                    for key, value in zip(_TRANSACTION, _pair(how), strict=False):
                        session.conf.set(key, value)
                    rows = session.sql(statement).collect()
            finally:
                self._engine.session.catalog.dropTempView(view)
        if not rows:
            return Commit(state.version, state.version, skipped=True)
        committed = _log.commit_with(self._engine.session, table, marker, state.version)
        return Commit(
            committed[0] if committed else state.version,
            state.version,
            rows_inserted=rows[0]["num_inserted_rows"],
            rows_updated=rows[0]["num_updated_rows"],
            rows_deleted=rows[0]["num_deleted_rows"],
            schema_change=change.if_any,
        )

    def delete(self, table: Table, condition: str) -> Commit:
        def attempt() -> Commit:
            session = self._engine.session
            before = _log.newest_version(session, table)
            if before is None:
                raise not_found(table)
            with mapped_errors(table, "Deleting from"):
                rows = session.sql(f"delete from {_log.identifier(table)} where {condition}").collect()
            return Commit(_log.newest_version(session, table), before, rows_deleted=rows[0][0] if rows else None)

        return self._retry.run(table, attempt)

    def _create(self, table: Table, source: Any, schema: pa.Schema, how: CommitOptions) -> Commit:
        refuse_missing_partitions(table, schema)
        if table.cluster_columns or (table.name and how.metadata):
            # A writer of frames cannot cluster; a table that is there already it keeps clustered. And a named table
            # is made by a CREATE TABLE AS SELECT, which keeps no user metadata.
            created = ensure(self._engine.session, table, schema)
            state = _log.describe(self._engine.session, table, figures=False)
            commit = self._save(table, state, source, schema, schema, None, how, mode="append")
            return replace(commit, created=created)
        extra = delta_properties(table)
        if table.name and table.location:
            extra["path"] = table.location
        make_schema(self._engine.session, table)
        return self._save(table, None, source, schema, schema, None, how, mode="error", extra=extra)

    def _save(
        self,
        table: Table,
        state: TableInfo | None,
        source: Any,
        schema: pa.Schema,
        target: pa.Schema,
        change: SchemaChange | None,
        how: CommitOptions,
        *,
        mode: str,
        extra: dict[str, str] | None = None,
    ) -> Commit:
        refuse_untyped(table, target)
        marker, before = _new_marker(how), None if state is None else state.version
        options = {"userMetadata": marker, **(extra or {})}
        options.update(zip(("txnAppId", "txnVersion"), _pair(how), strict=False))
        if change and "overwriteSchema" not in options:
            options["mergeSchema"] = "true"
        with mapped_errors(table, "Writing"):
            ready = _frames.cast(source, schema, target)
            kept = state is not None and "overwriteSchema" not in options
            named = state.partition_columns if state is not None and kept else table.partition_columns
            ready = _partitions.guarded(ready, table, target, named)
            # A frame's writer replaces a named table as a whole, definition and all, whichever way it is to overwrite.
            redefined = "overwriteSchema" in options and bool(table.partition_columns)
            if table.name and state is not None and not redefined:
                _insert(ready.writeTo(_log.identifier(table)), mode, options)
            else:
                writer = ready.write.format("delta").mode(mode).options(**options)
                if redefined:
                    writer = writer.options(**delta_properties(table))
                if table.partition_columns and (state is None or mode == "overwrite"):
                    writer = writer.partitionBy(*table.partition_columns)
                if table.name:
                    writer.saveAsTable(_log.identifier(table))
                else:
                    writer.save(table.location)
        committed = _log.commit_with(self._engine.session, table, marker, before)
        if committed is None:
            # Nothing was committed: the transaction was there already, or there was nothing to do.
            version = before if before is not None else _log.newest_version(self._engine.session, table)
            return Commit(version, version, rows_written=0, skipped=bool(how.transactions))
        version, metrics = committed
        if table.cluster_columns and "overwriteSchema" in options:
            # It replaces the table's definition, clustering included.
            columns = ", ".join(map(quote, table.cluster_columns))
            with mapped_errors(table, "Clustering"):
                self._engine.session.sql(f"alter table {_log.identifier(table)} cluster by ({columns})").collect()
        rows = metrics.get("numOutputRows")
        return Commit(
            version,
            before,
            rows_written=None if rows is None else int(rows),
            created=state is None,
            schema_change=None if change is None else change.if_any,
        )

    def _retried(
        self,
        table: Table,
        frame: Any,
        how: CommitOptions,
        attempt: Callable[[TableInfo | None, Any, pa.Schema], Commit],
    ) -> Commit:
        refuse_several(table, how.transactions, self._engine.name)
        source = self._engine.to_frame(frame)

        def state() -> TableInfo | None:
            return _log.describe(self._engine.session, table, figures=False)

        with contextlib.ExitStack() as stack:
            with mapped_errors(table, "Computing rows for"):
                schema = _frames.schema_of(source)
                if how.skip_empty:
                    if is_frame(frame) and not _is_kept(source):
                        # What is computed to see whether there is a row is not computed again.
                        source = stack.enter_context(self._engine.held(source))
                    if not source.take(1):
                        return _nothing(state())
            return self._retry.run(table, lambda: attempt(state(), source, schema))


def _without_computed(state: TableInfo, target: pa.Schema, given: pa.Schema) -> pa.Schema:
    """The columns to append: without those that the frame lacks and the table fills itself."""
    return pa.schema([f for f in target if f.name in given.names or f.name not in state.computed])


def _refuse_append_only(table: Table, state: TableInfo) -> None:
    """Refuse at once what Delta Lake would refuse after computing the rows, or let pass as long as none matches."""
    if state.properties.get("delta.appendOnly") == "true":
        raise append_only(table)


def _insert(writer: Any, mode: str, options: Mapping[str, str]) -> None:
    """Write into a table that is there; its definition stays, but for what the options let change."""
    from pyspark.sql.functions import lit

    by_partition = "partitionOverwriteMode" in options
    for key, value in options.items():
        if key != "partitionOverwriteMode":
            writer = writer.option(key, value)
    if mode == "append":
        writer.append()
    elif by_partition:
        writer.overwritePartitions()
    else:
        writer.overwrite(lit(True))


def _pair(how: CommitOptions) -> tuple[str, ...]:
    return next(((first.app_id, str(first.version)) for first in how.transactions), ())


def _new_marker(how: CommitOptions) -> str:
    """The user metadata of a commit: what the caller gave, and what finds the commit again in the log."""
    return user_metadata(uuid.uuid4().hex, how.metadata)


def _nothing(state: TableInfo | None) -> Commit:
    """The outcome of a write without rows whose caller wants no empty commit."""
    version = None if state is None else state.version
    return Commit(version, version, rows_written=0, empty=True)


def _is_kept(frame: Any) -> bool:
    """Whether a Spark frame is cached."""
    level = frame.storageLevel
    return bool(level.useMemory or level.useDisk)
