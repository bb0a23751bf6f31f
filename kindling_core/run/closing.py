"""How a run ends: the endings of its open pipes, its status, its last signal, and what is raised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kindling_core.clock import Bell, Clock, wait_until
from kindling_core.errors import PipeCancelled, RunFailed, RunTimeout, listed, shortened
from kindling_core.logs import Log
from kindling_core.run import payloads
from kindling_core.run.crew import aside
from kindling_core.run.limits import STOPPED_EXTRA_SECONDS
from kindling_core.run.pipe_lifecycle import PipeLifecycle
from kindling_core.run.record import Run
from kindling_core.run.report import RunReport
from kindling_core.run.requests import RunInfo

_log = Log("kindling.runs")
# What was stopped with the run is no reason for its failure.
_STOPPED = (KeyboardInterrupt, PipeCancelled)


class RunClosing:
    """Ends a run, once.

    Args:
        emit: as ``SignalEmitter.emit``.
        text_of: returns an error's text without secrets.
        release: has the features release what they hold; returns the error of that, if there was any.
    """

    def __init__(
        self,
        run: Run,
        work: PipeLifecycle,
        emit: Callable[..., Any],
        text_of: Callable[[BaseException | None], str],
        release: Callable[[RunInfo, RunReport], BaseException | None],
        clock: Clock,
    ) -> None:
        self._run = run
        self._work = work
        self._emit = emit
        self._text_of = text_of
        self._release = release
        self._clock = clock

    def finish(self, error: BaseException | None) -> RunReport:
        """End what is open, signal the end, and return the report.

        Args:
            error: what the execution raised.

        Raises:
            RunFailed: the run did not succeed.
        """
        if self._run.stopped_by is None:
            return self._finish(error)
        # Whatever stopped the run: hooks that still wait for something learn that there is no time left.
        self._run.info.cancelled.set()
        return _uninterrupted(lambda: self._finish(error))

    def _finish(self, error: BaseException | None) -> RunReport:
        run = self._run
        status, skip_reason = self._outcome(error)
        error = self._end_open_pipes(status, skip_reason, error)
        if error is not None and status == "succeeded":
            status = "failed"
        report = run.report(status)
        problem = self._release(run.info, report)
        if problem is not None and (status == "succeeded" or getattr(problem, "ends_run", False)):
            error, status = problem, "cancelled" if isinstance(problem, KeyboardInterrupt) else "failed"
            report.status = status
        if status == "succeeded":
            self._send(lambda: self._emit(payloads.AfterRun.SIGNAL, **self._common(report)))
            return report
        raise self._failure(report, error)

    def _outcome(self, error: BaseException | None) -> tuple[str, str]:
        """Return the status of a run, and why its open pipes did not run."""
        run, failed = self._run, self._run.failed(but=_STOPPED)
        if isinstance(error, RunTimeout):
            return "failed", self._text_of(error)
        incomplete = bool(run.open_pipes() or set(run.failed()) - set(failed))
        if isinstance(error, KeyboardInterrupt) or run.streams_cancelled or (run.stopped_by is not None and incomplete):
            return "cancelled", "cancelled"
        if failed:
            return "failed", f"pipe {failed[0]!r} failed"
        # A pipe without an ending fails the run even if no failure and no cancelling explains it.
        return ("failed", "the run failed") if error or incomplete else ("succeeded", "")

    def _end_open_pipes(self, status: str, reason: str, error: BaseException | None) -> BaseException | None:
        """Record the ending of all of them, then send their signals; return the run's error, or what sending raised."""
        run = self._run
        failed = run.failed(but=_STOPPED)
        cause = failed[0] if failed and status == "failed" and error is None else None
        signals = [
            self._work.give_up(pipe_id) if run.has_started(pipe_id) else self._work.skip(pipe_id, reason, cause)
            for pipe_id in run.open_pipes()
        ]
        errors: list[BaseException] = []

        def send() -> None:
            for signal in signals:
                try:
                    signal()
                except BaseException as raised:  # noqa: BLE001 - in strict mode a receiver may raise here, too
                    errors.append(raised)

        if signals:
            self._send(send)
        return error or next(iter(errors), None)

    def _failure(self, report: RunReport, error: BaseException | None) -> RunFailed:
        """Signal that a run failed, and return what to raise."""
        failed, all_failed = self._run.failed(but=_STOPPED), self._run.failed()
        first = next(iter([*failed, *all_failed]), None)
        reports = {pipe.pipe_id: pipe for pipe in report.pipes}
        many = f"{len(failed):,} pipes failed" if len(failed) > 1 else "1 pipe failed"

        def named(pipe_ids: list[str]) -> str:
            return listed(
                pipe_ids,
                lambda pipe_id: f"{pipe_id!r}: {reports[pipe_id].error_type}: {reports[pipe_id].error}",
                "the report",
            )

        if report.status == "cancelled":
            text, kind = "The run was cancelled.", "Cancelled"
            message = f"The run was cancelled after {report.count('succeeded')} of {len(report.pipes)} pipes."
            if failed:
                message = f"{message[:-1]}; {many}: {named(failed)}"
        elif first is not None and (error is None or (failed and not isinstance(error, RunTimeout))):
            failure = report.pipe(first)
            text, kind = failure.error or "", failure.error_type or ""
            message = f"Pipe {first!r} failed: {kind}: {text}"
            if len(failed) > 1:
                message += f" ({many}; also {named(failed[1:])})"
            error = report.exceptions.get(first, error)
        else:
            text, kind = self._text_of(error), type(error).__name__
            message = f"The run failed: {kind}: {text}"
            if failed:
                message += f" ({many}: {named(failed)})"
        fields = {"failed_pipe": first, "failed_pipes": list(failed or all_failed), "error": text, "error_type": kind}
        common = {name: value for name, value in self._common(report).items() if name != "failed_count"}
        self._send(lambda: self._emit(payloads.RunFailed.SIGNAL, **fields, **common))
        result = RunFailed(shortened(message), report)
        result.__cause__ = error
        return result

    def _common(self, report: RunReport) -> dict[str, Any]:
        return {
            "pipe_ids": list(self._run.info.pipe_ids),
            "success_count": report.count("succeeded"),
            "failed_count": report.count("failed"),
            "duration_seconds": report.duration_seconds,
            "run_id": self._run.info.run_id,
            "operation_id": self._run.operation_id,
        }

    def _send(self, send: Callable[[], object]) -> None:
        """Call receivers; a run that was stopped does not wait long for receivers that hang."""
        if self._run.stopped_by is None:
            send()
            return
        sending = _Aside(send)
        sending.start()
        if not wait_until(self._clock, sending.done, sending.has_ended, STOPPED_EXTRA_SECONDS):
            _log.warning("Run %s ends without waiting for a receiver that hangs.", self._run.info.run_id)
            return
        sending.outcome()


