"""Which declaration, place, kind of storage and provider belong to an entity id."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling_entities.declare.checks import unknown_provider
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.places import root_of
from kindling_entities.manager import DataEntityManager
from kindling_entities.protocols import Engine, StorageProvider
from kindling_entities.providers.built_in import view_kind

if TYPE_CHECKING:
    from kindling_entities.declare.catalog import Catalog
    from kindling_entities.kinds import StorageKind
    from kindling_entities.read.views import Views


class EntityResolver:
    """The entities of a store. Makes the provider of each kind of storage on its first use; safe on any thread.

    Args:
        manager: the declarations and the kinds of storage.
        engine: passed to the providers.
        root: folder of the tables; a relative path starts from ``base_dir``.
        base_dir: absolute folder that a relative ``path`` of a declaration starts from.
        catalog: names the tables of the kinds of storage that support catalogs, in place of the root.
        views: entities that are computed when they are read.
        read: reads an input of a view, by entity id and version.

    Attributes:
        root: absolute path or URI.
    """

    def __init__(
        self,
        manager: DataEntityManager,
        engine: Engine,
        root: str | Path,
        base_dir: Path,
        catalog: Catalog | None,
        views: Views,
        read: Callable[[str, int | None], Any],
    ) -> None:
        self.root: Path | str = root_of(root, base_dir)
        self._manager = manager
        self._engine = engine
        self._base_dir = base_dir
        self._catalog = catalog
        self._views = views
        # An entity is a view because its pipe says so, whatever its declaration has for a provider.
        self._view_kind = view_kind(views, read)
        self._providers: dict[str, StorageProvider] = {}
        self._lock = threading.Lock()

    def find(self, entity_id: str) -> tuple[EntityDefinition, str, StorageProvider]:
        """Return the declaration of an entity, its location (path or URI) and its provider.

        Raises:
            UnknownEntityError, EntityDefinitionError: there is no such entity, or no such kind of storage.
        """
        entity = self._manager.get_entity_definition(entity_id)
        return entity, entity.resolve(self.root, self._base_dir), self._provider(entity_id)

    def kind(self, entity_id: str) -> StorageKind:
        """Return the kind of storage of an entity: that of its declared provider, or of views.

        Raises:
            UnknownEntityError, EntityDefinitionError: there is no such entity, or no such kind of storage.
        """
        entity = self._manager.get_entity_definition(entity_id)
        if entity_id in self._views:
            return self._view_kind
        if entity.provider not in self._manager.kinds:
            raise unknown_provider(entity, self._manager.kinds)
        return self._manager.kinds[entity.provider]

    def shown_location(self, entity_id: str) -> str:
        """Return where an entity lies, for people: an absolute path, a URI, or its name in the catalog."""
        entity, location, _ = self.find(entity_id)
        if self._catalog is not None and self.kind(entity_id).catalogs and self._catalog.names(entity):
            return ".".join(self._catalog.table_name(entity_id))
        return location

    def _provider(self, entity_id: str) -> StorageProvider:
        kind = self.kind(entity_id)
        with self._lock:
            if kind.name not in self._providers:
                make = kind.make
                self._providers[kind.name] = make(self._engine, self._catalog) if kind.catalogs else make(self._engine)
            return self._providers[kind.name]
