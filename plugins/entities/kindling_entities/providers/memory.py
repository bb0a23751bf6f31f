"""Tables that live as long as their App."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

import pyarrow as pa

from kindling_entities.declare import schema as schemas
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.reserved import OWN_PREFIX, taken
from kindling_entities.engines._transactions import happened
from kindling_entities.errors import EntityNotFoundError, MergeKeyError, SchemaError, UnsupportedError
from kindling_entities.protocols import (
    DEFAULT_COMMIT,
    Commit,
    CommitInfo,
    CommitOptions,
    Engine,
    Table,
    TableInfo,
    Transaction,
)
from kindling_entities.providers._fit import declared_reader
from kindling_entities.rules.exact_duplicates import marks
from kindling_entities.rules.refusals import empty_snapshot
from kindling_entities.rules.schema_policy import refuse_other_case
from kindling_entities.write.incoming import condition


class MemoryProvider:
    """Keeps entities in Arrow. A version counts the writes; only the newest can be read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tables: dict[str, tuple[pa.Table, int]] = {}
        self._transactions: dict[tuple[str, str], int] = {}
        self._ids: dict[str, str] = {}
        self._commits: dict[str, list[CommitInfo]] = {}
        self._deleted: dict[str, dict[Any, Any]] = {}
        self._lock = threading.Lock()

    def read(
        self,
        entity: EntityDefinition,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Return a frame of the rows as they are now."""
        if entity.entity_id not in self._tables:
            raise _missing(entity.entity_id)
        table, newest = self._tables[entity.entity_id]
        if start_version is not None or version not in (None, newest):
            raise UnsupportedError(f"Entity {entity.entity_id!r}: memory keeps no versions. Use provider='delta'.")
        return self._engine.from_arrow(table if columns is None else table.select(list(columns)))

    def write(
        self,
        entity: EntityDefinition,
        location: str,
        frame: Any,
        mode: str,
        transaction: Transaction | None = None,
        *,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Replace all rows at once."""
        source = declared_reader(self._engine, entity, frame).read_all()
        transactions = options.after(transaction).transactions
        if options.skip_empty and not source.num_rows:
            at = self._tables[entity.entity_id][1] if entity.entity_id in self._tables else None
            return Commit(at, at, rows_written=0, empty=True)
        gone = self._gone(entity, source) if mode == "merge" else []
        name = entity.entity_id
        with self._lock:
            old, version = self._tables.get(name, (None, -1))
            before = None if old is None else version
            if happened(Table(name, location), transactions, partial(self._has, name)):
                return Commit(before, before, rows_written=0, skipped=True)
            counts: dict[str, Any] = {"rows_written": source.num_rows}
            new = source
            if mode == "merge":
                whole = _whole(entity, old, source)
                new, counts = _merged(entity, old, whole, gone, self._deleted.setdefault(name, {}))
            elif mode == "append" and old is not None:
                new = _joined(entity, old, source)
            change = None if old is None else _change(old.schema, source.schema, new.schema, mode).if_any
            if change and entity.schema_policy == "fail":
                raise SchemaError(f"Entity {name!r}: {change}. Its schema_policy is 'fail'.")
            if mode == "overwrite":
                self._deleted.pop(name, None)
            self._tables[name] = (new, version + 1)
            self._ids.setdefault(name, str(uuid.uuid4()))
            self._transactions.update({(name, done.app_id): done.version for done in transactions})
            self._commits.setdefault(name, []).append(
                CommitInfo(
                    version + 1,
                    datetime.now(timezone.utc),
                    mode.upper(),
                    dict(options.metadata),
                    transactions,
                    **counts,
                )
            )
        return Commit(version + 1, before, created=old is None, schema_change=change, **counts)

    def _gone(self, entity: EntityDefinition, source: pa.Table) -> list[bool]:
        """Whether each row of a merge deletes its key."""
        if entity.missing_rows != "keep" and not source.num_rows:
            raise empty_snapshot(entity)
        reserved = taken(source.column_names, entity) if entity.ordered else []
        if reserved:
            raise SchemaError(f"Entity {entity.entity_id!r}: column(s) {', '.join(reserved)} are made by its merges.")
        if entity.sequence_by and entity.sequence_by not in source.column_names:
            raise SchemaError(f"Entity {entity.entity_id!r}: column {entity.sequence_by!r}, its sequence, is missing.")
        if not entity.delete_when or not source.num_rows:
            return [False] * source.num_rows
        position = f"{OWN_PREFIX}position"
        numbered = source.append_column(position, pa.array(range(source.num_rows), pa.int64()))
        flags = self._engine.from_arrow(numbered).selectExpr(position, f"{condition(entity.delete_when)} as gone")
        found = self._engine.to_reader(flags).read_all().sort_by(position)
        return list(found["gone"].to_pylist())

    def ensure(self, entity: EntityDefinition, location: str) -> bool:
        """Keep an empty table of the declared columns if none exists."""
        if self.exists(entity, location):
            return False
        self.write(entity, location, schemas.to_arrow_schema(entity.columns).empty_table(), "overwrite")
        return True

    def exists(self, entity: EntityDefinition, location: str) -> bool:
        """Return whether something was written."""
        return entity.entity_id in self._tables

    def committed(self, entity: EntityDefinition, location: str, transaction: Transaction) -> bool:
        """Whether a write had this transaction, or a later one of the same application."""
        return self._has(entity.entity_id, transaction)

    def _has(self, name: str, transaction: Transaction) -> bool:
        return self._transactions.get((name, transaction.app_id), -1) >= transaction.version

    def describe(self, entity: EntityDefinition, location: str, *, figures: bool = True) -> TableInfo | None:
        """The rows as they are now, None if nothing was written."""
        name = entity.entity_id
        with self._lock:
            if name not in self._tables:
                return None
            rows, version = self._tables[name]
            return TableInfo(version, rows.schema, rows=rows.num_rows, size_bytes=rows.nbytes, table_id=self._ids[name])

    def commits(self, entity: EntityDefinition, location: str, since: int | None = None) -> list[CommitInfo]:
        """The writes after a version, oldest first.

        Raises:
            EntityNotFoundError: nothing was written.
        """
        with self._lock:
            if entity.entity_id not in self._tables:
                raise _missing(entity.entity_id)
            made = self._commits[entity.entity_id]
            return [commit for commit in made if since is None or commit.version > since]

    def newest_transaction(self, entity: EntityDefinition, location: str, ending: str) -> str | None:
        """None: what an earlier process has written is gone, and its transactions with it."""
        return None

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]:
        """Return how often each entity was written, counted from 0."""
        return {name: self._tables[name][1] if name in self._tables else _missing(name) for name in entities}


