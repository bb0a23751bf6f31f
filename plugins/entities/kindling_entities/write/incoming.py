"""Checks the rows of a merge that orders its changes, and removes exact repeats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kindling_entities.declare.quoting import quote
from kindling_entities.declare.reserved import taken
from kindling_entities.declare.schema import widens
from kindling_entities.declare.types import type_name
from kindling_entities.errors import MergeKeyError, SchemaError
from kindling_entities.rules.key_equality import refuse_nested_keys
from kindling_entities.rules.refusals import SHOWN_KEYS, refuse_missing_keys
from kindling_entities.rules.row_hash import row_hash

if TYPE_CHECKING:
    from kindling_entities.declare.entity import EntityDefinition


def condition(sql: str | None) -> str:
    """SQL of whether a condition holds; null is no."""
    # A line break, so that a comment at the end of the condition ends there too.
    return f"coalesce(cast(({sql}\n) as boolean), false)" if sql else "false"


def typed(name: str, kind: pa.DataType, schema: pa.Schema) -> str:
    """SQL of a column in a type that holds its values; null where the schema lacks it."""
    if name not in schema.names:
        return f"cast(null as {type_name(kind)})"
    return quote(name) if schema.field(name).type == kind else f"cast({quote(name)} as {type_name(kind)})"


def common_types(frame: pa.Schema, table: pa.Schema | None) -> dict[str, pa.DataType]:
    """The types that the columns of a frame will have in the table that it is merged into."""
    kinds = {}
    for column in frame:
        stored = None if table is None or column.name not in table.names else table.field(column.name).type
        kinds[column.name] = stored if stored is not None and widens(column.type, stored) else column.type
    return kinds


def refuse_unfit(entity: EntityDefinition, frame: pa.Schema, maker: str) -> None:
    """Refuse a frame that no ordered merge of the entity takes.

    Args:
        maker: what makes columns of its own, for the message.

    Raises:
        SchemaError: a column has a name that the merge uses.
        MergeKeyError: a key column is missing, or is no plain value.
    """
    reserved = taken(frame.names, entity)
    if reserved:
        raise SchemaError(
            f"Column(s) {', '.join(map(repr, reserved))} of the frame for {entity.entity_id!r} are made by {maker}. "
            "Rename them."
        )
    refuse_missing_keys(entity.entity_id, entity.keys, frame)
    refuse_nested_keys(entity.entity_id, entity.keys, frame)


def numbered(columns: Iterable[str]) -> dict[str, str]:
    """Column -> what it is called within, so that no name of a user's meets one of ours."""
    return {name: f"c{index}" for index, name in enumerate(columns)}


def arrived(entity: EntityDefinition, source: Any, frame: pa.Schema, kinds: Mapping[str, pa.DataType]) -> Any:
    """Return the rows of a frame under numbered names, with ``seq`` and ``gone``.

    Args:
        source: read more than once, so it must give the same rows each time.
        frame: its schema.
        kinds: column -> type in which it is compared.

    Raises:
        MergeKeyError: a key or sequence is null, or different rows have the same key and sequence; names them.
    """
    names, sequence_by = numbered(kinds), entity.sequence_by
    keys = {key: names[key] for key in entity.keys}
    schema = pa.schema([pa.field(names[name], kind) for name, kind in kinds.items()])
    kind = type_name(kinds[sequence_by]) if sequence_by else "timestamp"
    columns = [f"{typed(name, kinds[name], frame)} as {within}" for name, within in names.items()]
    sequence = f"cast({quote(sequence_by) if sequence_by else 'null'} as {kind})"
    rows = source.selectExpr(f"{condition(entity.delete_when)} as gone", f"{sequence} as seq", *columns)
    moment = [*keys.values(), *(["seq"] if sequence_by else [])]
    nulls = " or ".join(f"{name} is null" for name in moment)
    labels = {**{within: key for key, within in keys.items()}, "seq": "sequence"}
    bad = rows.groupBy(*moment).count().where(f"`count` > 1 or {nulls}").limit(SHOWN_KEYS + 1).collect()
    if not bad:
        return rows
    unnamed = [row for row in bad if any(row[name] is None for name in moment)]
    if unnamed:
        raise MergeKeyError(
            f"A key or sequence is null in the frame for {entity.entity_id!r}: {_shown(unnamed, labels)}. "
            f"Filter these rows out, or fill {', '.join(map(repr, [*keys, *([sequence_by] if sequence_by else [])]))}."
        )
    # Only now: to compare whole rows costs more than to compare keys.
    distinct = rows.selectExpr("*", f"{row_hash(schema.names, schema)} as __row").dropDuplicates([*moment, "__row"])
    rows = distinct.drop("__row")
    bad = rows.groupBy(*moment).count().where("`count` > 1").limit(SHOWN_KEYS + 1).collect()
    if bad:
        raise MergeKeyError(
            f"Different rows of the frame for {entity.entity_id!r} have the same key"
            f"{' at the same moment' if sequence_by else ''}: {_shown(bad, labels)}. "
            f"Keep one row for each key{' and sequence' if sequence_by else ''}."
        )
    return rows


def _shown(rows: list[Any], labels: Mapping[str, str]) -> str:
    shown = [", ".join(f"{label}={row[name]!r}" for name, label in labels.items() if name in row) for row in rows]
    return "; ".join(shown[:SHOWN_KEYS]) + (" and more" if len(rows) > SHOWN_KEYS else "")
