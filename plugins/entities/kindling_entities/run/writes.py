"""The writes of a run: what a pipe returned becomes a commit, and the commit a result for the report."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from kindling_core.run.requests import WriteRequest, WriteResult
from kindling_core.secrets import describe_error
from kindling_entities.protocols import Commit, CommitOptions, OverflowFinder, Transaction
from kindling_entities.run.reads import RunReads
from kindling_entities.store import EntityStore
from kindling_entities.write.notes import report_of, with_sources

if TYPE_CHECKING:
    from kindling_core.pipes import PipeMetadata

_log = logging.getLogger("kindling.entities")


class RunWrites:
    """Writes for the pipes of runs.

    Args:
        store: of the App, which has started.
        reads: what the pipes have read; learns which versions they write.
        redact: masks secrets in what is logged.
        warns_of_overflow: of arithmetic that the engine does not check.
    """

    def __init__(
        self, store: EntityStore, reads: RunReads, redact: Callable[[str], str], warns_of_overflow: bool = True
    ) -> None:
        self._store = store
        self._reads = reads
        self._redact = redact
        self._warns = warns_of_overflow

    def write(self, request: WriteRequest) -> WriteResult:
        """Write what a pipe returned; of a view, keep the frame for the other pipes of the run."""
        store, run = self._store, request.run
        self._warn_of_overflow(request.value, request.pipe)
        if request.entity_id in store.views:
            frame = store.engine.to_frame(request.value)
            # Resolves the columns now, so that a slip fails the view's own pipe and not the first that reads it.
            frame.columns  # noqa: B018
            with request.fence.committing():
                store.views.returned.keep(run, request.entity_id, frame)
            return WriteResult(0, None, "a view, nothing stored", durable=False)
        transaction = Transaction(*request.transaction) if request.transaction else None
        further = tuple(Transaction(*ids) for ids in request.transactions)
        options = CommitOptions(dict(request.commit_metadata), further, request.skip_empty, request.deletes)
        from kindling_entities.write.fenced_rows import guarded

        with guarded(request.value, request.fence) as value:
            commit = store.write(request.entity_id, value, request.mode, transaction, options)
        # Of a write that had happened before, the newest version may be somebody else's.
        version = None if commit.skipped else commit.version
        if version is not None:
            self._reads.written.keep(run, request.entity_id, version)
        entity = store.manager.get_entity_definition(request.entity_id)
        note, details = report_of(commit, request.mode or entity.write_mode)
        note, details = with_sources(note, details, self._reads.dirt.get(run, request.pipe.pipe_id) or {})
        return WriteResult(_rows(commit), version, note, details, store.kind(request.entity_id).durable)

    def _warn_of_overflow(self, value: object, pipe: PipeMetadata) -> None:
        engine = self._store.engine
        if not self._warns or not isinstance(engine, OverflowFinder):
            return
        try:
            found = engine.overflows(value)
        except Exception as error:  # noqa: BLE001 - a plan that cannot be looked through is no fault of the pipe's
            trace = describe_error(error, self._redact)
            _log.debug("The plan of pipe %r was not searched for overflow.\n%s", pipe.pipe_id, trace)
            return
        for overflow in found:
            _log.warning(
                "Pipe %r: %s in %s (%s) is not checked for overflow: integers wrap where Spark fails. Use functions of "
                "the frame or selectExpr, which are checked, or set entities.warn_of_overflow = false.",
                pipe.pipe_id,
                overflow.operator,
                overflow.where,
                overflow.place,
            )


def _rows(commit: Commit) -> int | None:
    if commit.skipped:
        return 0
    merged = (commit.rows_inserted, commit.rows_updated, commit.rows_deleted)
    if commit.rows_written is None and any(count is not None for count in merged):
        return sum(count or 0 for count in merged)
    return commit.rows_written
