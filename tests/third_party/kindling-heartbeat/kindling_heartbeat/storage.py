"""A kind of storage of its own: a folder an entity, with an Arrow IPC file for each version of the whole table."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from kindling_entities import (
    Commit,
    ConflictError,
    Drift,
    Engine,
    EntityDefinition,
    EntityNotFoundError,
    MaintenancePolicy,
    SchemaError,
    StorageError,
    TableInfo,
    Transaction,
    UnsupportedError,
    Upkeep,
)

ATTEMPTS = 20
_VERSION_FILE = re.compile(r"(\d{20})\.arrow")
# Application id -> version, the newest last; kept in the metadata of each file.
_TRANSACTIONS = b"heartbeat.transactions"


@dataclass(frozen=True)
class State:
    """One version of a table as it lies there."""

    version: int
    rows: pa.Table
    transactions: Mapping[str, int]


class ArrowTables:
    """Implements StorageProvider, TransactionalStorage and TableStorage.

    A version is committed by linking a complete file to a name that nobody has taken yet.
    """

    def __init__(self, engine: Engine, now: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._now = now

    def read(
        self,
        entity: EntityDefinition,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        if start_version is not None:
            raise UnsupportedError(f"Entity {entity.entity_id!r}: Arrow tables keep no changes between versions.")
        rows = self._state(entity, location, version).rows
        return self._engine.from_arrow(rows.select(list(columns)) if columns else rows)

    def write(
        self,
        entity: EntityDefinition,
        location: str,
        frame: Any,
        mode: str,
        transaction: Transaction | None = None,
    ) -> Commit:
        new = fitted(entity, self._engine.to_reader(frame).read_all())
        return self._commit(entity, location, transaction, lambda old: added(entity, old, new, mode), new.num_rows)

    def ensure(self, entity: EntityDefinition, location: str) -> bool:
        if self.exists(entity, location):
            return False
        empty = entity.arrow_schema().empty_table()
        return self._commit(entity, location, None, lambda old: empty if old is None else old, 0).created

    def exists(self, entity: EntityDefinition, location: str) -> bool:
        return bool(files_of(location))

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]:
        found: dict[str, int | Exception] = {}
        for entity_id, (entity, location) in entities.items():
            files = files_of(location)
            found[entity_id] = max(files) if files else not_found(entity, location)
        return found

    def committed(self, entity: EntityDefinition, location: str, transaction: Transaction) -> bool:
        known = self._state(entity, location).transactions if self.exists(entity, location) else {}
        return known.get(transaction.app_id, -1) >= transaction.version

    def newest_transaction(self, entity: EntityDefinition, location: str, ending: str) -> str:
        known = self._state(entity, location).transactions if self.exists(entity, location) else {}
        return next((app_id for app_id in reversed(list(known)) if app_id.endswith(ending)), "")

    def describe(self, entity: EntityDefinition, location: str, *, figures: bool = True) -> TableInfo | None:
        files = files_of(location)
        if not files:
            return None
        state = self._state(entity, location)
        schema = state.rows.schema
        if not figures:
            return TableInfo(state.version, schema)
        size = os.stat(files[state.version]).st_size
        return TableInfo(state.version, schema, rows=state.rows.num_rows, size_bytes=size, files=1)

    def damage(self, entity: EntityDefinition, location: str) -> list[str]:
        try:
            self.describe(entity, location)
        except StorageError as error:
            return [str(error)]
        return []

    def migrate(self, entity: EntityDefinition, location: str, drift: Drift) -> int | None:
        if drift.create:
            self.ensure(entity, location)
            return 0
        if not drift.steps:
            return None

        def migrated(old: pa.Table | None) -> pa.Table:
            assert old is not None
            for name, kind in zip(entity.arrow_schema().names, entity.arrow_schema().types, strict=True):
                if name in drift.add:
                    old = old.append_column(name, pa.nulls(old.num_rows, kind))
                elif name in drift.widen:
                    old = old.set_column(old.column_names.index(name), name, old[name].cast(kind))
            return old

        return self._commit(entity, location, None, migrated, 0).version

    def maintain(self, entity: EntityDefinition, location: str, *, dry_run: bool) -> Upkeep:
        policy, files = MaintenancePolicy.of(entity.maintenance), files_of(location)
        if not files:
            raise not_found(entity, location)
        oldest = self._now() - policy.retention_hours * 3600
        # A version is needed for as long as it was the newest at some moment that is retained.
        ended = {version: os.stat(files[version + 1]).st_mtime for version in files if version + 1 in files}
        old = [files[version] for version in sorted(ended) if policy.vacuum and ended[version] <= oldest]
        for path in old if not dry_run else ():
            os.unlink(path)
        return Upkeep(0, 0, tuple(map(str, old)), max(files))

    def _state(self, entity: EntityDefinition, location: str, version: int | None = None) -> State:
        files = files_of(location)
        if not files:
            raise not_found(entity, location)
        wanted = max(files) if version is None else version
        if wanted not in files:
            raise EntityNotFoundError(f"Entity {entity.entity_id!r}: version {wanted} is not kept at {location}.")
        try:
            with pa.OSFile(str(files[wanted])) as source:
                rows = pa.ipc.open_file(source).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"Entity {entity.entity_id!r}: {files[wanted]} cannot be read: {error}.") from error
        known = json.loads((rows.schema.metadata or {}).get(_TRANSACTIONS, b"{}"))
        return State(wanted, rows.replace_schema_metadata(), known)

    def _commit(
        self,
        entity: EntityDefinition,
        location: str,
        transaction: Transaction | None,
        make: Callable[[pa.Table | None], pa.Table],
        rows: int,
    ) -> Commit:
        """Commit what is made of the newest version; make it again where another writer was faster."""
        for _ in range(ATTEMPTS):
            state = self._state(entity, location) if self.exists(entity, location) else None
            old = None if state is None else state.version
            known = {} if state is None else dict(state.transactions)
            if transaction is not None:
                if known.pop(transaction.app_id, -1) >= transaction.version:
                    return Commit(old, old, rows_written=0, skipped=True)
                known[transaction.app_id] = transaction.version
            table = make(None if state is None else state.rows)
            version = 0 if old is None else old + 1
            if put(table.replace_schema_metadata({_TRANSACTIONS: json.dumps(known)}), Path(location), version):
                return Commit(version, old, rows_written=rows, created=old is None)
        raise ConflictError(f"Entity {entity.entity_id!r}: other writers were faster {ATTEMPTS} times. Run it again.")


def files_of(location: str) -> dict[int, Path]:
    """Version -> its file."""
    folder = Path(location)
    names = os.listdir(folder) if folder.is_dir() else []
    return {int(found[1]): folder / name for name in names if (found := _VERSION_FILE.fullmatch(name))}


def put(table: pa.Table, folder: Path, version: int) -> bool:
    """Write a version whole, or return False if there is one already."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{uuid.uuid4().hex}.part"
    try:
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        os.link(partial, folder / f"{version:020}.arrow")
    except FileExistsError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True


