"""Delta tables: translates declarations into tables, which the engine reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kindling_entities.declare import schema as schemas
from kindling_entities.declare.catalog import Catalog
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.declare.quoting import quote
from kindling_entities.engines._damage import damage
from kindling_entities.errors import EntityDefinitionError
from kindling_entities.protocols import (
    DEFAULT_COMMIT,
    Commit,
    CommitInfo,
    CommitOptions,
    Engine,
    MergeRules,
    Table,
    TableInfo,
    Transaction,
    Upkeep,
)
from kindling_entities.providers._events import events_table, forget
from kindling_entities.providers._fit import fitted
from kindling_entities.providers._ordered import keep_history, merge_newer
from kindling_entities.write.migration import Drift, apply


class DeltaProvider:
    """Keeps entities in Delta tables of the App's engine."""

    def __init__(self, engine: Engine, catalog: Catalog | None = None) -> None:
        self._engine = engine
        self._catalog = catalog

    def table(self, entity: EntityDefinition, location: str) -> Table:
        """The physical table of an entity."""
        catalog = self._catalog if self._catalog is not None and self._catalog.names(entity) else None
        return Table(
            entity.entity_id,
            location if catalog is None or entity.path is not None else "",
            entity.partition_columns,
            entity.schema_policy,
            entity.description,
            dict(entity.properties),
            name=catalog.table_name(entity.entity_id) if catalog is not None else None,
            cluster_columns=entity.cluster_by,
        )

    def read(
        self,
        entity: EntityDefinition,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Return a frame of a version, or of the changes after ``start_version``."""
        table = self.table(entity, location)
        if start_version is None:
            return self._engine.read(table, version=version, columns=columns)
        if version is None:
            newest = self._engine.versions([table])[entity.entity_id]
            if isinstance(newest, Exception):
                raise newest
            version = newest
        changes = self._engine.read_changes(table, start_version, version)
        return changes if columns is None else changes.select(*columns, "_change_type", "_commit_version")

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
        """Write with mode "overwrite", "append" or "merge" in one commit."""
        table = self.table(entity, location)
        # An engine of an earlier contract is asked for no more than it had then.
        how: dict[str, Any] = {"options": options} if options else {}
        if entity.scd == 2 and mode == "merge":
            return keep_history(self._engine, entity, table, frame, transaction, options)
        if (entity.ordered or options.deletes is not None) and mode == "merge":
            return merge_newer(self._engine, entity, table, frame, transaction, options)
        if entity.columns:
            frame = self._engine.conform(frame, lambda actual: fitted(entity, actual))
        if mode == "merge":
            return self._engine.merge(table, frame, entity.keys, transaction, **how)
        if mode == "append":
            return self._engine.append(table, frame, transaction, **how)
        commit = self._engine.overwrite(table, frame, transaction, scope=entity.overwrite_scope, **how)
        if entity.sequence_by and entity.overwrite_scope == "table" and not commit.empty:
            forget(self._engine, table)
        return commit

    def read_appends(
        self,
        entity: EntityDefinition,
        location: str,
        start_version: int,
        end_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Return a frame of the rows that the versions after ``start_version`` added, up to the newest if None."""
        table = self.table(entity, location)
        if end_version is None:
            newest = self._engine.versions([table])[entity.entity_id]
            if isinstance(newest, Exception):
                raise newest
            end_version = newest
        rows = self._engine.read_appends(table, start_version, end_version)
        return rows if columns is None else rows.select(*map(quote, columns))

    def commits(self, entity: EntityDefinition, location: str, since: int | None = None) -> Sequence[CommitInfo]:
        """What the log says of the commits after a version, oldest first."""
        return self._engine.commits(self.table(entity, location), since)

    def merge_by(self, entity: EntityDefinition, location: str, frame: Any, rules: MergeRules) -> Commit:
        """Change the rows whose keys match, as rules say."""
        return self._engine.merge(self.table(entity, location), frame, entity.keys, rules=rules)

    def delete(self, entity: EntityDefinition, location: str, condition: str) -> Commit:
        """Remove the rows for which a condition is true."""
        return self._engine.delete(self.table(entity, location), condition)

    def ensure(self, entity: EntityDefinition, location: str) -> bool:
        """Create an empty table of the declared columns if none exists."""
        table = self.table(entity, location)
        if not entity.columns:
            if self._engine.exists(table):
                return False
            raise EntityDefinitionError(
                f"Entity {entity.entity_id!r} declares no columns, so no empty table can be made. Declare columns=..."
            )
        return self._engine.ensure(table, schemas.to_arrow_schema(entity.columns))

    def exists(self, entity: EntityDefinition, location: str) -> bool:
        """Return whether there is a table."""
        return self._engine.exists(self.table(entity, location))

    def committed(self, entity: EntityDefinition, location: str, transaction: Transaction) -> bool:
        """Whether the table has a transaction."""
        return self._engine.committed(self.table(entity, location), transaction)

    def newest_transaction(self, entity: EntityDefinition, location: str, ending: str) -> str | None:
        """The newest transaction id with this ending, "" if there is none."""
        return self._engine.newest_transaction(self.table(entity, location), ending)

    def describe(self, entity: EntityDefinition, location: str, *, figures: bool = True) -> TableInfo | None:
        """The table as it stands, None if there is none."""
        return self._engine.describe(self.table(entity, location), figures=figures)

    def damage(self, entity: EntityDefinition, location: str) -> list[str]:
        """What is wrong with the log and the data files, of a table by path on this machine."""
        table = self.table(entity, location)
        return damage(table) if table.name is None and "://" not in table.location else []

    def maintain(self, entity: EntityDefinition, location: str, *, dry_run: bool) -> Upkeep:
        """Maintain the table by its declared policy."""
        policy = MaintenancePolicy.of(entity.maintenance)
        if entity.cluster_by and not policy.order_by:
            policy = replace(policy, order_by=entity.cluster_by)
        table = self.table(entity, location)
        done = self._engine.maintain(table, policy, dry_run=dry_run)
        events = events_table(table)
        if not entity.sequence_by or not self._engine.exists(events):
            return done
        beside = self._engine.maintain(events, replace(policy, order_by=()), dry_run=dry_run)
        return replace(
            done,
            files_compacted=_sum(done.files_compacted, beside.files_compacted),
            files_written=_sum(done.files_written, beside.files_written),
            files_removed=(*done.files_removed, *beside.files_removed),
        )

    def migrate(self, entity: EntityDefinition, location: str, drift: Drift) -> int | None:
        """Do the steps of a drift; returns the version afterwards, None if nothing was to be done."""
        return apply(self._engine, entity, self.table(entity, location), drift)

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]:
        """Return the newest version of each table, or its error."""
        return self._engine.versions([self.table(entity, location) for entity, location in entities.values()])


def _sum(first: int | None, other: int | None) -> int | None:
    return None if first is None or other is None else first + other
