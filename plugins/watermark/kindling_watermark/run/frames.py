"""Frames of changes: the newest row of each key, and the rows as they were. SQL that every engine runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kindling_entities.declare.quoting import quote

CHANGE = "_change_type"
_VERSION, _TIMESTAMP = "_commit_version", "_commit_timestamp"
_RANK = "_kindling_rank"


def whole(frame: Any) -> Any:
    """All rows of a source as changes: each was inserted."""
    return frame.selectExpr("*", f"'insert' as {CHANGE}")


def nothing(frame: Any) -> Any:
    """No changes."""
    return whole(frame).where("false")


def newest_rows(changes: Any, keys: Sequence[str]) -> Any:
    """The row of each key after the changes; none of a key that was deleted."""
    after = changes.where(f"{CHANGE} <> 'update_preimage'")
    # Within a commit a key that is deleted and inserted is there afterwards.
    order = f"{_VERSION} desc, if({CHANGE} = 'delete', 1, 0)"
    return _first(after, keys, order).where(f"{CHANGE} <> 'delete'").drop(_VERSION, _TIMESTAMP)


def old_rows(changes: Any, keys: Sequence[str]) -> Any:
    """The row of each key before the changes, as a delete; none of a key that was not there."""
    before = f"{CHANGE} in ('delete', 'update_preimage')"
    rows = _first(changes, keys, f"{_VERSION}, if({before}, 0, 1)").where(before)
    columns = [quote(name) for name in rows.columns if name not in (CHANGE, _VERSION, _TIMESTAMP)]
    return rows.selectExpr(*columns, f"'delete' as {CHANGE}")


def without_changes(frame: Any) -> Any:
    """A frame without the column that tells kinds of changes."""
    return frame.drop(CHANGE) if CHANGE in frame.columns else frame


def _first(rows: Any, keys: Sequence[str], order: str) -> Any:
    """The first rows of each key; different rows that come first together are all kept, for the merge to refuse."""
    partition = ", ".join(map(quote, keys))
    ranked = rows.selectExpr("*", f"rank() over (partition by {partition} order by {order}) as {_RANK}")
    return ranked.where(f"{_RANK} = 1").drop(_RANK)


def same_keys(frame: Any, keys: Any, names: Sequence[str]) -> Any:
    """The rows of a frame whose columns ``names`` are among the rows of ``keys``; null is the same as null."""
    from pyspark.sql.functions import expr

    theirs = [f"_kindling_key_{place}" for place in range(len(names))]
    renamed = keys.selectExpr(*(f"{quote(name)} as {their}" for name, their in zip(names, theirs, strict=True)))
    condition = " and ".join(f"{quote(name)} <=> {their}" for name, their in zip(names, theirs, strict=True))
    return frame.join(renamed, expr(condition), "left_semi")
