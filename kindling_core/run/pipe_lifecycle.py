"""What happens to one pipe of a run: its attempts, its one ending, and what is told of them."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

from kindling_core.errors import KindlingError, PipeAbandoned, PipeCancelled, PipeError, PipeTimeout, text_of
from kindling_core.pipes import PipeMetadata
from kindling_core.run import payloads
from kindling_core.run.attempt import REACHED, Attempt, Verdict
from kindling_core.run.generations import GenerationTracker
from kindling_core.run.hooks import RunHooks
from kindling_core.run.operation_ids import OperationIds
from kindling_core.run.policy import OnFailure, PipePolicy, is_transient
from kindling_core.run.record import Run
from kindling_core.run.report import PipeReport
from kindling_core.run.requests import WriteResult
from kindling_core.secrets import describe_error, redacted

_log = logging.getLogger("kindling.pipes")
_STOP = Verdict(False, stop=True)
_CANCEL = Verdict(False, stop=True, cancel=True)


def _nothing() -> None:
    """There is nothing to tell: the pipe had ended before."""


class PipeLifecycle:
    """The pipes of one run, for the dispatcher. Implements ``Work``.

    Args:
        emit: as ``SignalEmitter.emit``.
        generations: told of starts and endings; None where somebody else tells of generations, or there are none.
        warned: pipes whose dropped value was told of already.
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
        self._warned = warned
        self._chance = chance
        self._new_id = OperationIds().new
        # Nothing starts any more, a retry neither.
        self._ending = False
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
        before = self._hooks.before_pipe
        reason = before(pipe, run.info) if before is not None else None
        if reason is not None:
            return self._redact(str(reason))
        attempt.fence.check()
        if first:
            self._tell_start(pipe, attempt.number)
        written = self._do(pipe, attempt)
        # What is past its time limit has failed, also where there was nothing to commit.
        attempt.fence.check()
        if self._hooks.pipe_succeeded is not None:
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
                self._tell_skipped(pipe, report)
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
                **self._common(pipe),
            )
            self._ended(pipe, report, True)
        return REACHED

    def skipped(self, pipe_id: str, because_of: str) -> None:
        """Skip a pipe because another one failed."""
        self.skip(pipe_id, f"pipe {because_of!r} failed", because_of)()

    def skip(self, pipe_id: str, reason: str, caused_by: str | None = None) -> Callable[[], None]:
        """Give a pipe that never started its ending; return what tells of it."""
        report = self._run.end(pipe_id, "skipped", 0.0, reason=reason, caused_by=caused_by)
        pipe = self._run.plan.pipes[pipe_id]
        return _nothing if report is None else lambda: self._tell_skipped(pipe, report)

    def give_up(self, pipe_id: str) -> Callable[[], None]:
        """End a pipe that was to be tried again when the run ended; return what tells of it."""
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

    def told(self, error: BaseException | None) -> str:
        """Return an error's text without secrets."""
        return self._redact(text_of(error))

    def _redact(self, text: str) -> str:
        return self._hooks.redact(text) if self._hooks.redact is not None else text

    def _log_failure(self, message: str, of: PipeMetadata | Attempt, error: BaseException) -> None:
        """Log what a feature raised, with a traceback that shows no secret."""
        _log.error(f"{message}\n%s", of.pipe_id, describe_error(error, self._redact))

    # One attempt

    def _do(self, pipe: PipeMetadata, attempt: Attempt) -> WriteResult:
        run = self._run
        if pipe.mode == "streaming" and self._hooks.start_stream is not None:
            return WriteResult(self._hooks.start_stream(pipe, run.info, attempt.fence))
        inputs = {}
        for parameter, entity_id in pipe.parameters.items():
            got = run.io.read(entity_id, pipe)
            inputs[parameter] = got.value
            version = run.versions_written.get(entity_id) if got.version is None else got.version
            if version is not None:
                run.versions_read.setdefault(pipe.pipe_id, {})[entity_id] = version
        attempt.fence.check()
        value = pipe.execute(**inputs)
        attempt.fence.check()
        if pipe.output_entity_id is None:
            if value is not None and pipe.pipe_id not in self._warned:
                self._warned.add(pipe.pipe_id)
                _log.warning(
                    "Pipe %r (%s) returned a %s but declares no output, so it is dropped. Declare output=..., "
                    "or return nothing.",
                    pipe.pipe_id,
                    pipe.location,
                    type(value).__name__,
                )
            return WriteResult(0)
        if value is None:
            raise PipeError(
                f"Pipe {pipe.pipe_id!r} ({pipe.location}) returned nothing for its output "
                f"{pipe.output_entity_id!r}. Return it, or declare no output if the pipe writes by itself."
            )
        written = run.io.write(pipe.output_entity_id, value, pipe, attempt)
        if isinstance(written, WriteResult):
            return written
        # A user's own write function may return anything, its frame for one; only a count is a count.
        return WriteResult(int(written) if isinstance(written, Integral) else None)

    def _failed(self, attempt: Attempt, error: BaseException | None) -> Verdict:
        run, pipe = self._run, self._run.plan.pipes[attempt.pipe_id]
        told = self._explained(attempt, pipe, error)
        # An attempt that ends because its run is stopped is not tried again.
        stopped = attempt.limit is not None and not isinstance(told, PipeTimeout)
        policy = self._policies[pipe.pipe_id]
        if attempt.abandoned:
            run.left_behind.add(pipe.pipe_id)
        if not stopped and not self._ending and attempt.number < policy.retry.attempts and self._worth_it(told, pipe):
            delay = policy.retry.delay(attempt.number, self._chance)
            seconds = run.seconds_of_attempt(pipe.pipe_id)
            run.failing[pipe.pipe_id] = (told, attempt.number, seconds)
            self._tell_start(pipe, attempt.number)
            self._emit(
                payloads.PipeRetrying.SIGNAL,
                error=self.told(told),
                error_type=type(told).__name__,
                attempt=attempt.number,
                attempt_seconds=seconds,
                max_attempts=policy.retry.attempts,
                delay_seconds=delay,
                duration_seconds=run.seconds_since_start(pipe.pipe_id),
                **self._common(pipe),
            )
            return Verdict(False, retry_after=delay)
        self._end_failed(pipe, told, attempt.number, run.seconds_of_attempt(pipe.pipe_id))()
        if isinstance(told, KeyboardInterrupt):
            self._ending = True
            return _CANCEL
        if policy.allow_failure or self._on_failure is OnFailure.SKIP_DOWNSTREAM:
            return Verdict(False)
        self._ending = True
        return _STOP

    def _worth_it(self, error: BaseException, pipe: PipeMetadata) -> bool:
        if not isinstance(error, Exception):
            return False
        said = None
        if self._hooks.classify is not None:
            try:
                said = self._hooks.classify(error, pipe)
            except Exception as raised:  # noqa: BLE001 - the pipe's own error is what counts, and must be told
                self._log_failure("Whether pipe %r is tried again is left to the core: a feature failed.", pipe, raised)
        return is_transient(error) if said is None else said

    def _explained(self, attempt: Attempt, pipe: PipeMetadata, error: BaseException | None) -> BaseException:
        """Return the error that an attempt failed with: that of its limit, if it was made to end."""
        limit = attempt.limit
        left = ""
        if attempt.abandoned:
            left = " It could not be stopped and was left behind"
            if attempt.fence.committed:
                left += " after it had written its output."
            else:
                left += (
                    "; it can no longer write." if attempt.fence.closed else " while it wrote, so look what it wrote."
                )
        if limit is None:
            return error if error is not None else PipeAbandoned(f"Pipe {pipe.pipe_id!r} was given up.{left}")
        if type(limit) is TimeoutError:
            seconds = self.timeout_seconds(pipe.pipe_id)
            made: BaseException = PipeTimeout(f"Pipe {pipe.pipe_id!r} took longer than {seconds:g} s.{left}")
        elif not attempt.abandoned and error is not None and not isinstance(error, Exception):
            return error
        else:
            made = PipeCancelled(f"Pipe {pipe.pipe_id!r} was stopped: {self.told(limit)}.{left}")
        made.__cause__ = error if error is not None and error is not limit else None
        return made

    # Endings

    def _end_failed(
        self, pipe: PipeMetadata, error: BaseException, attempts: int, seconds: float
    ) -> Callable[[], None]:
        run, duration = self._run, self._run.seconds_since_start(pipe.pipe_id)
        allowed = self._policies[pipe.pipe_id].allow_failure and not isinstance(error, PipeCancelled)
        if allowed:
            run.exempt.add(pipe.pipe_id)
        told, kind = self.told(error), type(error).__name__
        report = run.end(
            pipe.pipe_id,
            "failed",
            duration,
            attempts=attempts,
            exception=error,
            error=told,
            error_type=kind,
            allowed=allowed,
            details=redacted(dict(error.details), self._redact) if isinstance(error, KindlingError) else {},
        )
        if report is None:
            return _nothing

        def tell() -> None:
            self._tell_start(pipe, attempts)
            self._emit(
                payloads.PipeFailed.SIGNAL,
                error=told,
                error_type=kind,
                duration_seconds=duration,
                attempt=attempts,
                attempt_seconds=seconds,
                allowed=allowed,
                **self._common(pipe),
            )
            self._ended(pipe, report, False)

        return tell

    def _tell_start(self, pipe: PipeMetadata, attempt: int) -> None:
        """Send ``before_pipe`` once, also for a pipe that failed before it could be sent."""
        if pipe.pipe_id in self._run.operations:
            return
        mine = self._new_id()
        # An attempt that was left behind may get here at the same time as the next one.
        if self._run.operations.setdefault(pipe.pipe_id, mine) is not mine:
            return
        index = self._run.index[pipe.pipe_id]
        self._emit(payloads.BeforePipe.SIGNAL, pipe_index=index, attempt=attempt, **self._common(pipe))

    def _tell_skipped(self, pipe: PipeMetadata, report: PipeReport) -> None:
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
