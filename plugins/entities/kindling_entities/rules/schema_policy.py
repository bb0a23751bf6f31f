"""What a frame may change in the schema of a table, by the table's policy. The same for every engine."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pyarrow as pa

from kindling_entities.declare.schema import SchemaChange, compare, refuse_nameless, widens
from kindling_entities.errors import SchemaError
from kindling_entities.protocols import Table

_log = logging.getLogger("kindling.entities")


def evolved(table: Table, old: pa.Schema, new: pa.Schema) -> tuple[pa.Schema, SchemaChange]:
    """Return the schema after adding rows of a frame (the table's columns, then new ones) and what changed.

    Raises:
        SchemaError: a column does not widen to the table's type, or the policy refuses the change.
    """
    change = compare(old, new)
    refuse_nameless(new)
    refuse_other_case(table.entity_id, old, change.added)
    narrowed = {
        name: types for name, types in change.changed.items() if not widens(new.field(name).type, old.field(name).type)
    }
    if narrowed:
        listed = ", ".join(f"{n!r} is {o} in the table and {w} in the frame" for n, (o, w) in narrowed.items())
        raise SchemaError(f"{table.entity_id!r}: column {listed}. Cast it in the pipe, or overwrite the table once.")
    if change.removed and table.schema_policy == "fail":
        apply_policy(table, SchemaChange(change.added, change.removed))
    change = SchemaChange(added=change.added, missing=change.removed)
    apply_policy(table, change)
    return pa.schema([*old, *(new.field(name) for name in change.added)]), change


def refuse_other_case(entity_id: str, old: pa.Schema, added: Iterable[str]) -> None:
    """Refuse new columns that the table has already, written in other case.

    Raises:
        SchemaError: names both.
    """
    stored = {name.lower(): name for name in old.names}
    for name in added:
        if name.lower() in stored:
            raise SchemaError(
                f"Column {name!r} of the frame for {entity_id!r} is {stored[name.lower()]!r} in the table, which "
                "ignores case. Nothing was written. Rename it in the pipe."
            )


def apply_policy(table: Table, change: SchemaChange) -> None:
    """Let a change pass, log it, or refuse it, as the table's policy says.

    Raises:
        SchemaError: the policy is "fail".
    """
    if change.if_any is None:
        return
    if change and table.schema_policy == "fail":
        raise SchemaError(
            f"The schema of {table.entity_id!r} would change: {change}. Nothing was written. "
            'Change the pipe, or declare schema_policy="evolve".'
        )
    if table.schema_policy == "warn":
        what = "The schema of %r changes: %s" if change else "The frame for %r has not all columns of the table: %s"
        _log.warning(what, table.entity_id, change)
