"""Commits through delta-rs: append, overwrite, partition overwrite, merge; races, repeats and errors."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from kindling_entities.declare.casts import cast_reader
from kindling_entities.declare.schema import SchemaChange, compare, normal_schema
from kindling_entities.engines import _constraints
from kindling_entities.engines._constraints import Rules, rules_of
from kindling_entities.engines._frames import Source, Watched, to_reader, unless_empty
from kindling_entities.engines._log import append_only, arrow_schema, mapped_errors, not_found, open_if_exists
from kindling_entities.engines._partition_values import checker
from kindling_entities.engines._retry import RaceLost, Retry
from kindling_entities.engines._transactions import happened
from kindling_entities.engines.embedded._commit_options import (
    commit_properties,
    has_transaction,
    nothing_written,
    partition_columns,
)
from kindling_entities.engines.embedded._int96 import FarTimestamps
from kindling_entities.engines.embedded._merge import Merge, check_keys
from kindling_entities.engines.embedded._predicates import partition_predicate
from kindling_entities.engines.embedded._raw_paths import refuse_raw_paths
from kindling_entities.engines.embedded._settled import settled
from kindling_entities.engines.embedded._statistics import without_float_statistics
from kindling_entities.protocols import DEFAULT_COMMIT, Commit, CommitOptions, MergeRules, Table
from kindling_entities.rules.exact_duplicates import without_repeats
from kindling_entities.rules.refusals import (
    SHOWN_KEYS,
    refuse_missing_partitions,
    refuse_moved,
    refuse_repartitioned,
    refuse_unpartitioned,
    refuse_untyped,
    repeated_keys,
)
from kindling_entities.rules.schema_policy import apply_policy, evolved


class DeltaWriter:
    """Writes tables; every method either commits once or leaves the table as it was.

    Args:
        spool_bytes: rows that must be read twice are held in memory up to this size, beyond it on disk.
        folder: returns a folder for temporary files, which it may make.
        retry: how often a write that lost a race is tried again.
        far: refuses tables whose timestamps delta-rs would change.
    """

    def __init__(
        self,
        spool_bytes: int,
        folder: Callable[[], str],
        retry: Retry,
        far: FarTimestamps,
    ) -> None:
        self._far = far
        self._spool_bytes = spool_bytes
        self._folder = folder
        self._retry = retry

    def append(self, table: Table, frame: Any, how: CommitOptions) -> Commit:
        def attempt(opened: DeltaTable | None, source: _Readable) -> Commit:
            if opened is None:
                return self._write(table, None, source, source.schema, None, how, mode="error")
            target, change = evolved(table, arrow_schema(opened), source.schema)
            return self._write(table, opened, source, target, change, how, mode="append")

        return self._streamed(table, frame, how, attempt)

    def overwrite(self, table: Table, frame: Any, how: CommitOptions) -> Commit:
        def attempt(opened: DeltaTable | None, source: _Readable) -> Commit:
            if opened is None:
                return self._write(table, None, source, source.schema, None, how, mode="error")
            old = arrow_schema(opened)
            change = compare(old, source.schema)
            apply_policy(table, change)
            extra: dict[str, Any] = {}
            if change or old.names != source.schema.names or _repartitioned(table, opened):
                extra = {"schema_mode": "overwrite", "partition_by": list(table.partition_columns)}
            return self._write(table, opened, source, source.schema, change, how, mode="overwrite", **extra)

        return self._streamed(table, frame, how, attempt)

    def overwrite_partitions(self, table: Table, frame: Any, how: CommitOptions) -> Commit:
        names = list(table.partition_columns)
        refuse_unpartitioned(table)
        with self._spooled(table, frame) as source:
            refuse_missing_partitions(table, source.schema)
            present = _distinct(source, names)

            def attempt(opened: DeltaTable | None) -> Commit:
                readable = _Readable(source.schema, lambda: source.reader(source.schema))
                if opened is None:
                    return self._write(table, None, readable, source.schema, None, how, mode="error")
                refuse_repartitioned(table, opened.metadata().partition_columns)
                target, change = evolved(table, arrow_schema(opened), source.schema)
                if not source.rows and how.skip_empty:
                    return nothing_written(opened)
                if not source.rows:
                    return Commit(opened.version(), opened.version(), rows_written=0)
                wanted = present.cast(pa.schema([target.field(n) for n in names]))
                return self._write(
                    table,
                    opened,
                    readable,
                    target,
                    change,
                    how,
                    mode="overwrite",
                    predicate=partition_predicate(wanted),
                )

            return self._retried(table, how, attempt)

    def merge(
        self,
        table: Table,
        frame: Any,
        keys: list[str],
        how: CommitOptions,
        expected_version: int | None = None,
        rules: MergeRules | None = None,
    ) -> Commit:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(self._spooled(table, frame))
            if how.skip_empty and not source.rows:
                return self._retried(table, how, nothing_written)
            repeated = check_keys(table, source, keys)
            if repeated is not None:
                source = stack.enter_context(self._distinct_rows(table, source, keys, repeated))
            merge = Merge(table, source, keys, rules or MergeRules(), how, self._far, self._folder)

            def attempt(opened: DeltaTable | None) -> Commit:
                refuse_moved(table, expected_version, None if opened is None else opened.version())
                if opened is None:
                    readable = _Readable(merge.stored, merge.inserted)
                    # The frame has rows, so the table is made, even where the rules insert none of them.
                    made = self._write(
                        table, None, readable, merge.stored, None, replace(how, skip_empty=False), mode="error"
                    )
                    return Commit(
                        made.version,
                        rows_inserted=made.rows_written,
                        rows_updated=0,
                        rows_deleted=0,
                        created=True,
                    )
                return merge.into(opened)

            return self._retried(table, how, attempt)

    def delete(self, table: Table, condition: str) -> Commit:
        def attempt(opened: DeltaTable | None) -> Commit:
            if opened is None:
                raise not_found(table)
            before = opened.version()
            self._far.refuse(table, opened, "Deleting from")
            refuse_raw_paths(table, opened, "Deleting from")
            marker = uuid.uuid4().hex
            try:
                with mapped_errors(table, "Deleting from"):
                    properties = commit_properties(DEFAULT_COMMIT, marker, retry=False)
                    figures = opened.delete(condition, commit_properties=properties)
            except Exception as error:
                after = settled(table, marker, before, error)
                if after is None:
                    raise
                return Commit(after.version(), before)
            return Commit(opened.version(), before, rows_deleted=figures["num_deleted_rows"])

        return self._retried(table, DEFAULT_COMMIT, attempt)

    def ensure(self, table: Table, schema: pa.Schema) -> bool:
        if open_if_exists(table) is not None:
            return False
        normal = normal_schema(schema)
        empty = _Readable(normal, lambda: pa.RecordBatchReader.from_batches(normal, []))
        try:
            self._write(table, None, empty, normal, None, DEFAULT_COMMIT, mode="error")
        except RaceLost:
            return False
        return True

    def _write(
        self,
        table: Table,
        opened: DeltaTable | None,
        source: _Readable,
        target: pa.Schema,
        change: SchemaChange | None,
        how: CommitOptions,
        *,
        mode: str,
        **extra: Any,
    ) -> Commit:
        refuse_untyped(table, target)
        before = None if opened is None else opened.version()
        if opened is None:
            refuse_missing_partitions(table, target)
            extra = {
                "partition_by": list(table.partition_columns) or None,
                "description": table.description,
                "configuration": dict(table.properties) or None,
            }
        elif change and "schema_mode" not in extra:
            extra["schema_mode"] = "merge"
        named = extra.get("partition_by") if opened is None or "partition_by" in extra else partition_columns(opened)
        reader: pa.RecordBatchReader | None = None
        if how.skip_empty:
            with mapped_errors(table, "Computing rows for"):
                reader = unless_empty(source.open())
            if reader is None:
                return nothing_written(opened)
        rules = Rules() if opened is None else rules_of(opened)
        if mode == "overwrite" and opened is not None:
            if rules.append_only:
                raise append_only(table)
            refuse_raw_paths(table, opened, "Overwriting")
        if extra.get("schema_mode") == "overwrite":
            # A table that is defined anew loses its rules.
            rules = Rules()
        target = _constraints.fillable(rules, target, source.schema)
        checks = [checker(table, target, named or ()), _constraints.checker(table, rules)]
        watched = Watched(reader or source.open(), target, [check for check in checks if check is not None])
        marker = uuid.uuid4().hex
        # Only a plain append commutes with whatever was committed meanwhile.
        commutes = mode == "append" and not how.transactions and not change
        try:
            with mapped_errors(table, "Writing"):
                write_deltalake(
                    opened if opened is not None else table.location,
                    watched.reader(),
                    mode=mode,  # type: ignore[call-overload]
                    commit_properties=commit_properties(how, marker, retry=commutes),
                    writer_properties=without_float_statistics(target),
                    **extra,
                )
        except BaseException as error:
            if watched.error is not None:
                with mapped_errors(table, "Computing rows for"):
                    raise watched.error from None
            after = settled(table, marker, before, error) if isinstance(error, Exception) else None
            if after is None:
                broken = _constraints.explained(table, rules, error, lambda: again(source, target), self._folder())
                if broken is not None:
                    raise broken from error
                raise
            opened, created = after, opened is None
        else:
            created = opened is None
        return Commit(
            0 if opened is None else opened.version(),
            before,
            rows_written=watched.rows,
            created=created,
            schema_change=None if change is None else change.if_any,
        )

    def _streamed(
        self,
        table: Table,
        frame: Any,
        how: CommitOptions,
        attempt: Callable[[DeltaTable | None, _Readable], Commit],
    ) -> Commit:
        if isinstance(frame, pa.RecordBatchReader):
            # It can be read once only, and a lost race needs it again.
            with self._spooled(table, frame) as source:
                readable = _Readable(source.schema, lambda: source.reader(source.schema))
                return self._retried(table, how, lambda opened: attempt(opened, readable))
        waiting: list[pa.RecordBatchReader] = []

        def open_again() -> pa.RecordBatchReader:
            return waiting.pop() if waiting else to_reader(frame)

        def run(opened: DeltaTable | None) -> Commit:
            if not waiting:
                waiting.append(to_reader(frame))
            return attempt(opened, _Readable(waiting[0].schema, open_again))

        return self._retried(table, how, run)

    @contextlib.contextmanager
    def _spooled(self, table: Table, frame: Any) -> Iterator[Source]:
        with mapped_errors(table, "Spooling rows for"):
            source = Source(frame, self._spool_bytes, self._folder)
        try:
            yield source
        finally:
            source.close()

    @contextlib.contextmanager
    def _distinct_rows(self, table: Table, source: Source, keys: list[str], repeated: pa.Table) -> Iterator[Source]:
        """The source without exact repeats.

        Raises:
            MergeKeyError: rows of a key differ; names up to five keys.
        """
        different: list[Any] = []
        batches = without_repeats(source.batches(), keys, repeated, different)
        with self._spooled(table, pa.RecordBatchReader.from_batches(source.schema, batches)) as distinct:
            if different:
                named = list(dict.fromkeys(different))
                rows = [dict(zip(keys, key, strict=True)) for key in named[:SHOWN_KEYS]]
                raise repeated_keys(table, keys, len(named), rows)
            yield distinct

    def _retried(self, table: Table, how: CommitOptions, attempt: Callable[[DeltaTable | None], Commit]) -> Commit:
        def once() -> Commit:
            opened = open_if_exists(table)
            if opened is not None and happened(table, how.transactions, partial(has_transaction, opened)):
                return Commit(opened.version(), opened.version(), skipped=True)
            return attempt(opened)

        return self._retry.run(table, once)


class _Readable:
    """Rows that can be read again, with their schema."""

    def __init__(self, schema: pa.Schema, opener: Callable[[], pa.RecordBatchReader]) -> None:
        self.schema = schema
        self.open = opener


def again(source: _Readable, target: pa.Schema) -> pa.RecordBatchReader:
    """The rows of a write once more, as they were to be written."""
    return cast_reader(source.open(), target)


def _repartitioned(table: Table, opened: DeltaTable) -> bool:
    return partition_columns(opened) != list(table.partition_columns)


def _distinct(source: Source, names: list[str]) -> pa.Table:
    numbers = list(map(str, range(len(names))))
    schema = pa.schema([source.schema.field(n) for n in names])

    # By number, since a grouping takes a name that begins with a point or a bracket for a path.
    def grouped(part: pa.Table) -> pa.Table:
        return part.rename_columns(numbers).group_by(numbers).aggregate([]).select(numbers)

    parts = [grouped(pa.Table.from_batches([batch])) for batch in source.batches(names)]
    return grouped(pa.concat_tables([schema.empty_table().rename_columns(numbers), *parts])).rename_columns(names)