def _change(old: pa.Schema, source: pa.Schema, new: pa.Schema, mode: str) -> schemas.SchemaChange:
    lacks = {} if mode == "overwrite" else schemas.compare(old, source).removed
    return replace(schemas.compare(old, new), missing=lacks)


def _missing(entity_id: str) -> EntityNotFoundError:
    return EntityNotFoundError(f"Entity {entity_id!r}: nothing was written in this App yet.")


def _joined(entity: EntityDefinition, old: pa.Table, new: pa.Table) -> pa.Table:
    change = schemas.compare(old.schema, new.schema)
    refuse_other_case(entity.entity_id, old.schema, change.added)
    changed = change.changed
    if changed:
        shown = ", ".join(f"{name} is {was}, the frame has {now}" for name, (was, now) in changed.items())
        raise SchemaError(f"Entity {entity.entity_id!r}: {shown}. Cast it in the pipe.")
    return pa.concat_tables([old, new], promote_options="default")


def _whole(entity: EntityDefinition, old: pa.Table | None, source: pa.Table) -> pa.Table:
    """Give rows that replace others the columns that they lack, as a merge into a Delta table leaves them."""
    lacking = [] if old is None else [name for name in old.column_names if name not in source.column_names]
    if old is None or not lacking:
        return source
    places = {key: place for place, key in enumerate(_keys(entity, old))}
    kept = old.select(lacking).take(pa.array([places.get(key) for key in _keys(entity, source)], pa.int64()))
    for name in lacking:
        source = source.append_column(name, kept[name])
    return source


