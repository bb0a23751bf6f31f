"""Bring a frame into the declared columns of its entity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kindling_entities.declare import schema as schemas
from kindling_entities.declare.casts import cast_reader
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

    from kindling_entities.protocols import Engine


def declared_reader(engine: Engine, entity: EntityDefinition, frame: Any) -> pa.RecordBatchReader:
    """Stream a frame, cast to the declared columns if there are any."""
    reader = engine.to_reader(frame)
    return cast_reader(reader, fitted(entity, reader.schema)) if entity.columns else reader


def fitted(entity: EntityDefinition, actual: pa.Schema) -> pa.Schema:
    """Return the schema that data of an entity have after the lossless casts.

    Raises:
        SchemaError: a declared column is missing or does not fit, or policy "fail" meets another column.
    """
    declared = schemas.to_arrow_schema(entity.columns)
    wanted = schemas.fit(actual, declared, f"the frame for {entity.entity_id!r}")
    extra = wanted.names[len(declared) :]
    if extra and entity.schema_policy == "fail":
        raise SchemaError(
            f"Column(s) {', '.join(map(repr, extra))} of the frame for {entity.entity_id!r} are not declared. "
            "Declare or drop them, or set schema_policy='evolve'."
        )
    return wanted
