"""The incremental pipes of the runs of one App, from their intents to their ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from kindling_core import PipeMetadata, RunInfo, WriteRequest, WriteResult
from kindling_core.state import StateConflict
from kindling_entities import EntityNotFoundError, EntityStore
from kindling_watermark.declare.options import FAIL, FULL_REFRESH, Declaration
from kindling_watermark.errors import SourceRewritten
from kindling_watermark.manager import WatermarkManager
from kindling_watermark.planning import Planner, overtaken
from kindling_watermark.ranges.decisions import Decision
from kindling_watermark.reconciling import Reconciler
from kindling_watermark.records import Kept
from kindling_watermark.run.bounds import Bounds
from kindling_watermark.run.work import Work, Works
from kindling_watermark.run.writing import finish, prepare, summed

_log = logging.getLogger("kindling.watermark")
# How often another process may come first before that is no accident.
_ATTEMPTS = 20


class RunPipes:
    """Goes with incremental pipes through their runs.

    Args:
        store: of the App, which has started.
        manager: what is kept of the readers.
        bounds: up to where runs read.
        again: executes a pipe once more within its run.
        read: reads an input of a pipe as a run does.
        catch_up: read slice after slice until nothing is left.
    """

    def __init__(
        self,
        store: EntityStore,
        manager: WatermarkManager,
        bounds: Bounds,
        again: Callable[[PipeMetadata, RunInfo, WriteRequest], WriteResult],
        read: Callable[[PipeMetadata, RunInfo, str], Any],
        catch_up: bool,
    ) -> None:
        self.store = store
        self._manager = manager
        self.bounds = bounds
        self._again = again
        self._read = read
        self._catch_up = catch_up
        self._reconciler = Reconciler(store, manager)
        self.works = Works()
        self._fetched: dict[str, dict[str, Kept]] = {}
        self._anew: dict[str, Collection[str]] = {}
        self._interrupted: set[tuple[str, str]] = set()

    def expect(self, run: RunInfo, readers: Collection[str], anew: Collection[str] = ()) -> None:
        """Fetch what is kept of the readers of a run, all at once.

        Args:
            anew: the pipes whose outputs the run computes anew.
        """
        self._anew[run.run_id] = anew
        if len(readers) > 1:
            self._fetched[run.run_id] = self._manager.records.all()

    def end(self, run: RunInfo) -> None:
        """Forget a run."""
        self._fetched.pop(run.run_id, None)
        self._anew.pop(run.run_id, None)

    def begin(self, pipe: PipeMetadata, run: RunInfo, declaration: Declaration) -> str | None:
        """Write down what a pipe is about to read; return a reason to skip it, if there is nothing new."""
        self.ended(pipe, run)
        why = "asked for" if pipe.pipe_id in self._anew.get(run.run_id, ()) else ""
        work = self.following(pipe, run, declaration, why)
        if isinstance(work, str):
            return work
        self.works.set(run, pipe, work)
        return None

    def following(self, pipe: PipeMetadata, run: RunInfo, declaration: Declaration, why_anew: str = "") -> Work | str:
        """What a reader does next, its intent written down; a reason if there is nothing new."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._next_once(pipe, run, declaration, why_anew)
            except StateConflict:
                # Another process reads for the same pipe: what it has begun is begun here, too.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _next_once(self, pipe: PipeMetadata, run: RunInfo, declaration: Declaration, why_anew: str) -> Work | str:
        # Somebody may have changed it meanwhile: then what is begun is not saved, and it is fetched again.
        fetched = self._fetched.get(run.run_id, {}).pop(declaration.reader_id, None)
        kept, why = self._reconciler.reconciled(declaration, anew=bool(why_anew), kept=fetched)
        why_anew = why_anew or why
        intent = kept.state.intent
        if intent is not None and (intent.full or not why_anew):
            changed = overtaken(self.store, declaration, intent)
            if changed is None:
                # What came since the intent is behind it.
                return self._work(declaration, kept, True)
            source, reason = changed
            if intent.full:
                why_anew = intent.reason
            elif declaration.on_rewrite == FAIL:
                raise SourceRewritten(source, declaration.reader_id, f"{reason}, after a run had begun to read it")
            elif declaration.on_rewrite == FULL_REFRESH:
                why_anew = f"{source}: {reason}"
        planner = Planner(
            self.store,
            self._manager,
            declaration,
            lambda source: self.bounds.of(run, source),
            lambda source: self._read(pipe, run, source),
        )
        decision = planner.decide(replace(kept.state, intent=None), why_anew)
        if not decision.ranges:
            if decision.state != kept.state:
                self._manager.saving(
                    declaration.reader_id,
                    kept.state,
                    decision.state,
                    lambda: self._manager.records.put(declaration.reader_id, decision.state, kept.version),
                )
                self._tell(declaration, decision)
            return decision.reason
        begun = self._manager.begin(
            declaration.reader_id, Kept(decision.state, kept.version), decision.ranges, decision.full, decision.reason
        )
        self._tell(declaration, decision)
        return self._work(declaration, begun, decision.more)

    def _tell(self, declaration: Declaration, decision: Decision) -> None:
        reader = declaration.reader_id
        if decision.full:
            _log.warning("Pipe %r: %s is computed anew: %s.", reader, declaration.output, decision.reason)
        for one in decision.resets:
            _log.warning("Pipe %r: the watermark of %s is reset: %s.", reader, one.source, one.reason)
            self._manager.tell_reset(one.source, reader, one.old, one.new, one.reason)

    def _work(self, declaration: Declaration, kept: Kept, more: bool) -> Work:
        intent = kept.state.intent
        assert intent is not None
        increment = not intent.full and not all(one.first for one in intent.ranges.values())
        try:
            version = self.store.get_entity_version(declaration.output)
        except EntityNotFoundError:
            version = -1
        known = kept.state.committed
        # The commit of a replayed intent may be older than the newest version.
        after = min(version, known.version) if known is not None else -1
        return Work(declaration, kept, after, increment, more)

    def write(self, work: Work, request: WriteRequest) -> None:
        """Prepare the write of a pipe."""
        prepare(self.store, self._manager, work, request)

    def written(self, work: Work, request: WriteRequest, result: WriteResult) -> WriteResult:
        """What follows a write: its intent is done, and slices that are left are worked off."""
        finish(self.store, self._manager, work, result)
        if work.nested or not work.more or not (self._catch_up or not work.declaration.limits):
            return result
        slices, total = 1, result
        while work.more and not self._stops(request):
            following = self.following(request.pipe, request.run, work.declaration)
            if isinstance(following, str):
                break
            following.nested = True
            self.works.set(request.run, request.pipe, following)
            total = summed(total, self._again(request.pipe, request.run, request), slices + 1)
            slices, work = slices + 1, following
        return total

    def interrupt(self, pipe: PipeMetadata, run: RunInfo) -> None:
        """Let a pipe that has to stop begin no further slice."""
        self._interrupted.add((run.run_id, pipe.pipe_id))

    def ended(self, pipe: PipeMetadata, run: RunInfo) -> None:
        """Forget what a pipe of a run was doing."""
        self.works.drop(run, pipe)
        self._interrupted.discard((run.run_id, pipe.pipe_id))

    def _stops(self, request: WriteRequest) -> bool:
        return request.run.cancelled.is_set() or (request.run.run_id, request.pipe.pipe_id) in self._interrupted
