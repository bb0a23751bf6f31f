"""A table beside an entity's own, for events that its rows do not show but later changes depend on.

Of a history: rows that repeat the state before them, deletes of what is not there. Of a merge by sequence: deletes.
Written before the entity's table, so that nothing is forgotten if the process dies between the two; whoever writes
looks again afterwards whether another writer added events meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kindling_entities.errors import DataError, MergeKeyError, SchemaError, UnsupportedError
from kindling_entities.protocols import Engine, MergeRules, Table
from kindling_entities.write.scd2 import Rows

SUFFIX = "__kindling_events"


def events_table(table: Table) -> Table:
    """Where the events of a table lie."""
    return replace(
        table,
        entity_id=table.entity_id + SUFFIX,
        location=table.location.rstrip("/") + SUFFIX if table.location else "",
        name=(*table.name[:-1], table.name[-1] + SUFFIX) if table.name else None,
        partition_columns=(),
        cluster_columns=(),
        schema_policy="evolve",
        properties={},
        description=f"What later changes of {table.entity_id} depend on",
    )


class Events:
    """The events of a table, as an attempt to write sees them.

    Args:
        anew: the entity's table does not exist, so events that are there belong to a table that was removed.
    """

    def __init__(self, engine: Engine, table: Table, anew: bool) -> None:
        self._engine = engine
        self._table = events_table(table)
        self._anew = anew
        state = engine.describe(self._table, figures=False)
        self._version = -1 if state is None else state.version
        self._before = self._version
        self._kept = self._moved = False
        self.rows: Rows | None = None
        if state is not None and not anew:
            self.rows = Rows(engine.read(self._table, version=state.version), state.schema)

    def keep(self, rows: Any, keys: Sequence[str], rules: MergeRules) -> None:
        """Add events, or replace what is known of their moment as the rules say."""
        if self._anew and self._version >= 0:
            self._engine.overwrite(self._table, rows.drop(*rules.helpers).limit(0))
        commit = self._engine.merge(self._table, rows, keys, rules=rules)
        self._kept = True
        before = -1 if commit.old_version is None else commit.old_version
        self._moved = before != self._version and not self._anew
        self._version = self._version if commit.version is None else commit.version

    @contextmanager
    def unless_refused(self) -> Iterator[None]:
        """Forget what was kept if the entity's table refuses the rows, and so certainly stayed as it was."""
        try:
            yield
        except (DataError, SchemaError, MergeKeyError, UnsupportedError):
            if self._kept and not self.moved():
                before = self._engine.read(self._table, version=max(self._before, 0))
                self._engine.overwrite(self._table, before if self._before >= 0 else before.limit(0))
            raise

    def moved(self) -> bool:
        """Whether another writer added events since these were read."""
        newest = self._engine.versions([self._table])[self._table.entity_id]
        return self._moved or (newest if isinstance(newest, int) else -1) != self._version


def forget(engine: Engine, table: Table) -> None:
    """Remove the events of a table that was written anew."""
    events = events_table(table)
    if engine.exists(events):
        engine.overwrite(events, engine.read(events).limit(0))
