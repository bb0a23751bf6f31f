"""What an incremental pipe gets for its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kindling_core import PipeMetadata, ReadRequest
from kindling_entities import EntityStore
from kindling_watermark.cursors import rows_of
from kindling_watermark.declare.options import AFFECTED, APPENDS, CHANGES, CURSOR
from kindling_watermark.errors import WatermarkError
from kindling_watermark.ranges.cursors import Span
from kindling_watermark.run import frames
from kindling_watermark.run.affected import touched_keys
from kindling_watermark.run.work import Work


def narrow(work: Work, request: ReadRequest) -> None:
    """Have a read give what the intent says."""
    one = work.intent.ranges[request.entity_id]
    mode = work.declaration.modes[request.entity_id]
    if mode == CURSOR:
        return
    request.version = one.end
    if one.start is None or mode == AFFECTED:
        return
    if mode == APPENDS:
        request.start_version, request.appends = one.start, True
    elif not one.empty:
        request.start_version = one.start


def made_of(store: EntityStore, work: Work, request: ReadRequest, frame: Any) -> Any:
    """What the pipe gets of the frame that was read."""
    source = request.entity_id
    one, mode = work.intent.ranges[source], work.declaration.modes[source]
    if mode == APPENDS:
        return frame
    if mode == CURSOR:
        if one.cursor is None:
            return frame.where("false")
        return rows_of(store, frame, work.declaration.cursors[source], Span.of(one.cursor))
    if mode == CHANGES:
        if one.start is None:
            return frames.whole(frame)
        if one.empty:
            work.old[source] = frames.nothing(frame)
            return work.old[source]
        keys = _keys_of(store, source)
        work.old[source] = frames.old_rows(frame, keys)
        return frames.newest_rows(frame, keys)
    if not work.increment or source not in work.declaration.own_keys:
        return frame
    if work.touched is None:
        work.touched = touched_keys(store, work)
    return frames.same_keys(frame, work.touched, work.declaration.keys)


def old_value(pipe: PipeMetadata, work: Work, arguments: Mapping[str, Any]) -> Any:
    """What the function makes of the rows as they were, so that what it makes of them no more is known."""
    before = {
        parameter: work.old.get(entity_id, arguments[parameter]) for parameter, entity_id in pipe.parameters.items()
    }
    return pipe.execute(**{**arguments, **before})


def _keys_of(store: EntityStore, source: str) -> tuple[str, ...]:
    keys = store.manager.get_entity_definition(source).keys
    if not keys:
        raise WatermarkError(f"{source!r} declares no keys, by which the last change of a row is known.")
    return keys
