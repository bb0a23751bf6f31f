"""Merges in which an older row never replaces a newer row, and rows may say that their key is deleted.

Whether a row is older is decided within the merge, by its sequence and that of the stored row. A delete leaves no row
whose sequence could be compared, so it is kept beside the table: an older row that arrives later meets it there, and
deletes instead. Written with SQL expressions alone, so that every engine runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.quoting import quote
from kindling_entities.declare.reserved import OWN_PREFIX
from kindling_entities.errors import SchemaError
from kindling_entities.protocols import MergeRules
from kindling_entities.write.incoming import common_types, numbered, refuse_unfit, typed
from kindling_entities.write.scd2 import Rows

_GONE, _INSERTS = f"{OWN_PREFIX}gone", f"{OWN_PREFIX}inserts"


@dataclass(frozen=True)
class Changes:
    """What a merge is to do with the rows of a frame.

    Attributes:
        kinds: all columns of the frame in order, with the types in which they are compared.
        sequence_by: column that orders rows by age; None: rows that arrive later are newer.
        compared: whether the table has that column.
        deletes: whether rows may delete.
        delete_missing: rows of the table whose key the frame lacks are deleted.
    """

    keys: tuple[str, ...]
    kinds: Mapping[str, pa.DataType]
    sequence_by: str | None
    compared: bool
    deletes: bool
    delete_missing: bool

    @property
    def names(self) -> dict[str, str]:
        """Column -> what it is called within."""
        return numbered(self.kinds)


def plan(entity: EntityDefinition, frame: pa.Schema, table: pa.Schema | None) -> Changes:
    """Decide on the columns.

    Raises:
        SchemaError: the sequence column is missing, or a column has a name that the merge uses.
        MergeKeyError: a key column is missing.
    """
    what = f"the frame for {entity.entity_id!r}"
    refuse_unfit(entity, frame, "its merge")
    if entity.sequence_by and entity.sequence_by not in frame.names:
        raise SchemaError(f"Column {entity.sequence_by!r}, which orders the changes, is missing in {what}.")
    return Changes(
        entity.keys,
        common_types(frame, table),
        entity.sequence_by,
        bool(entity.sequence_by) and table is not None and entity.sequence_by in table.names,
        bool(entity.delete_when),
        entity.missing_rows == "delete",
    )


def newest(changes: Changes, arrived: Any, events: Rows | None) -> Any:
    """The newest row of each key; where a newer delete of it is known, that delete.

    Args:
        arrived: as ``arrivals.arrived`` made them.
        events: the deletes that are known, None if there are none.
    """
    within = [changes.names[key] for key in changes.keys]
    keys, rows = ", ".join(within), arrived
    if changes.sequence_by:
        rows = rows.selectExpr("*", f"max(seq) over (partition by {keys}) as newest").where("seq = newest")
        rows = rows.selectExpr(*changes.names.values(), "seq", "gone")
    if events is None or changes.sequence_by is None:
        return rows
    kinds = changes.kinds
    deletes = events.frame.selectExpr(
        *(f"{typed(key, kinds[key], events.schema)} as {changes.names[key]}" for key in changes.keys),
        f"{typed(changes.sequence_by, kinds[changes.sequence_by], events.schema)} as deleted_at",
    )
    rows = rows.join(deletes, within, "left")
    late = "coalesce(deleted_at > seq, false)"
    return rows.selectExpr(*changes.names.values(), f"if({late}, deleted_at, seq) as seq", f"gone or {late} as gone")


def table_rows(changes: Changes, rows: Any) -> Any:
    """The rows to merge on the keys by ``rules``."""
    sequence = {changes.sequence_by: "seq"} if changes.sequence_by else {}
    columns = [f"{sequence.get(name, within)} as {quote(name)}" for name, within in changes.names.items()]
    helpers = [f"gone as {_GONE}", f"not gone as {_INSERTS}"] if changes.deletes else []
    return rows.selectExpr(*columns, *helpers)


def rules(changes: Changes) -> MergeRules:
    """Which of them update, delete and are inserted."""
    is_newer = _is_newer(changes.sequence_by) if changes.sequence_by and changes.compared else None
    if not changes.deletes:
        return MergeRules(update_when=is_newer, delete_missing=changes.delete_missing)
    return MergeRules(
        update_when=is_newer,
        delete_when=f"s.`{_GONE}`" + (f" and {is_newer}" if is_newer else ""),
        insert_flag=_INSERTS,
        delete_missing=changes.delete_missing,
        helpers=(_GONE, _INSERTS),
    )


def event_rows(changes: Changes, rows: Any) -> Any:
    """The deletes, to merge on the keys by ``event_rules``."""
    assert changes.sequence_by is not None
    keys = [f"{changes.names[key]} as {quote(key)}" for key in changes.keys]
    return rows.where("gone").selectExpr(*keys, f"seq as {quote(changes.sequence_by)}")


def event_rules(changes: Changes) -> MergeRules:
    """Only the newest delete of a key counts."""
    assert changes.sequence_by is not None
    return MergeRules(update_when=_is_newer(changes.sequence_by))


def _is_newer(sequence: str) -> str:
    name = quote(sequence)
    return f"(t.{name} is null or s.{name} >= t.{name})"
