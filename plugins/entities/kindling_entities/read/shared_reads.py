"""Frames that several pipes of a run read, computed once and kept until the last of them has ended.

No lock is held while a frame is computed: a read may hang for ever. The first pipe that asks for a frame computes it,
and the others wait for the result. A pipe that has to stop waits no longer. If it was the pipe that computes, the next
pipe that waits computes the frame itself. What comes late, because its pipe or its run has ended, is released at once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from kindling_core.errors import PipeAbandoned
from kindling_core.pipes import PipeMetadata, split_version
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.run.requests import RunInfo
from kindling_entities.read.per_run import PerRun


class _Reader:
    """An attempt at a pipe that computes a frame, or waits for it.

    Attributes:
        computing: it computes, and does not wait.
        stopping: the attempt has to stop, or was left behind: others wait no longer for it.
        over: the pipe has ended.
    """

    def __init__(self, pipe_id: str) -> None:
        self.pipe_id = pipe_id
        self.computing = False
        self.stopping = False
        self.over = False


class _Kept:
    """A frame under a key.

    Attributes:
        frame: once it is computed.
        reader: who computes it now.
        stack: releases what is kept under the key; more than one frame where a pipe that had to stop ended its read
            nevertheless.
        released: no pipe reads it any more.
    """

    def __init__(self) -> None:
        self.computed = False
        self.frame: Any = None
        self.reader: _Reader | None = None
        self.stack = ExitStack()
        self.released = False


class _Shared:
    """The frames that a run keeps. ``changed`` guards all attributes, and is notified of each change."""

    def __init__(self, plan: ExecutionPlan) -> None:
        self.changed = threading.Condition()
        self.left = Counter(split_version(name)[0] for pipe in plan.pipes.values() for name in pipe.input_entity_ids)
        self.kept: dict[str, dict[Hashable, _Kept]] = {}
        self.readers: set[_Reader] = set()
        # Views whose pipe has ended, and which others have still to read.
        self.lazy: dict[str, PipeMetadata] = {}
        self.closed = False

    def of(self, pipe: PipeMetadata) -> list[_Reader]:
        """Return the readers of a pipe; the lock is held."""
        return [reader for reader in self.readers if reader.pipe_id == pipe.pipe_id]

    def take(self, entity_id: str) -> list[ExitStack]:
        """Forget the frames of an entity; return what releases them. The lock is held."""
        found = list(self.kept.pop(entity_id, {}).values())
        for kept in found:
            kept.released = True
        return [kept.stack for kept in found]


class ReadCache:
    """Frames by what was read; two different reads never share a key.

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
        self,
        run: RunInfo,
        pipe_id: str,
        entity_id: str,
        key: Hashable,
        read: Callable[[], Any],
        held: Callable[[Any], AbstractContextManager[Any]],
    ) -> Any:
        """Return the frame of a key, computed by the pipe that asks first.

        Args:
            pipe_id: who asks.
            key: everything in which two reads of this entity can differ, its version above all.
            held: as ``Engine.held``: a context manager that yields a frame which is computed once.

        Raises:
            PipeAbandoned: the pipe has to stop, or its run has ended.
        """
        shared = self._runs.get(run, "")
        if shared is None:
            return read()
        reader = _Reader(pipe_id)
        with shared.changed:
            if shared.closed:
                raise _late(entity_id)
            kept = shared.kept.setdefault(entity_id, {}).setdefault(key, _Kept())
            shared.readers.add(reader)
        try:
            if _wait(shared, kept, reader, entity_id):
                return kept.frame
            return _compute(shared, kept, reader, entity_id, lambda: held(read()))
        finally:
            with shared.changed:
                shared.readers.discard(reader)

    def kept(self, run: RunInfo) -> list[str]:
        """Return the entities that are kept now."""
        shared = self._runs.get(run, "")
        return sorted(shared.kept) if shared is not None else []

    def starting(self, run: RunInfo, pipe: PipeMetadata) -> None:
        """Stop other pipes from waiting for an earlier attempt at this pipe, which was left behind."""
        shared = self._runs.get(run, "")
        if shared is None or not shared.readers:
            return
        with shared.changed:
            # Not those that wait: this may be called late, by the attempt that was left behind.
            for reader in shared.of(pipe):
                reader.stopping = reader.stopping or reader.computing
            shared.changed.notify_all()

    def interrupt(self, run: RunInfo, pipe: PipeMetadata) -> None:
        """Let a pipe that has to stop wait no longer, and have others no longer wait for it."""
        shared = self._runs.get(run, "")
        if shared is None or not shared.readers:
            return
        with shared.changed:
            for reader in shared.of(pipe):
                reader.stopping = True
            shared.changed.notify_all()

    def ended(self, run: RunInfo, pipe: PipeMetadata) -> None:
        """Release what this pipe was the last to read."""
        shared = self._runs.get(run, "")
        if shared is None:
            return
        done: list[ExitStack] = []
        ended = [pipe]
        with shared.changed:
            for reader in shared.of(pipe):
                reader.stopping = reader.over = True
            shared.changed.notify_all()
            while ended:
                ended_pipe = ended.pop()
                made = ended_pipe.output_entity_id
                if made is not None and made in self._views and shared.left[made] > 0:
                    # It reads its inputs when it is read itself.
                    shared.lazy[made] = ended_pipe
                    continue
                for entity_id, times in Counter(split_version(name)[0] for name in ended_pipe.input_entity_ids).items():
                    shared.left[entity_id] -= times
                    if shared.left[entity_id] <= 0:
                        done += shared.take(entity_id)
                        if entity_id in shared.lazy:
                            ended.append(shared.lazy.pop(entity_id))
        _close(done)

    def close(self, run: RunInfo) -> None:
        """Release everything of a run, and at once what comes later."""
        shared = self._runs.get(run, "")
        if shared is None:
            return
        with shared.changed:
            shared.closed = True
            left = [stack for entity_id in list(shared.kept) for stack in shared.take(entity_id)]
            shared.changed.notify_all()
        self._runs.forget(run)
        _close(left)


