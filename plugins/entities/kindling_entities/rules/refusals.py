"""What every engine refuses to write, with the same message on each engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.schema import refuse_nameless
from kindling_entities.declare.types import type_name
from kindling_entities.errors import EntityError, MergeKeyError, SchemaError, UnsupportedError, VersionMoved
from kindling_entities.protocols import Table

SHOWN_KEYS = 5


def refuse_untyped(table: Table, schema: pa.Schema) -> None:
    """Refuse columns that are null throughout and have no type.

    Raises:
        SchemaError: names them.
    """
    refuse_nameless(schema)
    untyped = [f.name for f in schema if "void" in type_name(f.type)]
    if untyped:
        raise SchemaError(
            f"Column(s) {_listed(untyped)} of the frame for {table.entity_id!r} have no type, "
            "since every value is null. Cast them, or declare the entity's columns."
        )


def refuse_moved(table: Table, expected: int | None, actual: int | None) -> None:
    """Refuse to write what was computed from another version.

    Args:
        expected: None where any version will do, -1 where there was no table.

    Raises:
        VersionMoved: the table is at another version.
    """
    found = -1 if actual is None else actual
    if expected is not None and expected != found:
        raise VersionMoved(f"{table.entity_id!r} has moved from version {expected} to {found}.")


def refuse_unpartitioned(table: Table) -> None:
    """Refuse to overwrite partitions of a table that declares none.

    Raises:
        UnsupportedError: says what to declare.
    """
    if not table.partition_columns:
        raise UnsupportedError(
            f"{table.entity_id!r} has no partition columns, so partitions cannot be overwritten. "
            'Declare partition_columns, or use overwrite_scope="table".'
        )


def refuse_repartitioned(table: Table, stored: Sequence[str]) -> None:
    """Refuse to overwrite partitions of a table that is stored with others than it declares.

    Raises:
        UnsupportedError: names both.
    """
    declared = list(table.partition_columns)
    if list(stored) != declared:
        raise UnsupportedError(
            f"{table.entity_id!r} is stored with partition columns {list(stored)}, declared are {declared}. "
            "Overwrite the whole table once to change them."
        )


def refuse_missing_partitions(table: Table, schema: pa.Schema) -> None:
    """Refuse a frame that lacks a partition column.

    Raises:
        SchemaError: names it.
    """
    missing = [name for name in table.partition_columns if name not in schema.names]
    if missing:
        raise SchemaError(f"Partition column(s) {_listed(missing)} missing in the frame for {table.entity_id!r}.")


def refuse_no_change_feed(table: Table, properties: Mapping[str, Any]) -> None:
    """Refuse to read changes of a table that records none.

    Raises:
        UnsupportedError: says what to declare.
    """
    if properties.get("delta.enableChangeDataFeed") != "true":
        raise UnsupportedError(
            f"Table of {table.entity_id!r} records no changes. Declare it with "
            'properties={"delta.enableChangeDataFeed": "true"} before its first write.'
        )


def refuse_missing_keys(entity_id: str, keys: Sequence[str], frame: pa.Schema) -> None:
    """Refuse a merge without keys, or of a frame that lacks a key.

    Raises:
        MergeKeyError: names it.
    """
    if not keys:
        raise MergeKeyError(f"{entity_id!r} has no keys to merge by. Declare keys=[...].")
    missing = [key for key in keys if key not in frame.names]
    if missing:
        raise MergeKeyError(
            f"Key column(s) {_listed(missing)} missing in the frame for {entity_id!r}, "
            f"which has {_listed(frame.names)}."
        )


def refuse_keys_not_stored(table: Table, keys: Sequence[str], stored: pa.Schema) -> None:
    """Refuse a merge by a column that the table does not have.

    Raises:
        MergeKeyError: names it.
    """
    lost = [key for key in keys if key not in stored.names]
    if lost:
        raise MergeKeyError(
            f"Table of {table.entity_id!r} has no key column(s) {_listed(lost)}; it has {_listed(stored.names)}."
        )


def null_key(table: Table, key: str, rows: int) -> MergeKeyError:
    """Word the error of a key that is null."""
    return MergeKeyError(
        f"Key column {key!r} is null in {rows} row(s) of the frame for {table.entity_id!r}. "
        "A null matches nothing: filter these rows out, or fill the key."
    )


def repeated_keys(table: Table, keys: Sequence[str], total: int, rows: Iterable[Any]) -> MergeKeyError:
    """Word the error of keys that are not unique.

    Args:
        total: how many keys come more than once.
        rows: up to ``SHOWN_KEYS`` of them, each giving its values by column name.
    """
    shown = [", ".join(f"{key}={row[key]!r}" for key in keys) for row in rows]
    more = f" and {total - SHOWN_KEYS} more" if total > SHOWN_KEYS else ""
    return MergeKeyError(
        f"{total} key(s) occur more than once in the frame for {table.entity_id!r}: "
        f"{'; '.join(shown)}{more}. Keep one row per key."
    )


def empty_snapshot(entity: EntityDefinition) -> EntityError:
    """Word the error of a full snapshot without rows."""
    meant = (
        "send the keys with rows for which delete_when holds"
        if entity.scd == 2
        else "write the empty frame with write_to_entity"
    )
    return EntityError(
        f"The frame for {entity.entity_id!r} has no rows, and missing_rows={entity.missing_rows!r} would "
        f"{entity.missing_rows} every row. Nothing was written. If everything is gone indeed, {meant}."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