def _merged(
    entity: EntityDefinition, old: pa.Table | None, source: pa.Table, gone: list[bool], deleted: dict[Any, Any]
) -> tuple[pa.Table, dict[str, Any]]:
    """Merge as the entity declares.

    Args:
        gone: of each row of the source, whether it deletes its key.
        deleted: key -> sequence of its newest delete; changed in place.
    """
    newest = _newest(entity, source)
    sequence = source[entity.sequence_by].to_pylist() if entity.sequence_by else None
    stored_keys = [] if old is None else _keys(entity, old)
    compared = old is not None and entity.sequence_by in old.column_names
    was = old[entity.sequence_by].to_pylist() if compared and old is not None else None
    rows = dict(zip(stored_keys, was or [None] * len(stored_keys), strict=True))
    written, removed = [], set()
    counts = {"rows_inserted": 0, "rows_updated": 0, "rows_deleted": 0}
    for key, position in newest.items():
        at, goes = sequence[position] if sequence is not None else None, gone[position]
        if sequence is not None and entity.delete_when:
            known = deleted.get(key)
            if known is not None and known > at:
                at, goes = known, True
            elif goes:
                deleted[key] = at
        older = key in rows and at is not None and rows[key] is not None and at < rows[key]
        if older or (goes and key not in rows):
            continue
        if key in rows:
            removed.add(key)
            counts["rows_deleted" if goes else "rows_updated"] += 1
        else:
            counts["rows_inserted"] += 1
        if not goes:
            written.append(position)
    if entity.missing_rows == "delete":
        missing = [key for key in rows if key not in newest]
        removed.update(missing)
        counts["rows_deleted"] += len(missing)
    new = source.take(pa.array(written, pa.int64()))
    if old is None:
        return new, counts
    kept = old.filter(pa.array([key not in removed for key in stored_keys], pa.bool_()))
    return _joined(entity, kept, new), counts


def _newest(entity: EntityDefinition, source: pa.Table) -> dict[tuple[Any, ...], int]:
    """The position of the row of each key that counts.

    Raises:
        MergeKeyError: a key or sequence is null, or different rows have the same key (and sequence).
    """
    moment = [*entity.keys, *([entity.sequence_by] if entity.sequence_by else [])]
    label = {name: "sequence" if name == entity.sequence_by else name for name in moment}
    found: dict[tuple[Any, ...], int] = {}
    keys = _keys(entity, source)
    values = list(zip(*(source[name].to_pylist() for name in moment), strict=True))
    for value in values:
        if None in value:
            shown = ", ".join(f"{label[name]}={part!r}" for name, part in zip(moment, value, strict=True))
            raise MergeKeyError(f"Entity {entity.entity_id!r}: a key or sequence is null in the frame: {shown}.")
    if len(set(values)) < len(values):
        _, different = marks(source, moment, {})
        if different:
            shown = "; ".join(
                ", ".join(f"{label[name]}={part!r}" for name, part in zip(moment, key, strict=True))
                for key in sorted(set(different), key=repr)[:5]
            )
            raise MergeKeyError(f"Entity {entity.entity_id!r}: duplicate keys in the frame: {shown}.")
    for position, (key, value) in enumerate(zip(keys, values, strict=True)):
        if key not in found or (entity.sequence_by and value[-1] > values[found[key]][-1]):
            found[key] = position
    return found


def _keys(entity: EntityDefinition, table: pa.Table) -> list[tuple[Any, ...]]:
    missing = [key for key in entity.keys if key not in table.column_names]
    if missing:
        raise MergeKeyError(f"Entity {entity.entity_id!r}: key column(s) {', '.join(missing)} missing.")
    return list(zip(*(table[key].to_pylist() for key in entity.keys), strict=True))
