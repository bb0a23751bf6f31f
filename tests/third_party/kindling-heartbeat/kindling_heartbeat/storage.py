"""A kind of storage of its own: one Arrow IPC file an entity, replaced whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from kindling_entities import Commit, EntityNotFoundError


class ArrowFiles:
    """Implements the protocol StorageProvider."""

    write_modes = frozenset({"overwrite"})

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def read(
        self,
        entity: Any,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        if not Path(location).exists():
            raise EntityNotFoundError(f"Entity {entity.entity_id!r}: no Arrow file at {location}.")
        with pa.OSFile(location) as source:
            table = pa.ipc.open_file(source).read_all()
        return self._engine.from_arrow(table.select(list(columns)) if columns else table)

    def write(self, entity: Any, location: str, frame: Any, mode: str, transaction: Any = None) -> Commit:
        table = self._engine.to_reader(frame).read_all()
        partial = f"{location}.part"
        Path(location).parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(partial, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        created = not Path(location).exists()
        os.replace(partial, location)
        return Commit(version=self._version(location), rows_written=table.num_rows, created=created)

    def ensure(self, entity: Any, location: str) -> bool:
        return False

    def exists(self, entity: Any, location: str) -> bool:
        return Path(location).exists()

    def versions(self, entities: Mapping[str, tuple[Any, str]]) -> dict[str, int | Exception]:
        found: dict[str, int | Exception] = {}
        for entity_id, (_, location) in entities.items():
            try:
                found[entity_id] = self._version(location)
            except OSError as error:
                found[entity_id] = error
        return found

    @staticmethod
    def _version(location: str) -> int:
        return os.stat(location).st_mtime_ns
