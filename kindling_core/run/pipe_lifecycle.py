"""What happens to a pipe of a run: its attempts, its only ending, and the signals of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from kindling_core.errors import (
    KindlingError,
    PipeAbandoned,
    PipeCancelled,
    PipeError,
    PipeTimeout,
    safe_str,
)
from kindling_core.logs import Log
from kindling_core.pipes import PipeMetadata
from kindling_core.plain_values import plain_values
from kindling_core.run import payloads
from kindling_core.run.attempt import Attempt
from kindling_core.run.generations import GenerationTracker
from kindling_core.run.hooks import RunHooks
from kindling_core.run.operation_ids import OperationIds
from kindling_core.run.pipe_execution import PipeExecution, VersionsRead
from kindling_core.run.policy import (
    REACHED,
    Failure,
    OnFailure,
    PipePolicy,
    Verdict,
    decide,
    is_transient,
    may_retry,
)
from kindling_core.run.record import Run
from kindling_core.run.report import PipeReport
from kindling_core.run.requests import WriteResult
from kindling_core.secrets import describe_error

_log = Log("kindling.pipes")


def _nothing() -> None:
    """Send nothing: the pipe had ended before."""


class PipeLifecycle:
    """The pipes of a run, for the dispatcher. Implements ``Work``.

    Args:
        emit: as ``SignalEmitter.emit``.
        generations: learns of starts and endings; None where another object signals generations, or there are none.
        warned: pipes for which a warning of a dropped value was logged.
        chance: returns a number of [0, 1), for the jitter of delays.

    Attributes:
        ending: a failure ends the run: nothing starts any more, a retry neither.
    """

    def __init__(
        self,
        run: Run,
        policies: Mapping[str, PipePolicy],
        on_failure: OnFailure,
        emit: Callable[..., Any],
        hooks: RunHooks,
        generations: GenerationTracker | None,
        warned: set[str],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._run = run
        self._policies = policies
        self._on_failure = on_failure
        self._emit = emit
        self._hooks = hooks
        self._generations = generations
        self._execution = PipeExecution(run.info, run.io, hooks, run.process_id, warned)
        self._chance = chance
        self._new_id = OperationIds().new
        self.ending = False
        self.results: dict[str, bool] = {}

    def timeout_seconds(self, pipe_id: str) -> float | None:
        return self._policies[pipe_id].timeout_seconds

    def perform(self, attempt: Attempt) -> WriteResult | str:
        """Run a pipe; returns what it wrote, or the reason for which it was skipped."""
        run, pipe_id = self._run, attempt.pipe_id
        pipe = run.plan.pipes[pipe_id]
        first = not run.has_started(pipe_id)
        if first and self._generations is not None:
            self._generations.starting(pipe_id)
        # What hangs in a receiver, a hook or a read may be left behind there, and begins nothing once it goes on.
        attempt.fence.check()
        run.start(pipe_id)
        is_stream = pipe.mode == "streaming"
        # What a stream reads and writes it reads and writes later, so that its start is no work of the pipe.
        before = self._hooks.before_pipe if not is_stream else None
        reason = before(pipe, run.info) if before is not None else None
        if reason is not None:
            return safe_str(reason)
        attempt.fence.check()
        if first:
            self._signal_start(pipe, attempt.number)
        written = self._do(pipe, attempt)
        # What is past its time limit has failed, also where there was nothing to commit.
        attempt.fence.check()
        if self._hooks.pipe_succeeded is not None and not is_stream:
            with attempt.fence.committing():
                self._hooks.pipe_succeeded(pipe, run.info, written)
        if written.version is not None and pipe.output_entity_id is not None:
            run.versions_written[pipe.output_entity_id] = written.version
        return written

    def settle(self, attempt: Attempt, result: object, error: BaseException | None) -> Verdict:
        """Give an attempt its ending, and the pipe its own unless it is tried again."""
        if error is not None or attempt.abandoned:
            return self._failed(attempt, error)
        run, pipe_id = self._run, attempt.pipe_id
        pipe, duration = run.plan.pipes[pipe_id], run.seconds_since_start(pipe_id)
        if isinstance(result, str):
            report = run.end(pipe_id, "skipped", duration, reason=result)
            if report is not None:
                self._signal_skipped(pipe, report)
            return REACHED
        assert isinstance(result, WriteResult)
        report = run.end(pipe_id, "succeeded", duration, attempts=attempt.number, written=result)
        if report is not None:
            self._emit(
                payloads.AfterPipe.SIGNAL,
                duration_seconds=duration,
                rows_processed=result.rows,
                attempt=attempt.number,
                attempt_seconds=run.seconds_of_attempt(pipe_id),
                output_entity_id=pipe.output_entity_id,
                version_written=report.version_written,
                versions_read=report.versions_read,
                ranges_read=report.ranges_read,
                note=report.note,
                details=plain_values(report.details),
                **self._common(pipe),
            )
            self._ended(pipe, report, True)
        return REACHED

    def skipped(self, pipe_id: str, because_of: str) -> None:
        """Skip a pipe because another pipe failed."""
        self.skip(pipe_id, f"pipe {because_of!r} failed", because_of)()

    def skip(self, pipe_id: str, reason: str, caused_by: str | None = None) -> Callable[[], None]:
        """Record the ending of a pipe that never started; return what signals it."""
        report = self._run.end(pipe_id, "skipped", 0.0, reason=reason, caused_by=caused_by)
        pipe = self._run.plan.pipes[pipe_id]
        return _nothing if report is None else lambda: self._signal_skipped(pipe, report)

    def give_up(self, pipe_id: str) -> Callable[[], None]:
        """Record the failure of a pipe that waited for its next attempt when the run ended; return what signals it."""
        unknown = (PipeCancelled("The run ended before it could."), 1, self._run.seconds_of_attempt(pipe_id))
        return self._end_failed(self._run.plan.pipes[pipe_id], *self._run.failing.get(pipe_id, unknown))

    def interrupt(self, attempt: Attempt) -> None:
        """Ask the features to stop what they do for a pipe."""
        if self._hooks.interrupt is None:
            return
        try:
            self._hooks.interrupt(self._run.plan.pipes[attempt.pipe_id], self._run.info)
        except Exception as error:  # noqa: BLE001 - an engine may raise anything, on a thread where nobody could catch it
            self._log_failure("Pipe %r could not be interrupted; it is left behind if it does not end.", attempt, error)

    def _log_failure(self, message: str, of: PipeMetadata | Attempt, error: BaseException) -> None:
        """Log what a feature raised, with a traceback that shows no secret."""
        _log.error(f"{message}\n%s", of.pipe_id, describe_error(error, self._hooks.masked))

    # An attempt

    def _do(self, pipe: PipeMetadata, attempt: Attempt) -> WriteResult:
        if pipe.mode == "streaming":
            return self._start_stream(pipe, attempt)
        run = self._run
        read = VersionsRead()
        try:
            return self._execution.execute(pipe, attempt.fence, read=read, written_before=run.versions_written)
        finally:
            # Also of an attempt that failed: its report says what it had read.
            if read.versions:
                run.versions_read[pipe.pipe_id] = read.versions
            if read.ranges:
                run.ranges_read[pipe.pipe_id] = read.ranges

    def _start_stream(self, pipe: PipeMetadata, attempt: Attempt) -> WriteResult:
        """Have a feature start the query of a streaming pipe; the run keeps its handle."""
        start = self._hooks.start_stream
        handle = start(pipe, self._run.info, attempt.fence) if start is not None else None
        if handle is None:
            raise PipeError(
                f"No active feature started the stream of pipe {pipe.pipe_id!r} ({pipe.location}). Add a feature that "
                f"runs such pipes, such as 'streaming', to the job's features."
            )
        if attempt.fence.closed:
            # The attempt was given up meanwhile, so nobody would stop its query.
            handle.stop()
        attempt.fence.check()
        self._run.streams.add(pipe.pipe_id, handle)
        return WriteResult(0, durable=False)

    def _failed(self, attempt: Attempt, error: BaseException | None) -> Verdict:
        run, pipe = self._run, self._run.plan.pipes[attempt.pipe_id]
        failure = self._explained(attempt, pipe, error)
        policy = self._policies[pipe.pipe_id]
        # An attempt that ends because its run is stopped is not tried again.
        run_ends = self.ending or (attempt.ending is not None and attempt.ending.reason is not None)
        if attempt.abandoned:
            run.left_behind.add(pipe.pipe_id)
        # Features are asked only if their answer can matter.
        worth_retrying = may_retry(attempt.number, policy, run_ends) and self._is_worth_retrying(failure, pipe)
        verdict = decide(
            Failure(attempt.number, failure, worth_retrying, run_ends), policy, self._on_failure, self._chance
        )
        if verdict.retry_after is not None:
            self._signal_retry(pipe, attempt, failure, policy.retry.attempts, verdict.retry_after)
            return verdict
        if verdict.stop:
            # Before the signal: who hears of the failure sees nothing start afterwards, however long receivers take.
            self.ending = True
        self._end_failed(pipe, failure, attempt.number, run.seconds_of_attempt(pipe.pipe_id))()
        return verdict

    def _signal_retry(
        self, pipe: PipeMetadata, attempt: Attempt, error: BaseException, max_attempts: int, delay_seconds: float
    ) -> None:
        run = self._run
        seconds = run.seconds_of_attempt(pipe.pipe_id)
        run.failing[pipe.pipe_id] = (error, attempt.number, seconds)
        self._signal_start(pipe, attempt.number)
        self._emit(
            payloads.PipeRetrying.SIGNAL,
            error=self._hooks.error_text(error),
            error_type=type(error).__name__,
            attempt=attempt.number,
            attempt_seconds=seconds,
            max_attempts=max_attempts,
            delay_seconds=delay_seconds,
            duration_seconds=run.seconds_since_start(pipe.pipe_id),
            **self._common(pipe),
        )

    def _is_worth_retrying(self, error: BaseException, pipe: PipeMetadata) -> bool:
        if not isinstance(error, Exception):
            return False
        answer = None
        if self._hooks.classify is not None:
            try:
                answer = self._hooks.classify(error, pipe)
            except Exception as raised:  # noqa: BLE001 - the pipe's own error is what counts, and must not be hidden
                self._log_failure("Whether pipe %r is tried again is left to the core: a feature failed.", pipe, raised)
        return is_transient(error) if answer is None else answer

    def _explained(self, attempt: Attempt, pipe: PipeMetadata, error: BaseException | None) -> BaseException:
        """Return the error that an attempt failed with, which says so if the attempt was made to end."""
        left = _how_it_was_left(attempt) if attempt.abandoned else ""
        if attempt.ending is None:
            return error if error is not None else PipeAbandoned(f"Pipe {pipe.pipe_id!r} was given up.{left}")
        reason = attempt.ending.reason
        if reason is None:
            seconds = attempt.allowed_seconds
            made: BaseException = PipeTimeout(f"Pipe {pipe.pipe_id!r} took longer than {seconds:g} s.{left}")
        elif not attempt.abandoned and error is not None and not isinstance(error, Exception):
            return error
        else:
            text = self._hooks.error_text(reason)
            made = PipeCancelled(f"Pipe {pipe.pipe_id!r} was stopped: {text}.{left}")
        made.__cause__ = error if error is not None and error is not reason else None
        return made

    # Endings

    def _end_failed(
        self, pipe: PipeMetadata, error: BaseException, attempts: int, seconds: float
    ) -> Callable[[], None]:
        run, duration = self._run, self._run.seconds_since_start(pipe.pipe_id)
        allowed = self._policies[pipe.pipe_id].allow_failure and not isinstance(error, PipeCancelled)
        if allowed:
            run.exempt.add(pipe.pipe_id)
        text, kind = self._hooks.error_text(error), type(error).__name__
        report = run.end(
            pipe.pipe_id,
            "failed",
            duration,
            attempts=attempts,
            exception=error,
            error_text=text,
            allowed=allowed,
            details=error.details if isinstance(error, KindlingError) else None,
        )
        if report is None:
            return _nothing

        def signal() -> None:
            self._signal_start(pipe, attempts)
            self._emit(
                payloads.PipeFailed.SIGNAL,
                error=text,
                error_type=kind,
                duration_seconds=duration,
                attempt=attempts,
                attempt_seconds=seconds,
                allowed=allowed,
                details=plain_values(report.details),
                **self._common(pipe),
            )
            self._ended(pipe, report, False)

        return signal

    def _signal_start(self, pipe: PipeMetadata, attempt: int) -> None:
        """Send ``before_pipe`` once, also for a pipe that failed before it could be sent."""
        if pipe.pipe_id in self._run.operations:
            return
        mine = self._new_id()
        # An attempt that was left behind may get here at the same time as the next attempt.
        if self._run.operations.setdefault(pipe.pipe_id, mine) is not mine:
            return
        index = self._run.index[pipe.pipe_id]
        self._emit(payloads.BeforePipe.SIGNAL, pipe_index=index, attempt=attempt, **self._common(pipe))

    def _signal_skipped(self, pipe: PipeMetadata, report: PipeReport) -> None:
        self._emit(payloads.PipeSkipped.SIGNAL, reason=report.reason, caused_by=report.caused_by, **self._common(pipe))
        self._ended(pipe, report, True if self._run.has_started(pipe.pipe_id) else None)

    def _ended(self, pipe: PipeMetadata, report: PipeReport, reached: bool | None) -> None:
        if self._hooks.after_pipe is not None:
            try:
                self._hooks.after_pipe(pipe, self._run.info, report)
            except Exception as error:  # noqa: BLE001 - the pipe has ended, and its ending stays
                self._log_failure("A feature failed after pipe %r, which has ended as it did.", pipe, error)
        if reached is not None:
            self.results[pipe.pipe_id] = reached
        if self._generations is not None:
            self._generations.ended(pipe.pipe_id, reached)

    def _common(self, pipe: PipeMetadata) -> dict[str, Any]:
        operation_id = self._run.operations.get(pipe.pipe_id) or self._new_id()
        return {
            "pipe_id": pipe.pipe_id,
            "pipe_name": pipe.name,
            "run_id": self._run.info.run_id,
            "operation_id": operation_id,
        }


def _how_it_was_left(attempt: Attempt) -> str:
    """Say what an attempt that was left behind has written, or may still write."""
    how = " It could not be stopped and was left behind"
    if attempt.fence.committed:
        return f"{how} after it had written its output."
    return how + ("; it can no longer write." if attempt.fence.closed else " while it wrote, so look what it wrote.")
