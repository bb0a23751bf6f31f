"""Keys that a merge deletes, given beside its rows: one frame of both, so that one commit does both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.quoting import quote
from kindling_entities.declare.reserved import OWN_PREFIX
from kindling_entities.protocols import Engine
from kindling_entities.rules.refusals import refuse_missing_keys

# True in the rows that delete their key. It is not stored.
FLAG = f"{OWN_PREFIX}deletes"


def deleting(entity: EntityDefinition) -> EntityDefinition:
    """The entity with a merge in which flagged rows delete their key, too."""
    declared = f"coalesce(cast(({entity.delete_when}\n) as boolean), false) or " if entity.delete_when else ""
    # An entity that is declared for overwriting is merged into by whoever asks for that.
    return replace(entity, write_mode="merge", overwrite_scope="table", delete_when=f"{declared}{FLAG}")


def flagged(engine: Engine, entity: EntityDefinition, frame: Any, deletes: Any) -> Any:
    """The rows of a frame, and those of the keys to delete, told apart by ``FLAG``.

    Raises:
        MergeKeyError: the keys to delete lack a key column.
    """
    rows, gone = engine.to_frame(frame), engine.to_frame(deletes)
    refuse_missing_keys(entity.entity_id, entity.keys, pa.schema([(name, pa.null()) for name in gone.columns]))
    have = set(rows.columns)
    shared = [quote(name) for name in gone.columns if name in have]
    # No stored row has a null key.
    named = gone.where(" and ".join(f"{quote(key)} is not null" for key in entity.keys))
    named = named.selectExpr(*shared, f"true as {FLAG}").dropDuplicates(list(entity.keys))
    return rows.selectExpr("*", f"false as {FLAG}").unionByName(named, allowMissingColumns=True)


def without_flag(schema: pa.Schema) -> pa.Schema:
    """The columns that are stored."""
    return pa.schema([field for field in schema if field.name != FLAG])


def with_flag(schema: pa.Schema) -> pa.Schema:
    """The columns of a flagged frame."""
    return schema.append(pa.field(FLAG, pa.bool_()))


def unless_there(entity: EntityDefinition, source: Any) -> Any:
    """Drop the deletes of keys that the frame has rows of.

    Args:
        source: a flagged frame that can be read more than once.
    """
    keys = list(entity.keys)
    rows = source.where(f"not {FLAG}")
    gone = source.where(FLAG).join(rows.select(*map(quote, keys)).distinct(), keys, "left_anti")
    return rows.unionByName(gone)