def _wait(shared: _Shared, kept: _Kept, reader: _Reader, entity_id: str) -> bool:
    """Wait until a frame is there; False if this reader is to compute it."""
    with shared.changed:
        while not kept.computed:
            if reader.stopping or shared.closed:
                by = f", which pipe {kept.reader.pipe_id!r} reads," if kept.reader is not None else ""
                raise PipeAbandoned(f"Pipe {reader.pipe_id!r} waits no longer for {entity_id!r}{by} and drops it.")
            if kept.reader is None or kept.reader.stopping:
                kept.reader, reader.computing = reader, True
                return False
            shared.changed.wait()
        return True


def _compute(
    shared: _Shared, kept: _Kept, reader: _Reader, entity_id: str, held: Callable[[], AbstractContextManager[Any]]
) -> Any:
    stack = ExitStack()
    try:
        frame = stack.enter_context(held())
    except BaseException:
        with shared.changed:
            if kept.reader is reader:
                # Whoever waits tries for itself: the error may be of this pipe alone.
                kept.reader = None
                shared.changed.notify_all()
        raise
    with shared.changed:
        late = kept.released or (reader.over and kept.computed)
        if not late:
            kept.stack.callback(stack.close)
            if not kept.computed:
                kept.computed, kept.frame = True, frame
            kept.reader = None
            shared.changed.notify_all()
    if late:
        stack.close()
        raise _late(entity_id)
    return frame


def _late(entity_id: str) -> PipeAbandoned:
    return PipeAbandoned(f"{entity_id!r} was read after its pipe or its run had ended, and is dropped.")


def _close(stacks: Iterable[ExitStack]) -> None:
    """Release all, also where one of them fails."""
    with ExitStack() as together:
        for stack in stacks:
            together.callback(stack.close)
