"""Bring real tables to what is declared: what can be done without guessing, and what a person must decide.

Pure planning; ``apply`` does it with the engine's ordinary writes, each one commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from kindling_entities.declare import schema as schemas
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.types import type_name
from kindling_entities.protocols import Engine, Table, TableInfo


@dataclass(frozen=True)
class Drift:
    """How a table differs from its declaration.

    Attributes:
        create: there is no table.
        add: declared columns that the table lacks.
        widen: column -> (type it has, declared type that holds all its values).
        repartition: the declared partition columns, where they differ.
        undeclared: columns that the declaration does not name. A pipe may add them; nothing is removed.
        conflicts: what is never guessed: a type that would lose values, with what to do.
    """

    create: bool = False
    add: Mapping[str, str] = field(default_factory=dict)
    widen: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    repartition: tuple[str, ...] | None = None
    undeclared: Mapping[str, str] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()

    @property
    def steps(self) -> list[str]:
        """What ``apply`` would do, for people."""
        steps = ["create the table"] if self.create else []
        steps += [f"add {name} {kind}" for name, kind in self.add.items()]
        steps += [f"rewrite {name} from {old} to {new}" for name, (old, new) in self.widen.items()]
        if self.repartition is not None:
            steps.append(f"rewrite, partitioned by {', '.join(self.repartition) or 'nothing'}")
        return steps

    def __bool__(self) -> bool:
        return bool(self.steps or self.conflicts)


def compare(entity: EntityDefinition, actual: TableInfo | None) -> Drift:
    """Compare a declaration with a table."""
    declared = schemas.to_arrow_schema(entity.columns)
    if actual is None:
        return Drift(create=bool(entity.columns))
    have = {column.name: column.type for column in actual.schema}
    add, widen, conflicts = {}, {}, []
    for column in declared:
        if column.name not in have:
            add[column.name] = type_name(column.type)
            continue
        old = have[column.name]
        if old == column.type:
            continue
        names = (type_name(old), type_name(column.type))
        if schemas.widens(old, column.type):
            widen[column.name] = names
        else:
            conflicts.append(
                f"{column.name} is {names[0]}, declared is {names[1]}, which does not hold every value. "
                "Declare what it is, or rewrite the column in a pipe."
            )
    undeclared = {name: type_name(kind) for name, kind in have.items() if declared and name not in declared.names}
    if add and undeclared:
        conflicts.append(
            f"{', '.join(add)} may be a new name of {', '.join(undeclared)}; a rename is never guessed. Adding leaves "
            "the old column as it is."
        )
    moved = tuple(entity.partition_columns) if tuple(entity.partition_columns) != actual.partition_columns else None
    return Drift(False, add, widen, moved, undeclared, tuple(conflicts))


def apply(engine: Engine, entity: EntityDefinition, table: Table, drift: Drift) -> int | None:
    """Do the steps of a drift in one commit; conflicts are left alone.

    Returns:
        The table's version afterwards, None if nothing was to be done.
    """
    if drift.create:
        engine.ensure(table, schemas.to_arrow_schema(entity.columns))
        return 0
    if not drift.steps:
        return None
    # Asked for by name, so the policy for what pipes bring does not apply.
    allowed = replace(table, schema_policy="evolve")
    added = schemas.to_arrow_schema(drift.add)
    if not drift.widen and drift.repartition is None:
        return engine.append(allowed, added.empty_table()).version
    widened = schemas.to_arrow_schema({name: new for name, (_, new) in drift.widen.items()})

    def wanted(have: pa.Schema) -> pa.Schema:
        kept = [widened.field(column.name) if column.name in widened.names else column for column in have]
        return pa.schema([*kept, *added])

    return engine.overwrite(allowed, engine.conform(engine.read(table), wanted)).version


def to_dict(drift: Drift) -> dict[str, Any]:
    """As plain values for JSON."""
    return {
        "steps": drift.steps,
        "undeclared": dict(drift.undeclared),
        "conflicts": list(drift.conflicts),
    }