def fitted(entity: EntityDefinition, rows: pa.Table) -> pa.Table:
    """Cast the declared columns."""
    declared = entity.arrow_schema()
    missing = [name for name in declared.names if name not in rows.column_names]
    if missing:
        raise SchemaError(f"Entity {entity.entity_id!r}: the frame lacks the column(s) {', '.join(missing)}.")
    for index, name in enumerate(rows.column_names):
        if name in declared.names:
            try:
                rows = rows.set_column(index, name, rows[name].cast(declared.field(name).type))
            except pa.ArrowInvalid as error:
                raise SchemaError(f"Entity {entity.entity_id!r}: column {name!r}: {error}.") from error
    return rows.replace_schema_metadata()


def added(entity: EntityDefinition, old: pa.Table | None, new: pa.Table, mode: str) -> pa.Table:
    """The rows after a write."""
    if old is None or mode == "overwrite":
        return new
    try:
        return pa.concat_tables([old, new], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SchemaError(f"Entity {entity.entity_id!r}: the frame does not fit the table: {error}.") from error


def not_found(entity: EntityDefinition, location: str) -> EntityNotFoundError:
    """Word the error of a table that nobody has written."""
    return EntityNotFoundError(f"Entity {entity.entity_id!r}: no Arrow table at {location}.")
