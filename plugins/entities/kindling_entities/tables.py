"""Tables as they stand: described, compared with their declaration, migrated, maintained, and changed row by row.

Works on every kind of storage whose provider is a ``TableStorage`` or ``RowStorage``. Whole frames are read by
``store.py`` and written by ``entity_writer.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from kindling_entities.commit_signals import new_operation, send_changes
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import UnknownEntityError, UnsupportedError
from kindling_entities.manager import DataEntityManager
from kindling_entities.protocols import Commit, MergeRules, StorageProvider, TableInfo, Upkeep
from kindling_entities.storage import DescribedStorage, RowStorage, TableStorage

if TYPE_CHECKING:
    from kindling_entities.write.migration import Drift


class Tables:
    """The tables of a store.

    Args:
        manager: the definitions; sends the signals.
        find: entity id -> its definition, where it lies, and the provider that keeps it.
    """

    def __init__(
        self,
        manager: DataEntityManager,
        find: Callable[[str], tuple[EntityDefinition, str, StorageProvider]],
    ) -> None:
        self._manager = manager
        self._find = find

    def ids(self, patterns: Sequence[str] = ()) -> list[str]:
        """Return the tables that this job writes, all or those that match a pattern or ``tag:x``.

        Raises:
            UnknownEntityError: a pattern matches none.
        """
        mine = {}
        for entity_id in [*self._manager.get_entity_ids(), *self.left_quarantines()]:
            entity, _, provider = self._find(entity_id)
            if isinstance(provider, TableStorage) and not entity.read_only:
                mine[entity_id] = entity
        found: dict[str, None] = dict.fromkeys(mine) if not patterns else {}
        for pattern in patterns:
            name, _, value = pattern.removeprefix("tag:").partition("=")
            matching = [
                entity_id
                for entity_id, entity in mine.items()
                if (name in entity.tags and value in ("", entity.tags[name]))
                or (not pattern.startswith("tag:") and fnmatchcase(entity_id, pattern))
            ]
            if not matching:
                raise UnknownEntityError(pattern, mine)
            found.update(dict.fromkeys(matching))
        return list(found)

    def left_quarantines(self) -> list[str]:
        """Return the quarantines with rows whose entities have no expectation any more that fills them."""
        left = []
        for entity_id in self._manager.get_left_quarantine_ids():
            entity, location, provider = self._find(entity_id)
            if self._manager.kinds[entity.provider].durable and provider.exists(entity, location):
                left.append(entity_id)
        return left

    def describe(self, entity_id: str) -> TableInfo | None:
        """Return a table as it stands; None if there is none, or if its kind of storage describes none."""
        entity, location, provider = self._find(entity_id)
        return provider.describe(entity, location) if isinstance(provider, DescribedStorage) else None

    def damage(self, entity_id: str) -> list[str]:
        """Return what is wrong with the stored files of a table; empty if nothing is known to be."""
        entity, location, provider = self._find(entity_id)
        return provider.damage(entity, location) if isinstance(provider, TableStorage) else []

    def drift(self, entity_id: str) -> Drift:
        """Return how a table differs from its declaration.

        Raises:
            UnsupportedError: it is no table that this job writes.
        """
        from kindling_entities.write.migration import compare

        entity, location, provider = self._table(entity_id)
        return compare(entity, provider.describe(entity, location, figures=False))

    def migrate(self, entity_id: str, drift: Drift) -> int | None:
        """Do the steps of a drift in one commit; return the version afterwards, None if there were none.

        Raises:
            UnsupportedError: it is no table that this job writes, or its storage cannot do a step.
        """
        entity, location, provider = self._table(entity_id)
        version = provider.migrate(entity, location, drift)
        if version is not None and not drift.create:
            self._manager.emit(
                "entity.schema_changed",
                entity_id=entity_id,
                added=list(drift.add),
                removed=[],
                changed=list(drift.widen),
            )
        return version

    def maintain(self, entity_id: str, *, dry_run: bool = True) -> Upkeep:
        """Maintain a table by its declared policy (files, order, old versions), or say what that would do.

        Raises:
            UnsupportedError: it is no table that this job writes.
        """
        entity, location, provider = self._table(entity_id)
        started = time.perf_counter()
        done = provider.maintain(entity, location, dry_run=dry_run)
        if not dry_run:
            self._manager.emit(
                "entity.maintained",
                entity_id=entity_id,
                files_compacted=done.files_compacted,
                files_written=done.files_written,
                files_removed=len(done.files_removed),
                duration_seconds=time.perf_counter() - started,
                version=done.version,
            )
        return done

    def merge_by(self, entity_id: str, frame: Any, rules: MergeRules) -> Commit:
        """Change the rows of a table whose keys match, as rules say, in one commit.

        Raises:
            UnsupportedError: the storage changes no rows by conditions, or the entity is a source.
        """
        entity, location, provider = self._rows(entity_id)
        return self._sent(entity_id, provider.merge_by(entity, location, frame, rules))

    def delete(self, entity_id: str, condition: str) -> Commit:
        """Remove the rows of a table for which a condition is true, in one commit.

        Raises:
            UnsupportedError: the storage changes no rows by conditions, or the entity is a source.
        """
        entity, location, provider = self._rows(entity_id)
        return self._sent(entity_id, provider.delete(entity, location, condition))

    def _sent(self, entity_id: str, commit: Commit) -> Commit:
        send_changes(self._manager, new_operation(entity_id), commit)
        return commit

    def _table(self, entity_id: str) -> tuple[EntityDefinition, str, TableStorage]:
        entity, location, provider = self._find(entity_id)
        if not isinstance(provider, TableStorage) or entity.read_only:
            raise UnsupportedError(f"Entity {entity_id!r} is no table that this job writes, so it is left as it is.")
        return entity, location, provider

    def _rows(self, entity_id: str) -> tuple[EntityDefinition, str, RowStorage]:
        entity, location, provider = self._find(entity_id)
        if not isinstance(provider, RowStorage) or entity.read_only:
            raise UnsupportedError(
                f"Entity {entity_id!r} is no table that this job writes, or one (provider {entity.provider!r}) whose "
                "rows cannot be changed by a condition. It is left as it is."
            )
        return entity, location, provider
