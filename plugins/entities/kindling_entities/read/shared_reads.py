"""Frames that several pipes of a run read, computed once and kept until the last of them has ended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Hashable
from contextlib import ExitStack
from typing import Any

from kindling_core.pipes import PipeMetadata, split_version
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.run.requests import RunInfo
from kindling_entities.read.per_run import PerRun


class _Shared:
    """What one run keeps."""

    def __init__(self, plan: ExecutionPlan) -> None:
        self.lock = threading.Lock()
        self.left = Counter(split_version(name)[0] for pipe in plan.pipes.values() for name in pipe.input_entity_ids)
        self.kept: dict[str, dict[Hashable, tuple[threading.Lock, list[Any], ExitStack]]] = {}
        # Views whose pipe has ended, and which others have still to read.
        self.lazy: dict[str, PipeMetadata] = {}

    def entry(self, entity_id: str, key: Hashable) -> tuple[threading.Lock, list[Any], ExitStack]:
        with self.lock:
            return self.kept.setdefault(entity_id, {}).setdefault(key, (threading.Lock(), [], ExitStack()))


class ReadCache:
    """Frames by what was read: never two different reads under one key.

    Args:
        views: the entities that are computed from their inputs whenever they are read.
    """

    def __init__(self, views: Container[object]) -> None:
        self._views = views
        self._runs: PerRun[_Shared] = PerRun()

    def begin(self, plan: ExecutionPlan, run: RunInfo) -> None:
        """Count the readers of a run."""
        self._runs.keep(run, "", _Shared(plan))

    def shared(self, run: RunInfo, entity_id: str) -> bool:
        """Whether another pipe of the run has still to read this entity, or has read it and it is kept."""
        shared = self._runs.get(run, "")
        return shared is not None and (shared.left[entity_id] > 1 or entity_id in shared.kept)

    def read(
        self, run: RunInfo, entity_id: str, key: Hashable, read: Callable[[], Any], held: Callable[[Any], Any]
    ) -> Any:
        """Return the frame of a key, computed by the first who asks.

        Args:
            key: everything that tells one read of this entity from another, its version first of all.
            held: as ``Engine.held``: a context manager that yields a frame which is computed once.
        """
        shared = self._runs.get(run, "")
        if shared is None:
            return read()
        lock, frames, stack = shared.entry(entity_id, key)
        with lock:
            if not frames:
                frames.append(stack.enter_context(held(read())))
            return frames[0]

    def kept(self, run: RunInfo) -> list[str]:
        """Return the entities that are kept now."""
        shared = self._runs.get(run, "")
        return sorted(shared.kept) if shared is not None else []

    def ended(self, run: RunInfo, pipe: PipeMetadata) -> None:
        """Release what this pipe was the last to read."""
        shared = self._runs.get(run, "")
        if shared is None:
            return
        done: list[tuple[threading.Lock, list[Any], ExitStack]] = []
        ended = [pipe]
        with shared.lock:
            while ended:
                one = ended.pop()
                made = one.output_entity_id
                if made is not None and made in self._views and shared.left[made] > 0:
                    # It reads its inputs when it is read itself.
                    shared.lazy[made] = one
                    continue
                for entity_id, times in Counter(split_version(name)[0] for name in one.input_entity_ids).items():
                    shared.left[entity_id] -= times
                    if shared.left[entity_id] <= 0:
                        done += shared.kept.pop(entity_id, {}).values()
                        if entity_id in shared.lazy:
                            ended.append(shared.lazy.pop(entity_id))
        for _, _, stack in done:
            stack.close()

    def close(self, run: RunInfo) -> None:
        """Release everything of a run."""
        shared = self._runs.get(run, "")
        if shared is None:
            return
        with shared.lock:
            left, shared.kept = list(shared.kept.values()), {}
        for entries in left:
            for _, _, stack in entries.values():
                stack.close()
