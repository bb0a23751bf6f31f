"""How what an incremental pipe returned is written: once, with what it was made of, and with what vanished."""

from __future__ import annotations

from typing import Any

from kindling_core import WriteRequest, WriteResult
from kindling_entities import EntityStore
from kindling_watermark.declare.options import CHANGES
from kindling_watermark.errors import WatermarkError
from kindling_watermark.manager import WatermarkManager
from kindling_watermark.run import frames
from kindling_watermark.run.affected import stored, stored_rows
from kindling_watermark.run.work import Work
from kindling_watermark.trace import application, commit_of, metadata


def prepare(store: EntityStore, manager: WatermarkManager, work: Work, request: WriteRequest) -> None:
    """Have a write carry the transaction and the ranges of its intent, and do to the output what the intent says."""
    reader, state = work.declaration.reader_id, work.kept.state
    request.transaction = (application(reader), work.intent.sequence)
    request.commit_metadata = {**request.commit_metadata, **metadata(reader, state, manager.saved_at())}
    if CHANGES in work.declaration.modes.values():
        request.value = frames.without_changes(store.engine.to_frame(request.value))
    if work.declaration.affected:
        _refuse_lacking(work, request, store)
    entity = store.manager.get_entity_definition(request.entity_id)
    if work.intent.full:
        if entity.write_mode == "merge":
            # As a merge of everything, so that what a merge does with rows of one key holds; the rest goes.
            request.deletes = stored(store, request.entity_id)
        else:
            request.mode = "overwrite"
        return
    if not work.increment:
        return
    if work.declaration.affected:
        request.mode = "merge"
        request.deletes = stored_rows(store, request.entity_id, work.touched, work.declaration.keys)
    elif work.old_value is not None:
        request.deletes = frames.without_changes(store.engine.to_frame(work.old_value))


def _refuse_lacking(work: Work, request: WriteRequest, store: EntityStore) -> None:
    """Rows without the columns that they belong together by would not be found again."""
    request.value = store.engine.to_frame(request.value)
    lacking = [key for key in work.declaration.keys if key not in request.value.columns]
    if lacking:
        raise WatermarkError(
            f"Pipe {work.declaration.reader_id!r} returned no column {', '.join(map(repr, lacking))}, by which the "
            f"rows of {request.entity_id!r} belong together (affected_by). Keep it in the result."
        )


def finish(store: EntityStore, manager: WatermarkManager, work: Work, result: WriteResult) -> None:
    """Write down that the output has what the intent says.

    Raises:
        WatermarkError: the transaction was there already, of something else.
    """
    reader, output = work.declaration.reader_id, work.declaration.output
    trace = commit_of(store, output, reader, work.intent, work.output_version)
    if trace is None and result.version is None:
        raise WatermarkError(
            f"{output!r} has a later transaction of pipe {reader!r} than number {work.intent.sequence}, and not what "
            f"this was made of: another process has gone on meanwhile, or the state is older than the table. Nothing "
            f"was written. Run it again."
        )
    manager.finish(reader, work.kept, None if trace is None else trace.committed, result.rows)


def summed(first: WriteResult, last: WriteResult, slices: int) -> WriteResult:
    """One result of several slices."""
    rows = None if first.rows is None or last.rows is None else first.rows + last.rows
    version = last.version if last.version is not None else first.version
    details: dict[str, Any] = {**last.details, "slices": slices}
    return WriteResult(rows, version, f"{slices} slices", details, last.durable)
