"""The reads of a run: versions are pinned before it begins, frames are shared where that pays."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

from kindling_core.pipes import split_version
from kindling_core.run.requests import ReadRequest, RunInfo
from kindling_entities.read.per_run import PerRun
from kindling_entities.read.shared_reads import ReadCache
from kindling_entities.store import EntityStore

if TYPE_CHECKING:
    from kindling_core.pipes import PipeMetadata
    from kindling_core.plan.execution_plan import ExecutionPlan
    from kindling_entities.declare.expectations import ExpectationResult

Keep: TypeAlias = "Callable[[Any], AbstractContextManager[Any]]"


class RunReads:
    """Reads for the pipes of runs.

    Args:
        store: of the App, which has started.

    Attributes:
        written: run and entity -> the version that a pipe of the run has written.
        dirt: run and pipe -> what did not parse in each source that it read.
    """

    def __init__(self, store: EntityStore) -> None:
        self._store = store
        self._manager = store.manager
        self._views = store.views
        self._pinned: PerRun[dict[str, int]] = PerRun()
        self._cache = ReadCache(store.views)
        self.written: PerRun[int] = PerRun()
        self.dirt: PerRun[dict[str, list[ExpectationResult]]] = PerRun()

    def pin(self, plan: ExecutionPlan, run: RunInfo) -> None:
        """Fix the versions of what the run reads and does not write, so that all its pipes see the same rows."""
        self._cache.begin(plan, run)
        # Looked into at each read: others may add to it until all have pinned.
        self._pinned.keep(run, "", plan.pinned_versions)
        made = {pipe.output_entity_id for pipe in plan.pipes.values() if pipe.output_entity_id is not None}
        # A stream reads on while the run is open, and so nothing of it is fixed.
        batch = [pipe for pipe in plan.pipes.values() if pipe.mode != "streaming"]
        read = {split_version(name) for pipe in batch for name in pipe.input_entity_ids}
        filled = self._quarantines_filled(made, {name for name, _ in read})
        pinned = [
            name
            for name, version in sorted(read, key=str)
            if version is None
            and name in self._manager
            and name not in plan.pinned_versions
            and name not in made
            and name not in filled
            and self._store.kind(name).versioned
        ]
        for name, newest in self._store.get_entity_versions(pinned).items():
            # An unknown version is left to the read itself, whose error names the pipe.
            if isinstance(newest, int):
                plan.pinned_versions[name] = newest

    def _quarantines_filled(self, made: Collection[str | None], read: Collection[str]) -> set[str]:
        """Return the quarantines that a run adds rows to."""
        entities = list(map(self._manager.get_entity_definition, self._manager.get_entity_ids()))
        referred = {
            expectation.references
            for entity in entities
            if entity.entity_id in made
            for expectation in entity.expectations
        }
        filling = {
            entity.entity_id: entity.entity_id in made
            or (entity.read_only and (entity.entity_id in read or entity.entity_id in referred))
            for entity in entities
        }
        return {name for name in filling if filling.get(self._manager.quarantined_from(name) or "", False)}

    def read(self, request: ReadRequest) -> Any:
        """Return the frame of an input, at the version that the run reads."""
        if request.version is None:
            request.version = (self._pinned.get(request.run, "") or {}).get(request.entity_id)
        if request.version is None:
            self._read_source_of(request)
        if request.entity_id in self._views and request.version is None and request.start_version is None:
            frame = self._views.returned.get(request.run, request.entity_id)
            if frame is not None:
                made = frame if request.columns is None else frame.select(*request.columns)
                return self._read_once(request, "a view, as its pipe returned it", lambda: made, self._held(request))
        return self._read_once(request, *self._read_how(request))

    def _read_source_of(self, request: ReadRequest) -> None:
        """Before the quarantine of a source read the source, if the pipe reads both and names it later."""
        source, pipe = self._manager.quarantined_from(request.entity_id), request.pipe
        if source is None or source not in pipe.input_entity_ids:
            return
        was_read = source in (self.dirt.get(request.run, pipe.pipe_id) or {})
        if not was_read and self._manager.get_entity_definition(source).read_only:
            self._read_how(ReadRequest(source, pipe, request.run))[1]()

    def _read_how(self, request: ReadRequest) -> tuple[object, Callable[[], Any], Keep | None]:
        """Return the key of a read among reads of its entity, the read itself, and how its frame is kept."""
        kind, version = self._store.kind(request.entity_id), request.version
        if version is None and request.start_version is None and request.storage_level is not None:
            version = self.written.get(request.run, request.entity_id)
        # Storage without versions has its newest rows and no others.
        pinned = version if kind.versioned else request.version

        def read() -> Any:
            if request.appends and request.start_version is not None:
                first = request.start_version
                return self._store.read_appends(request.entity_id, first, version, columns=request.columns)
            found: list[ExpectationResult] = []
            frame = self._store.read_entity(
                request.entity_id,
                version=pinned,
                start_version=request.start_version,
                columns=request.columns,
                parse_results=found,
            )
            if found:
                before = self.dirt.get(request.run, request.pipe.pipe_id) or {}
                self.dirt.keep(request.run, request.pipe.pipe_id, {**before, request.entity_id: found})
            return frame

        if kind.reads_eagerly:
            return ("as it was read first" if version is None else version), read, nullcontext
        return version, read, self._held(request) if request.cache_always else None

    def _held(self, request: ReadRequest) -> Keep:
        engine, storage_level = self._store.engine, request.storage_level
        return lambda frame: engine.held(frame, storage_level=storage_level)

    def _read_once(self, request: ReadRequest, version: object, read: Callable[[], Any], keep: Keep | None) -> Any:
        """Read, or take what another pipe of the run has read, where that pays and is the same.

        A stored table is read again rather than kept: the engines read of it the columns and row groups that a pipe
        needs, and of a kept frame everything. What is computed or parsed pays to be kept.

        Args:
            keep: keeps a frame until it is released; None where that does not pay.
        """
        # What is staged for appends goes with the pipe that reads them, so no other pipe is given their frame.
        wanted = keep is not None and request.storage_level is not None and version is not None and not request.appends
        if keep is None or not wanted or not self._cache.shared(request.run, request.entity_id):
            return read()
        columns = None if request.columns is None else tuple(request.columns)
        key = (version, request.start_version, columns)
        return self._cache.read(request.run, request.pipe.pipe_id, request.entity_id, key, read, keep)

    def pipe_starts(self, run: RunInfo, pipe: PipeMetadata) -> None:
        """An attempt at a pipe begins, which may wait for what another pipe reads."""
        self._cache.starting(run, pipe)

    def interrupt(self, run: RunInfo, pipe: PipeMetadata) -> None:
        """Let a pipe that has to stop wait no longer, and others no longer for it."""
        self._cache.interrupt(run, pipe)

    def pipe_ended(self, run: RunInfo, pipe: PipeMetadata) -> None:
        """Release what this pipe was the last to read."""
        self._cache.ended(run, pipe)

    def run_ended(self, run: RunInfo) -> None:
        """Release everything that was kept for a run."""
        self._cache.close(run)
