"""Entities as Arrow IPC files: one file a version, each written whole before it gets its name."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from kindling_entities import (
    Commit,
    ConflictError,
    Engine,
    EntityDefinition,
    EntityNotFoundError,
    SchemaError,
    Transaction,
    UnsupportedError,
)


class ArrowProvider:
    """Provider ``arrow``: version 3 of an entity is the file ``3.arrow`` in its folder."""

    write_modes = frozenset({"overwrite", "append"})

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(
        self,
        entity: EntityDefinition,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Return a frame of one version."""
        if start_version is not None:
            raise UnsupportedError(f"Entity {entity.entity_id!r}: arrow files keep no changes. Read a whole version.")
        table = _load(entity, location, _newest(entity, location) if version is None else version)
        return self._engine.from_arrow(table if columns is None else table.select(list(columns)))

    def write(
        self,
        entity: EntityDefinition,
        location: str,
        frame: Any,
        mode: str,
        transaction: Transaction | None = None,
    ) -> Commit:
        """Write the next version; an append starts it with the rows of the one before."""
        _refuse_what_is_ignored(entity, transaction)
        reader = self._engine.to_reader(frame)
        kept = _versions(location)
        old = max(kept, default=None)
        before = _load(entity, location, old) if mode == "append" and old is not None else None
        if before is not None and not before.schema.equals(reader.schema):
            raise SchemaError(
                f"Entity {entity.entity_id!r}: the frame's columns differ from those of version {old}. "
                "Select and cast the same columns in the pipe."
            )
        version = 0 if old is None else old + 1
        rows = _store(entity, location, version, reader, before)
        return Commit(version, old, rows_written=rows, created=old is None)

    def ensure(self, entity: EntityDefinition, location: str) -> bool:
        """Refuse: without declared columns there is no empty file to write."""
        if self.exists(entity, location):
            return False
        raise UnsupportedError(f"Entity {entity.entity_id!r}: provider 'arrow' cannot make empty tables. Write rows.")

    def exists(self, entity: EntityDefinition, location: str) -> bool:
        """Tell whether there is a version."""
        return bool(_versions(location))

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]:
        """Return the newest version of each entity, or its error."""
        found: dict[str, int | Exception] = {}
        for entity_id, (entity, location) in entities.items():
            try:
                found[entity_id] = _newest(entity, location)
            except EntityNotFoundError as error:
                found[entity_id] = error
        return found


def _refuse_what_is_ignored(entity: EntityDefinition, transaction: Transaction | None) -> None:
    unused = {
        "a transaction id": transaction,
        "overwrite_scope='partitions'": entity.overwrite_scope != "table",
        "columns": entity.columns,
    }
    for what, given in unused.items():
        if given:
            raise UnsupportedError(f"Entity {entity.entity_id!r}: provider 'arrow' has no {what}. Use 'delta'.")


def _versions(location: str) -> list[int]:
    return [int(path.stem) for path in Path(location).glob("*.arrow") if path.stem.isdigit()]


def _newest(entity: EntityDefinition, location: str) -> int:
    kept = _versions(location)
    if not kept:
        raise EntityNotFoundError(f"Entity {entity.entity_id!r}: no arrow file in {location}. Run its pipe first.")
    return max(kept)


def _load(entity: EntityDefinition, location: str, version: int) -> pa.Table:
    try:
        with pa.ipc.open_file(str(Path(location, f"{version}.arrow"))) as reader:
            return reader.read_all()
    except FileNotFoundError:
        raise EntityNotFoundError(f"Entity {entity.entity_id!r}: no version {version} in {location}.") from None


def _store(
    entity: EntityDefinition, location: str, version: int, reader: pa.RecordBatchReader, before: pa.Table | None
) -> int:
    """Write a version under a name of its own, then link it: a second writer of the same version fails."""
    os.makedirs(location, exist_ok=True)
    partial = Path(location, f".{uuid.uuid4().hex}")
    rows = 0
    try:
        with pa.ipc.new_file(str(partial), reader.schema) as writer:
            for batch in before.to_batches() if before is not None else ():
                writer.write_batch(batch)
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
        os.link(partial, Path(location, f"{version}.arrow"))
    except FileExistsError:
        raise ConflictError(f"Entity {entity.entity_id!r}: another writer made version {version} first.") from None
    finally:
        partial.unlink(missing_ok=True)
    return rows
