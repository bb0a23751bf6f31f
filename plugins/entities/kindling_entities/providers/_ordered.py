"""Merges with an order of changes, with deletes or full snapshots: histories, and tables where newer rows win."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.reserved import VALID_FROM
from kindling_entities.errors import ConflictError, VersionMoved
from kindling_entities.protocols import DEFAULT_COMMIT, Commit, CommitOptions, Engine, Table, TableInfo, Transaction
from kindling_entities.providers._deletes import deleting, flagged, unless_there, with_flag, without_flag
from kindling_entities.providers._events import Events
from kindling_entities.providers._fit import fitted
from kindling_entities.rules.key_equality import with_same_form
from kindling_entities.rules.refusals import empty_snapshot, refuse_missing_partitions, refuse_untyped
from kindling_entities.rules.schema_policy import evolved
from kindling_entities.write import newest_wins as newer
from kindling_entities.write import scd2
from kindling_entities.write.incoming import arrived

_ATTEMPTS = 20


def keep_history(
    engine: Engine,
    entity: EntityDefinition,
    table: Table,
    frame: Any,
    transaction: Transaction | None,
    options: CommitOptions = DEFAULT_COMMIT,
) -> Commit:
    """Merge changes into a history."""
    now = utc_now()
    keys = (*entity.keys, VALID_FROM)
    entity = deleting(entity) if options.deletes is not None else entity
    total: Commit | None = None
    with _held(engine, entity, frame, options) as (source, schema):
        if source is None:
            return _nothing(engine, table)
        for _ in range(_ATTEMPTS):
            state = engine.describe(table, figures=False)
            base = -1 if state is None else state.version
            history = scd2.plan(entity, schema, None if state is None else state.schema, now)
            _refuse_what_does_not_fit(table, schema, state)
            events = Events(engine, table, anew=state is None) if entity.sequence_by else None
            stored = None if state is None else scd2.Rows(engine.read(table, version=base), state.schema)
            rows = arrived(entity, source, schema, history.kinds)
            with engine.held(scd2.layout(history, rows, stored, events.rows if events else None)) as laid:
                counts = laid.selectExpr("count_if(remembered)", "count_if(action <> 'keep')").collect()[0]
                if events is not None and counts[0] and entity.sequence_by:
                    events.keep(scd2.event_rows(history, laid), (*entity.keys, entity.sequence_by), scd2.EVENT_RULES)
                if total is not None and not counts[1]:
                    if events is None or not events.moved():
                        return total
                    continue
                try:
                    with events.unless_refused() if events else nullcontext():
                        done = engine.merge(
                            table,
                            scd2.history_rows(history, laid),
                            keys,
                            transaction if total is None else None,
                            expected_version=base,
                            rules=scd2.RULES,
                            **_of_first(options, total),
                        )
                except VersionMoved:
                    # The timeline was laid out from rows that are no longer the newest.
                    continue
            total = done if total is None else _summed(total, done)
            # Another writer may have come between the reading and the merge, or between the two tables.
            alone = done.skipped or done.version is None or done.version <= base + 1
            if alone and (events is None or not events.moved()):
                return total
    raise _outrun(entity)


def merge_newer(
    engine: Engine,
    entity: EntityDefinition,
    table: Table,
    frame: Any,
    transaction: Transaction | None,
    options: CommitOptions = DEFAULT_COMMIT,
) -> Commit:
    """Merge changes into a table of the newest rows."""
    remembers = bool(entity.sequence_by and entity.delete_when)
    entity = deleting(entity) if options.deletes is not None else entity
    total: Commit | None = None
    with _held(engine, entity, frame, options) as (source, schema):
        if source is None:
            return _nothing(engine, table)
        for _ in range(_ATTEMPTS):
            state = engine.describe(table, figures=False)
            changes = newer.plan(entity, schema, None if state is None else state.schema)
            _refuse_what_does_not_fit(table, schema, state)
            events = Events(engine, table, anew=state is None) if remembers else None
            rows = arrived(entity, source, schema, changes.kinds)
            found = newer.newest(changes, rows, events.rows if events else None)
            with engine.held(found) as held:
                if events is not None and held.where("gone").limit(1).count():
                    events.keep(newer.event_rows(changes, held), entity.keys, newer.event_rules(changes))
                with events.unless_refused() if events else nullcontext():
                    done = engine.merge(
                        table,
                        newer.table_rows(changes, held),
                        entity.keys,
                        transaction if total is None else None,
                        rules=newer.rules(changes),
                        **_of_first(options, total),
                    )
            total = done if total is None else _summed(total, done)
            if done.skipped or events is None or not events.moved():
                return total
    raise _outrun(entity)


def utc_now() -> str:
    """The time of a write, ISO 8601."""
    return datetime.now(timezone.utc).isoformat()


@contextmanager
def _held(
    engine: Engine, entity: EntityDefinition, frame: Any, options: CommitOptions
) -> Iterator[tuple[Any | None, pa.Schema]]:
    """A frame that can be read again, and its schema; no frame where it has no rows and is to be left alone then."""
    seen: list[pa.Schema] = []

    def fit(actual: pa.Schema) -> pa.Schema:
        if options.deletes is None:
            seen.append(fitted(entity, actual) if entity.columns else actual)
            return seen[-1]
        stored = without_flag(actual)
        seen.append(fitted(entity, stored) if entity.columns else stored)
        return with_flag(seen[-1])

    if options.deletes is not None:
        frame = flagged(engine, entity, frame, options.deletes)
    with engine.held(engine.conform(frame, fit)) as source:
        if (entity.missing_rows != "keep" or options.skip_empty) and not source.take(1):
            if options.skip_empty:
                yield None, seen[-1]
                return
            raise empty_snapshot(entity)
        rows = with_same_form(source, entity.keys)
        yield (rows if options.deletes is None else unless_there(entity, rows)), seen[-1]


def _refuse_what_does_not_fit(table: Table, schema: pa.Schema, state: TableInfo | None) -> None:
    """Find out now what the engine would refuse after events were kept."""
    refuse_untyped(table, schema)
    if state is None:
        refuse_missing_partitions(table, schema)
        return
    # A policy that only logs does so when the table is written.
    quiet = replace(table, schema_policy="evolve") if table.schema_policy == "warn" else table
    made = [name for name in state.schema.names if name not in schema.names]
    evolved(quiet, pa.schema([field for field in state.schema if field.name not in made]), schema)


def _of_first(options: CommitOptions, total: Commit | None) -> dict[str, Any]:
    """What only the first commit of a write carries."""
    # Whether the frame has rows was checked before; the merged frame no longer shows it.
    wanted = replace(options, skip_empty=False, deletes=None)
    return {"options": wanted} if wanted and total is None else {}


def _nothing(engine: Engine, table: Table) -> Commit:
    found = engine.versions([table])[table.entity_id]
    version = found if isinstance(found, int) else None
    return Commit(version, version, rows_written=0, empty=True)


def _summed(total: Commit, done: Commit) -> Commit:
    return replace(
        total,
        version=done.version,
        rows_inserted=(total.rows_inserted or 0) + (done.rows_inserted or 0),
        rows_updated=(total.rows_updated or 0) + (done.rows_updated or 0),
        rows_deleted=(total.rows_deleted or 0) + (done.rows_deleted or 0),
        schema_change=total.schema_change or done.schema_change,
    )


def _outrun(entity: EntityDefinition) -> ConflictError:
    return ConflictError(
        f"Other writers committed to {entity.entity_id!r} first, {_ATTEMPTS} times in a row. Run it again."
    )