class _Aside:
    """Something that is done once, on a thread of its own.

    Attributes:
        done: rings when it has ended.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self.done = Bell()
        self._work = work
        self._claimed = threading.Lock()
        self._outcome: list[Any] = []

    def start(self) -> None:
        """Begin; what has begun is not begun again, so that a start which was interrupted can be repeated."""
        if not self._claimed.locked() and not aside(self._run, "kindling-ending"):
            # The system gives no more threads.
            self._run()

    def has_ended(self) -> bool:
        return bool(self._outcome)

    def outcome(self) -> Any:
        """Return what the work returned, or raise what it raised."""
        outcome = self._outcome[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _run(self) -> None:
        if not self._claimed.acquire(blocking=False):
            return
        try:
            outcome = self._work()
        except BaseException as error:  # noqa: BLE001 - raised again on the thread of the run
            outcome = error
        self._outcome.append(outcome)
        self.done.ring()


def _uninterrupted(work: Callable[[], RunReport]) -> RunReport:
    """Do something where Ctrl-C does not reach it: another Ctrl-C must not leave a run half ended."""
    ending = _Aside(work)
    while True:
        try:
            ending.start()
            while not ending.has_ended():
                ending.done.wait()
            break
        except KeyboardInterrupt:
            _log.debug("Interrupted while the run ends, which it does in any case.")
    report: RunReport = ending.outcome()
    return report
