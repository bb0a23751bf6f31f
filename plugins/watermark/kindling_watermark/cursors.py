"""What is new in a source that is read by a cursor, and the rows of it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from kindling_entities import EntityStore
from kindling_entities.declare.quoting import quote
from kindling_entities.rules.row_hash import frame_schema, row_hash
from kindling_watermark.errors import WatermarkError
from kindling_watermark.ranges.cursors import MOST_OPEN, Cursor, Span, floor, text_of, value

_ID, _NUMBER = "_kindling_row", "_kindling_number"


def look(entity_id: str, frame: Any, cursor: Cursor, before: Span | None) -> Span | None:
    """Return what is new in a source; None if nothing is.

    Args:
        frame: the whole source.
        before: what was read last; None: nothing was.

    Raises:
        WatermarkError: the column is missing or null somewhere, or too many rows would have to be remembered.
    """
    column = quote(cursor.column)
    kinds = {field.name.lower(): field.dataType.simpleString() for field in frame.schema.fields}
    kind = kinds.get(cursor.column.lower())
    if kind is None:
        raise WatermarkError(f"{entity_id!r} has no column {cursor.column!r}, by which it is to be read on.")
    newest = f"max({column})"
    if before is not None:
        # Rows that were removed do not move the cursor back.
        newest = f"greatest({newest}, {value(before.high, before.kind)})"
    found = frame.selectExpr(
        f"{text_of(newest, kind)} as high", f"count_if({column} is null) as nulls", f"max({column}) is null as empty"
    ).collect()[0]
    if found["nulls"]:
        raise WatermarkError(
            f"{entity_id!r}: {cursor.column!r} is null in {found['nulls']} rows, which would never be read. Fill it."
        )
    if found["empty"] or found["high"] is None:
        return None
    high = str(found["high"])
    beneath = floor(cursor, high, kind)
    rows = frame.where(f"{column} >= {beneath} and {column} <= {value(high, kind)}")
    ids = [row[_ID] for row in _named(rows, cursor).select(_ID).limit(MOST_OPEN + 1).collect()]
    if len(ids) > MOST_OPEN:
        raise WatermarkError(
            f"{entity_id!r}: more than {MOST_OPEN:,} rows have the newest {cursor.column!r} or are within the lateness "
            f"below it, too many to remember. Give a shorter lateness, or keep the source as a Delta table."
        )
    if before is None:
        return Span(kind, high, sorted(ids))
    if high == before.high and set(ids) <= set(before.open):
        return None
    return Span(kind, high, sorted(ids), before.high, before.open)


def rows_of(store: EntityStore, frame: Any, cursor: Cursor, span: Span) -> Any:
    """The rows of a source that lie in a span: the same whenever they are asked for, whatever was added since."""
    column, high = quote(cursor.column), value(span.high, span.kind)
    beneath = floor(cursor, span.high, span.kind)
    rows = frame.where(f"{column} <= {high}")
    if span.low is not None:
        rows = rows.where(f"{column} >= {floor(cursor, span.low, span.kind)}")
    closed = rows.where(f"{column} < {beneath}")
    if span.seen:
        closed = _named(closed, cursor).join(_ids(store, span.seen), [_ID], "left_anti").drop(_ID)
    fresh = sorted(set(span.open) - set(span.seen))
    still_open = _named(rows.where(f"{column} >= {beneath}"), cursor)
    still_open = still_open.join(_ids(store, fresh), [_ID], "left_semi").drop(_ID)
    names = [quote(name) for name in frame.columns]
    return closed.selectExpr(*names).unionByName(still_open.selectExpr(*names))


def _ids(store: EntityStore, ids: Any) -> Any:
    return store.engine.from_arrow(pa.table({_ID: pa.array(list(ids), pa.string())}))


def _named(rows: Any, cursor: Cursor) -> Any:
    """The rows with a digest of each; equal rows are numbered, so that each has its own."""
    schema = frame_schema(rows)
    columns = [cursor.column, *cursor.tie_break] if cursor.tie_break else list(rows.columns)
    named = rows.selectExpr("*", f"{row_hash(columns, schema)} as {_ID}")
    if cursor.tie_break:
        return named
    number = f"row_number() over (partition by {_ID} order by {_ID})"
    numbered = named.selectExpr("*", f"{number} as {_NUMBER}")
    return numbered.selectExpr(*map(quote, rows.columns), f"concat({_ID}, '#', cast({_NUMBER} as string)) as {_ID}")
