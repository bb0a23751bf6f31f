"""Tables that live as long as their App."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from kindling_entities import schema as schemas
from kindling_entities.entity import EntityDefinition
from kindling_entities.errors import EntityNotFoundError, MergeKeyError, SchemaError, UnsupportedError
from kindling_entities.evolution import refuse_other_case
from kindling_entities.protocols import Commit, Engine, Transaction
from kindling_entities.providers._fit import declared_reader


class MemoryProvider:
    """Keeps entities in Arrow. A version counts the writes; only the newest can be read."""

    write_modes = frozenset({"overwrite", "append", "merge"})

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tables: dict[str, tuple[pa.Table, int]] = {}
        self._transactions: dict[tuple[str, str], int] = {}
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
    ) -> Commit:
        """Replace the rows in one step."""
        source = declared_reader(self._engine, entity, frame).read_all()
        name = entity.entity_id
        with self._lock:
            old, version = self._tables.get(name, (None, -1))
            before = None if old is None else version
            known = -1 if transaction is None else self._transactions.get((name, transaction.app_id), -1)
            if transaction is not None and known >= transaction.version:
                return Commit(before, before, rows_written=0, skipped=True)
            counts: dict[str, Any] = {"rows_written": source.num_rows}
            new = source
            if mode == "merge":
                new, counts = _merged(entity, old, source)
            elif mode == "append" and old is not None:
                new = _joined(entity, old, source)
            change = None if old is None else schemas.compare(old.schema, new.schema) or None
            if change and entity.schema_policy == "fail":
                raise SchemaError(f"Entity {name!r}: {change}. Its schema_policy is 'fail'.")
            self._tables[name] = (new, version + 1)
            if transaction is not None:
                self._transactions[name, transaction.app_id] = transaction.version
        return Commit(version + 1, before, created=old is None, schema_change=change, **counts)

    def ensure(self, entity: EntityDefinition, location: str) -> bool:
        """Keep an empty table of the declared columns unless there is one."""
        if self.exists(entity, location):
            return False
        self.write(entity, location, schemas.to_arrow_schema(entity.columns).empty_table(), "overwrite")
        return True

    def exists(self, entity: EntityDefinition, location: str) -> bool:
        """Tell whether something was written."""
        return entity.entity_id in self._tables

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]:
        """Return how often each entity was written, counted from 0."""
        return {name: self._tables[name][1] if name in self._tables else _missing(name) for name in entities}


def _missing(entity_id: str) -> EntityNotFoundError:
    return EntityNotFoundError(f"Entity {entity_id!r}: nothing was written in this App yet.")


def _joined(entity: EntityDefinition, old: pa.Table, new: pa.Table) -> pa.Table:
    change = schemas.compare(old.schema, new.schema)
    refuse_other_case(entity.entity_id, old.schema, change.added)
    changed = change.changed
    if changed:
        told = ", ".join(f"{name} is {was}, the frame has {now}" for name, (was, now) in changed.items())
        raise SchemaError(f"Entity {entity.entity_id!r}: {told}. Cast it in the pipe.")
    return pa.concat_tables([old, new], promote_options="default")


def _merged(entity: EntityDefinition, old: pa.Table | None, source: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    new_keys = _keys(entity, source)
    seen: set[tuple[Any, ...]] = set()
    twice: set[tuple[Any, ...]] = set()
    for key in new_keys:
        if None in key:
            raise MergeKeyError(f"Entity {entity.entity_id!r}: a key is null in the frame: {key}.")
        (twice if key in seen else seen).add(key)
    if twice:
        raise MergeKeyError(f"Entity {entity.entity_id!r}: duplicate keys in the frame: {sorted(twice, key=repr)[:5]}.")
    if old is None:
        return source, {"rows_inserted": source.num_rows, "rows_updated": 0, "rows_deleted": 0}
    kept = old.filter(pa.array([key not in seen for key in _keys(entity, old)], pa.bool_()))
    updated = old.num_rows - kept.num_rows
    counts = {"rows_inserted": source.num_rows - updated, "rows_updated": updated, "rows_deleted": 0}
    return _joined(entity, kept, source), counts


def _keys(entity: EntityDefinition, table: pa.Table) -> list[tuple[Any, ...]]:
    missing = [key for key in entity.keys if key not in table.column_names]
    if missing:
        raise MergeKeyError(f"Entity {entity.entity_id!r}: key column(s) {', '.join(missing)} missing.")
    return list(zip(*(table[key].to_pylist() for key in entity.keys), strict=True))
