"""Runs the pipes of a generation beside each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import ClassVar
from uuid import uuid4

from kindling_core.errors import GenerationFailed
from kindling_core.plan.schedule import Schedule, unordered
from kindling_core.run.attempt import Attempt, Work
from kindling_core.run.cancellation import CancelToken
from kindling_core.run.dispatcher import Dispatcher
from kindling_core.run.options import DEFAULT_MAX_WORKERS
from kindling_core.run.payloads import AfterGeneration, BeforeGeneration
from kindling_core.run.policy import REACHED, Verdict
from kindling_core.run.ready_queue import ReadyQueue
from kindling_core.signals import SignalEmitter, SignalPayload, SignalProvider


class GenerationExecutor(SignalEmitter):
    """Runs generations on a crew of threads that is kept from generation to generation; ``close()`` ends it.

    Args:
        max_workers: pipes at a time.
    """

    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = (BeforeGeneration, AfterGeneration)
    EMITS: ClassVar[list[str]] = [payload.SIGNAL for payload in PAYLOADS]

    def __init__(
        self,
        max_workers: int = DEFAULT_MAX_WORKERS,
        signal_provider: SignalProvider | None = None,
        *,
        dispatcher: Dispatcher | None = None,
    ) -> None:
        super().__init__()
        self.max_workers = max_workers
        self._dispatcher = dispatcher or Dispatcher(max_workers)
        if signal_provider is not None:
            self.set_signal_provider(signal_provider)

    def execute_generation(
        self,
        generation: Sequence[str],
        pipe_executor: Callable[[str], object],
        generation_index: int,
        *,
        run_id: str | None = None,
        cancel: CancelToken | threading.Event | None = None,
    ) -> dict[str, bool]:
        """Run pipes that do not depend on each other.

        After the first failure nothing new starts, and what has started is waited for.

        Args:
            pipe_executor: runs a pipe, given its id; any exception is that pipe's failure.
            cancel: once set, nothing new starts.

        Returns:
            Pipe id -> True for each pipe that ran; fewer than given if ``cancel`` was set.

        Raises:
            GenerationFailed: with every failure and result; its cause is the first failure.
            KeyboardInterrupt: came to this thread or out of a pipe; what had started has ended.
        """
        work = _FailFast(pipe_executor, cancel)
        results = self.run_generation(generation, work, generation_index, run_id=run_id)
        if work.failures:
            first = next(iter(work.failures.values()))
            if any(isinstance(error, KeyboardInterrupt) for error in work.failures.values()):
                raise KeyboardInterrupt from first
            raise GenerationFailed(work.failures, results) from first
        return results

    def run_generation(
        self,
        generation: Sequence[str],
        work: Work,
        generation_index: int,
        *,
        run_id: str | None = None,
        pools: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        schedule: Schedule | None = None,
        timeout: BaseException | None = None,
        deadline: float | None = None,
    ) -> dict[str, bool]:
        """Run pipes of a generation as ``work`` decides, also what a failure means to the other pipes.

        Args:
            work: runs the pipes; its ``results`` say how each pipe that was started has ended.
            schedule: the pipes that are left of the generation, with their priorities; all of them unless given.
            timeout, deadline: see ``Dispatcher.run``.
        """
        operation_id = str(uuid4())
        self.emit(
            BeforeGeneration.SIGNAL,
            generation_index=generation_index,
            pipe_ids=list(generation),
            pipe_count=len(generation),
            run_id=run_id,
            operation_id=operation_id,
        )
        results: dict[str, bool] = {}
        try:
            queue = ReadyQueue(schedule or unordered(generation), pools, limits)
            self._dispatcher.run(queue, work, timeout=timeout, deadline=deadline)
        finally:
            ended: Mapping[str, bool] = getattr(work, "results", {})
            results = {pipe_id: ended[pipe_id] for pipe_id in generation if pipe_id in ended}
            succeeded = sum(results.values())
            self.emit(
                AfterGeneration.SIGNAL,
                generation_index=generation_index,
                results=dict(results),
                success_count=succeeded,
                failed_count=len(results) - succeeded,
                run_id=run_id,
                operation_id=operation_id,
            )
        return results

    def close(self) -> None:
        """End the threads; may be called twice, and the executor may be used again afterwards."""
        self._dispatcher.close()

    def __enter__(self) -> GenerationExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _NotStarted(Exception):
    """The generation was cancelled before this pipe began."""


class _FailFast:
    """Plain callables as the work of a dispatcher. Implements ``Work``."""

    def __init__(self, pipe_executor: Callable[[str], object], cancel: CancelToken | threading.Event | None) -> None:
        self._pipe_executor = pipe_executor
        self._cancel = cancel
        self.ending = False
        self.results: dict[str, bool] = {}
        self.failures: dict[str, BaseException] = {}

    def timeout_seconds(self, pipe_id: str) -> float | None:
        return None

    def perform(self, attempt: Attempt) -> object:
        if self._cancel is not None and self._cancel.is_set():
            raise _NotStarted
        return self._pipe_executor(attempt.pipe_id)

    def settle(self, attempt: Attempt, result: object, error: BaseException | None) -> Verdict:
        if isinstance(error, _NotStarted):
            return Verdict(False, stop=True)
        self.results[attempt.pipe_id] = error is None and not attempt.abandoned
        if self.results[attempt.pipe_id]:
            return REACHED
        self.ending = True
        self.failures[attempt.pipe_id] = error or KeyboardInterrupt(f"{attempt.pipe_id!r} was given up.")
        return Verdict(False, stop=True)

    def skipped(self, pipe_id: str, because_of: str) -> None:
        raise AssertionError(f"{pipe_id!r} waits for nobody")  # nothing in a generation depends on another

    def interrupt(self, attempt: Attempt) -> None:
        """A plain callable cannot be asked to stop; it is waited for, or left behind."""
