"""Names of tables in a catalog: Unity Catalog, a Hive metastore, or any other catalog of the Spark session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kindling_core.errors import ConfigError
from kindling_entities.declare.entity import EntityDefinition

_DEFAULT_SCHEMA = "default"


@dataclass(frozen=True)
class Catalog:
    """How an entity is called in a catalog.

    Attributes:
        name: of the catalog; ``spark_catalog`` is the session's own, such as a Hive metastore.
        schemas: layer -> schema, for layers whose schema has another name.
    """

    name: str
    schemas: Mapping[str, str] = field(default_factory=dict)

    def table_name(self, entity_id: str) -> tuple[str, str, str]:
        """Return catalog, schema and table: ``silver.flights`` becomes ``main.silver.flights``.

        An id with a single part lies in the schema ``default``; parts after the second are joined by ``_``.
        """
        layer, _, rest = entity_id.rpartition(".") if entity_id.count(".") < 2 else entity_id.partition(".")
        layer = layer or _DEFAULT_SCHEMA
        return self.name, self.schemas.get(layer, layer), rest.replace(".", "_")

    def names(self, entity: EntityDefinition) -> bool:
        """Whether an entity, of a kind that catalogs can name, is a table of this catalog: sources lie elsewhere."""
        return not entity.read_only

    def check(self, entities: Iterable[EntityDefinition]) -> None:
        """Refuse two entities that would be the same table.

        Args:
            entities: of kinds that catalogs can name.

        Raises:
            ConfigError: names both.
        """
        taken: dict[tuple[str, ...], str] = {}
        for entity in entities:
            if not self.names(entity):
                continue
            # Catalogs ignore case.
            name = tuple(part.lower() for part in self.table_name(entity.entity_id))
            other = taken.setdefault(name, entity.entity_id)
            if other != entity.entity_id:
                raise ConfigError(
                    f"entities.catalog: {other!r} and {entity.entity_id!r} would both be the table "
                    f"{'.'.join(name)}. Rename one, or map their layers in entities.schemas."
                )
