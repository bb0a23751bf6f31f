"""What a kind of storage must give, and what the store of entities built on it gives to other plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kindling_entities.protocols.values import (
    DEFAULT_COMMIT,
    Commit,
    CommitInfo,
    CommitOptions,
    TableInfo,
    Transaction,
)

if TYPE_CHECKING:
    from kindling_entities.declare.entity import EntityDefinition


class StorageProvider(Protocol):
    """A kind of storage: delta, parquet, csv, json, memory, or a third party's.

    Made once per App by ``StorageKind.make``. Locations are absolute paths or URIs. A kind that can do more also has
    the methods of Protocols in ``storage.py``.
    """

    def read(
        self,
        entity: EntityDefinition,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any: ...

    def write(
        self,
        entity: EntityDefinition,
        location: str,
        frame: Any,
        mode: str,
        transaction: Transaction | None = None,
    ) -> Commit:
        """Write with mode "overwrite", "append" or "merge"."""

    def ensure(self, entity: EntityDefinition, location: str) -> bool: ...

    def exists(self, entity: EntityDefinition, location: str) -> bool: ...

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]: ...


class EntityProvider(Protocol):
    """Reads and writes entities by id. What other plugins build on."""

    def read_entity(
        self,
        entity_id: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any: ...

    def read_appends(
        self,
        entity_id: str,
        start_version: int,
        end_version: int | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> Any: ...

    def commits(self, entity_id: str, since: int | None = None) -> Sequence[CommitInfo]: ...

    def describe(self, entity_id: str) -> TableInfo | None: ...

    def write_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit: ...

    def append_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit: ...

    def merge_to_entity(
        self,
        entity_id: str,
        frame: Any,
        *,
        keys: Sequence[str] | None = None,
        transaction: Transaction | None = None,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit: ...

    def ensure_entity_table(self, entity_id: str) -> bool: ...

    def check_entity_exists(self, entity_id: str) -> bool: ...

    def get_entity_version(self, entity_id: str) -> int: ...

    def get_entity_versions(self, entity_ids: Sequence[str]) -> dict[str, int | Exception]: ...
