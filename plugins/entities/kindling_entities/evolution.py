"""What a frame may change in the schema of a table, by the table's policy. The same for every engine."""

from __future__ import annotations

import logging

import pyarrow as pa

from kindling_entities.errors import SchemaError
from kindling_entities.protocols import Table
from kindling_entities.schema import SchemaChange, compare, widens

_log = logging.getLogger("kindling.entities")


def evolved(table: Table, old: pa.Schema, new: pa.Schema) -> tuple[pa.Schema, SchemaChange]:
    """Return the schema after adding rows of a frame (the table's columns, then new ones) and what changed.

    Raises:
        SchemaError: a column does not widen to the table's type, or the policy refuses the change.
    """
    change = compare(old, new)
    narrowed = {
        name: types for name, types in change.changed.items() if not widens(new.field(name).type, old.field(name).type)
    }
    if narrowed:
        listed = ", ".join(f"{n!r} is {o} in the table and {w} in the frame" for n, (o, w) in narrowed.items())
        raise SchemaError(f"{table.entity_id!r}: column {listed}. Cast it in the pipe, or overwrite the table once.")
    if change.removed and table.schema_policy == "fail":
        apply_policy(table, SchemaChange(change.added, change.removed))
    change = SchemaChange(added=change.added)
    apply_policy(table, change)
    return pa.schema([*old, *(new.field(name) for name in change.added)]), change


def apply_policy(table: Table, change: SchemaChange) -> None:
    """Let a change pass, log it, or refuse it, as the table's policy says.

    Raises:
        SchemaError: the policy is "fail".
    """
    if not change:
        return
    if table.schema_policy == "fail":
        raise SchemaError(
            f"The schema of {table.entity_id!r} would change: {change}. Nothing was written. "
            'Change the pipe, or declare schema_policy="evolve".'
        )
    if table.schema_policy == "warn":
        _log.warning("The schema of %r changes: %s", table.entity_id, change)
