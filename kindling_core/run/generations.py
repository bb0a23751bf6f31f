"""The signals of generations, while pipes start as soon as they can."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.run.operation_ids import OperationIds
from kindling_core.run.payloads import AfterGeneration, BeforeGeneration


class GenerationTracker:
    """Sends ``before_generation`` with the first pipe of a generation and ``after_generation`` after its last.

    A generation of which no pipe starts has no signals.

    Args:
        emit: as ``SignalEmitter.emit``.
    """

    def __init__(self, plan: ExecutionPlan, run_id: str, emit: Callable[..., Any]) -> None:
        self._generations = plan.generations
        self._run_id = run_id
        self._emit = emit
        self._new_id = OperationIds().new
        self._place = {pipe_id: index for index, ids in enumerate(plan.generations) for pipe_id in ids}
        self._open = [len(ids) for ids in plan.generations]
        self._operations: list[str | None] = [None] * len(plan.generations)
        self._results: dict[int, dict[str, bool]] = {}
        self._announced = [False] * len(plan.generations)
        self._awaited: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    def starting(self, pipe_id: str) -> None:
        """A pipe is about to start for the first time."""
        index = self._place[pipe_id]
        if self._announced[index]:
            return
        announced = None
        with self._lock:
            if self._announced[index]:
                return
            if self._operations[index] is None:
                self._operations[index] = self._new_id()
            else:
                announced = self._awaited.setdefault(index, threading.Event())
        if announced is not None:
            # No signal of a pipe may come before that of its generation. No lock is held meanwhile: a receiver that
            # hangs holds up the pipes of this generation, and no others.
            announced.wait()
            return
        ids = self._generations[index]
        try:
            self._emit(
                BeforeGeneration.SIGNAL,
                generation_index=index,
                pipe_ids=list(ids),
                pipe_count=len(ids),
                run_id=self._run_id,
                operation_id=self._operations[index],
            )
        finally:
            with self._lock:
                self._announced[index] = True
                announced = self._awaited.pop(index, None)
            if announced is not None:
                announced.set()

    def ended(self, pipe_id: str, succeeded: bool | None) -> None:
        """A pipe has ended; None if it never started."""
        index = self._place[pipe_id]
        with self._lock:
            self._open[index] -= 1
            if succeeded is not None:
                self._results.setdefault(index, {})[pipe_id] = succeeded
            if self._open[index] or self._operations[index] is None:
                return
            ended = self._results.pop(index, {})
        results = {known: ended[known] for known in self._generations[index] if known in ended}
        count = sum(results.values())
        self._emit(
            AfterGeneration.SIGNAL,
            generation_index=index,
            results=results,
            success_count=count,
            failed_count=len(results) - count,
            run_id=self._run_id,
            operation_id=self._operations[index],
        )
