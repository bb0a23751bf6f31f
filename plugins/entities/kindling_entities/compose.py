"""Puts the feature together for an App: kinds of storage, engine, catalog, and the places of all entities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from kindling_core.errors import ConfigError, did_you_mean
from kindling_entities.declare.catalog import Catalog
from kindling_entities.declare.places import Locations, root_of
from kindling_entities.kinds import EngineKind, StorageKind, engine_kinds, storage_kinds

if TYPE_CHECKING:
    from kindling_core.app import App
    from kindling_entities.declare.entity import EntityDefinition
    from kindling_entities.manager import DataEntityManager
    from kindling_entities.protocols import Engine
    from kindling_entities.read.views import Views


def storage_of(app: App) -> Mapping[str, StorageKind]:
    """Return the kinds of storage that the job's features offer."""
    return storage_kinds(app.host.results("kindling_entity_providers"))


def engine_of(app: App) -> EngineKind:
    """Return the engine that the job names.

    Raises:
        ConfigError: no feature of the job offers it, or the job names a catalog and it has none.
    """
    settings = app.config.section("entities")
    known = engine_kinds(app.host.results("kindling_engines"))
    if settings.engine not in known:
        raise ConfigError(
            f"entities.engine: unknown engine {settings.engine!r}.{did_you_mean(settings.engine, known)} "
            f"Known: {', '.join(sorted(known))}."
        )
    kind = known[settings.engine]
    if settings.catalog is not None and not kind.catalogs:
        others = " or ".join(repr(candidate.name) for candidate in known.values() if candidate.catalogs)
        raise ConfigError(
            f"entities.catalog: the {kind.name} engine knows no catalogs; set engine to {others}, or leave out catalog."
        )
    return kind


def catalog_of(app: App, engine: Engine, entities: Iterable[EntityDefinition]) -> Catalog | None:
    """Return the catalog that names tables; None where the job names none, or the engine that was taken has none.

    Args:
        entities: of kinds that a catalog can name.

    Raises:
        ConfigError: two entities would be the same table.
    """
    settings = app.config.section("entities")
    if settings.catalog is None or not engine.catalogs:
        return None
    catalog = Catalog(settings.catalog, settings.schemas)
    catalog.check(entities)
    return catalog


class Declarations:
    """The checks of all entities of an App together; they run again whenever entities are added."""

    def __init__(self, manager: DataEntityManager, views: Views) -> None:
        self._manager = manager
        self._views = views
        self._locations = Locations()

    def of_kinds(self, wanted: Callable[[StorageKind], bool]) -> list[EntityDefinition]:
        """Return the entities that are stored in a kind of storage for which this is true."""
        found = map(self._manager.get_entity_definition, self._manager.get_entity_ids())
        kinds = self._manager.kinds
        return [entity for entity in found if entity.entity_id not in self._views and wanted(kinds[entity.provider])]

    def check_places(self, app: App, in_catalog: bool) -> None:
        """Refuse entities that share files. Where other kinds of storage keep their rows is their own affair.

        Args:
            in_catalog: a catalog says where tables lie that have no path.

        Raises:
            EntityDefinitionError: names both entities with their lines.
        """
        kinds = self._manager.kinds
        in_files = self.of_kinds(lambda kind: kind.in_files)
        placed = [
            entity
            for entity in in_files
            if not (in_catalog and entity.path is None and kinds[entity.provider].catalogs)
        ]
        self._locations.check(placed, root_of(app.config.section("entities").root, app.base_dir), app.base_dir)
