"""Which keys were touched: those of rows that came, went or changed, and those that meet such a row."""

from __future__ import annotations

from functools import reduce
from typing import Any

from kindling_entities import EntityStore
from kindling_entities.declare.quoting import quote
from kindling_watermark.ranges.values import Range
from kindling_watermark.run import frames
from kindling_watermark.run.work import Work


def touched_keys(store: EntityStore, work: Work) -> Any:
    """Return a frame of the keys that are computed anew, each once.

    Both what a changed row was and what it is touches a key: a row that moves from one group to another changes both.
    """
    declaration = work.declaration
    parts = []
    for source, one in work.intent.ranges.items():
        if one.empty:
            continue
        if source in declaration.own_keys:
            parts.append(_changed(store, source, one, declaration.keys))
            continue
        pairs = declaration.met_by[source]
        changed = _changed(store, source, one, [theirs for _, theirs in pairs])
        mine = [ours for ours, _ in pairs]
        renamed = changed.selectExpr(*(f"{quote(theirs)} as {quote(ours)}" for ours, theirs in pairs))
        for main in declaration.own_keys:
            rows = _read(store, main, work.intent.ranges[main].end, list(dict.fromkeys([*declaration.keys, *mine])))
            parts.append(_distinct(frames.same_keys(rows, renamed, mine), declaration.keys))
    keys = _distinct(reduce(lambda one, other: one.unionByName(other), parts), declaration.keys)
    # Read once: the inputs are narrowed by them, and the rows of the output are found by them.
    return store.engine.from_arrow(store.engine.to_reader(keys).read_all())


def stored_rows(store: EntityStore, output: str, touched: Any, keys: tuple[str, ...]) -> Any | None:
    """The rows of the output that belong to touched keys, by the columns that a merge needs; None without a table."""
    rows = stored(store, output, keys)
    return None if rows is None else frames.same_keys(rows, touched, keys)


def stored(store: EntityStore, output: str, further: tuple[str, ...] = ()) -> Any | None:
    """The rows of an output by the columns that tell them apart; None without a table.

    Args:
        further: columns beside those that a merge needs.
    """
    if not store.check_entity_exists(output):
        return None
    entity = store.manager.get_entity_definition(output)
    history = entity.scd == 2
    names = [*entity.keys, *further, *([entity.sequence_by] if entity.sequence_by else [])]
    names += ["is_current"] if history else []
    rows = _read(store, output, None, list(dict.fromkeys(names)))
    return rows.where("is_current").drop("is_current") if history else rows


def _changed(store: EntityStore, source: str, one: Range, columns: Any) -> Any:
    """The values of columns in rows that a range touches."""
    if one.start is None:
        rows = _read(store, source, one.end, list(columns))
    else:
        info = store.describe(source)
        if info is not None and info.records_changes:
            rows = store.read_entity(source, version=one.end, start_version=one.start)
        else:
            rows = store.read_appends(source, one.start, one.end, columns=list(columns))
    return _distinct(rows, columns)


def _read(store: EntityStore, source: str, version: int | None, columns: list[str]) -> Any:
    return store.read_entity(source, version=version, columns=columns)


def _distinct(rows: Any, columns: Any) -> Any:
    return rows.selectExpr(*map(quote, columns)).distinct()
