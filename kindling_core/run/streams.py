"""The streams of a run: what a feature gives for a query that it has started, and a run that stays open for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from kindling_core.clock import Bell, Clock, wait_until
from kindling_core.errors import KindlingError, PipeError, RunFailed
from kindling_core.run.crew import aside

if TYPE_CHECKING:
    from kindling_core.run.cancellation import CancelToken
    from kindling_core.run.report import RunReport


class StreamHandle(Protocol):
    """The query of a streaming pipe; returned by ``kindling_start_stream``. Every method is safe on any thread.

    A feature that starts its queries again when they fail gives one handle for all of them: it ends once no query of
    the pipe runs and none will be started again.
    """

    @property
    def status(self) -> str:
        """A few words for people, such as "running" or "restarting, 2 of 3"."""

    @property
    def error(self) -> BaseException | None:
        """Why it has ended; None while it runs, and if it was stopped."""

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it has ended; return whether it has.

        Args:
            timeout_seconds: the longest wait; None is without limit.
        """

    def stop(self) -> None:
        """Ask it to end, and return at once; harmless if it has ended."""


class RunStreams:
    """The streams that the pipes of a run have started."""

    def __init__(self) -> None:
        self._handles: dict[str, StreamHandle] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._handles)

    @property
    def handles(self) -> Mapping[str, StreamHandle]:
        """Pipe id -> its stream."""
        with self._lock:
            return dict(self._handles)

    def add(self, pipe_id: str, handle: StreamHandle) -> None:
        """Keep the stream of a pipe until the run ends."""
        with self._lock:
            self._handles[pipe_id] = handle

    def stop(self) -> dict[str, BaseException]:
        """Ask every stream to end; return pipe id -> error of those that could not be asked."""
        errors: dict[str, BaseException] = {}
        for pipe_id, handle in self.handles.items():
            try:
                handle.stop()
            except Exception as error:  # noqa: BLE001 - the other streams have to be stopped, too
                errors[pipe_id] = error
        return errors


class OpenRun:
    """A run whose pipes have started and whose streams still run. Its lease and its history stay open with it.

    Args:
        run_id: of the run.
        streams: of the run.
        cancelled: cancels the run: its streams are stopped.
        grace_seconds: how long streams that are stopped may take to end.
        fail_fast: the first stream that fails stops the others.
        clock: measures the grace.
        end: called once, when every stream has ended: with pipe id -> error of the streams that failed, and whether the
            run was cancelled; returns the report of the run or raises RunFailed.
    """

    def __init__(
        self,
        run_id: str,
        streams: RunStreams,
        *,
        cancelled: CancelToken,
        grace_seconds: float,
        fail_fast: bool,
        clock: Clock,
        end: Callable[[Mapping[str, BaseException], bool], RunReport],
    ) -> None:
        self.run_id = run_id
        self.streams = streams
        self._cancelled = cancelled
        self._grace_seconds = grace_seconds
        self._fail_fast = fail_fast
        self._clock = clock
        self._end = end
        self._bell = Bell()
        self._left = set(streams.handles)
        self._failed: dict[str, BaseException] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._outcome: RunReport | BaseException | None = None
        self._callbacks: list[Callable[[], object]] = []

    def start(self) -> None:
        """Begin to wait for the streams, on threads of its own."""
        for pipe_id, handle in self.streams.handles.items():
            self._begin(lambda pipe_id=pipe_id, handle=handle: self._await(pipe_id, handle))  # type: ignore[misc]
        self._begin(self._attend)

    @property
    def is_open(self) -> bool:
        """Whether the run has not ended yet."""
        return not self._ended.is_set()

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Have a function called once the run has ended; at once if it has. It must not raise."""
        with self._lock:
            if not self._ended.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def stop(self) -> None:
        """Ask every stream to end, and return at once; the run then ends as a success."""
        self.streams.stop()

    def cancel(self) -> None:
        """Stop every stream and end the run as cancelled; returns at once."""
        self._cancelled.set()

    def wait(self, timeout_seconds: float | None = None) -> RunReport:
        """Wait until every stream has ended, and return the report of the run.

        Args:
            timeout_seconds: the longest wait; None is without limit.

        Raises:
            RunFailed: a stream or another pipe of the run failed, or it was cancelled.
            TimeoutError: the run is still open.
        """
        if not self._ended.wait(timeout_seconds):
            raise TimeoutError(f"The streams of run {self.run_id} still run: {', '.join(sorted(self._left))}.")
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome

    @staticmethod
    def _begin(work: Callable[[], None]) -> None:
        if not aside(work, "kindling-streams"):
            raise KindlingError("The system gives no more threads, so the streams of this run cannot be waited for.")

    def _await(self, pipe_id: str, handle: StreamHandle) -> None:
        error: BaseException | None
        try:
            handle.wait()
            error = handle.error
        except Exception as raised:  # noqa: BLE001 - a stream that cannot be waited for has failed
            error = raised
        with self._lock:
            self._left.discard(pipe_id)
            if error is not None:
                self._failed[pipe_id] = error
        self._bell.ring()

    def _attend(self) -> None:
        def has_to_act() -> bool:
            return not self._left or self._cancelled.is_set() or (self._fail_fast and bool(self._failed))

        try:
            with self._cancelled.waking(self._bell.ring):
                wait_until(self._clock, self._bell, has_to_act)
            cancelled = self._cancelled.is_set()
            if self._left:
                refused = self.streams.stop()
                wait_until(self._clock, self._bell, lambda: not self._left, self._grace_seconds)
                with self._lock:
                    for pipe_id in sorted(self._left):
                        error = PipeError(f"Its stream did not stop within {self._grace_seconds:g} s.")
                        error.__cause__ = refused.get(pipe_id)
                        self._failed.setdefault(pipe_id, error)
            self._outcome = self._end(dict(self._failed), cancelled)
        except RunFailed as failed:
            self._outcome = failed
        except BaseException as raised:  # noqa: BLE001 - raised again where the run is waited for
            self._outcome = raised
        finally:
            with self._lock:
                self._ended.set()
                callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()
