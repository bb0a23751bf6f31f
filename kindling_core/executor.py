"""Runs the pipes of one generation beside each other."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import ClassVar
from uuid import uuid4

from kindling_core.errors import GenerationFailed
from kindling_core.payloads import AfterGeneration, BeforeGeneration
from kindling_core.signals import SignalEmitter, SignalPayload, SignalProvider


class GenerationExecutor(SignalEmitter):
    """Runs generations on a pool of threads that is kept from one to the next; ``close()`` ends it.

    Args:
        max_workers: pipes at a time. With 1, and for a generation of one pipe, pipes run on the calling thread.
    """

    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = (BeforeGeneration, AfterGeneration)
    EMITS: ClassVar[list[str]] = [payload.SIGNAL for payload in PAYLOADS]

    def __init__(self, max_workers: int = 4, signal_provider: SignalProvider | None = None) -> None:
        super().__init__()
        if max_workers < 1:
            raise ValueError(f"max_workers is {max_workers}; at least 1 pipe must be able to run.")
        self.max_workers = max_workers
        self._pool: ThreadPoolExecutor | None = None
        if signal_provider is not None:
            self.set_signal_provider(signal_provider)

    def execute_generation(
        self,
        generation: Sequence[str],
        pipe_executor: Callable[[str], object],
        generation_index: int,
        *,
        run_id: str | None = None,
        cancel: threading.Event | None = None,
    ) -> dict[str, bool]:
        """Run pipes that do not depend on each other.

        After the first failure nothing new starts, and what has started is waited for.

        Args:
            pipe_executor: runs one pipe, given its id; any exception is that pipe's failure.
            cancel: once set, nothing new starts.

        Returns:
            Pipe id -> True for each pipe that ran; fewer than given if ``cancel`` was set.

        Raises:
            GenerationFailed: with every failure and result; its cause is the first failure.
            KeyboardInterrupt: came to this thread or out of a pipe; what had started has ended.
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
        attempt = _Attempt(pipe_executor, cancel)
        try:
            if self.max_workers == 1 or len(generation) == 1:
                for pipe_id in generation:
                    attempt.run(pipe_id)
            elif generation:
                self._run_in_pool(generation, attempt)
        finally:
            results = {pipe_id: attempt.results[pipe_id] for pipe_id in generation if pipe_id in attempt.results}
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
        if attempt.failures:
            first = next(iter(attempt.failures.values()))
            if any(isinstance(error, KeyboardInterrupt) for error in attempt.failures.values()):
                raise KeyboardInterrupt from first
            raise GenerationFailed(attempt.failures, results) from first
        return results

    def _run_in_pool(self, generation: Sequence[str], attempt: _Attempt) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.max_workers, thread_name_prefix="kindling-pipe")
        try:
            # Each pipe gets a copy of the caller's context, so that what a tracer keeps there reaches the pipe.
            wait([self._pool.submit(contextvars.copy_context().run, attempt.run, pipe_id) for pipe_id in generation])
        except BaseException:
            # Ctrl-C arrives here. A second one breaks off this wait too, and leaves what hangs behind.
            attempt.stop_and_wait()
            raise

    def close(self) -> None:
        """End the threads; may be called twice, and the executor may be used again afterwards."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def __enter__(self) -> GenerationExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Attempt:
    """What the threads of one generation share."""

    def __init__(self, pipe_executor: Callable[[str], object], cancel: threading.Event | None) -> None:
        self._pipe_executor = pipe_executor
        self._cancel = cancel
        self._changed = threading.Condition()
        self._running = 0
        self._stopped = False
        self.results: dict[str, bool] = {}
        self.failures: dict[str, BaseException] = {}

    def run(self, pipe_id: str) -> None:
        with self._changed:
            if self._stopped or (self._cancel is not None and self._cancel.is_set()):
                return
            self._running += 1
        failure: BaseException | None = None
        try:
            self._pipe_executor(pipe_id)
        except BaseException as error:  # noqa: BLE001 - a pipe that exits or is interrupted has failed, too
            failure = error
        with self._changed:
            self._running -= 1
            self.results[pipe_id] = failure is None
            if failure is not None:
                self._stopped = True
                self.failures[pipe_id] = failure
            self._changed.notify_all()

    def stop_and_wait(self) -> None:
        """Let nothing new start and wait for what runs, also for what an interrupted caller lost track of."""
        with self._changed:
            self._stopped = True
            self._changed.wait_for(lambda: self._running == 0)
