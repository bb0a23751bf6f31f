"""How a run ends: the endings of its open pipes, its status, what is told of it, and what is raised."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

from kindling_core.errors import PipeCancelled, RunFailed, RunTimeout, listed, shortened
from kindling_core.logs import Log
from kindling_core.run import payloads
from kindling_core.run.dispatcher import LAST_SECONDS
from kindling_core.run.pipe_lifecycle import PipeLifecycle
from kindling_core.run.record import Run
from kindling_core.run.report import RunReport
from kindling_core.run.requests import RunInfo

_log = Log("kindling.runs")
# What was stopped with the run is no reason for its failure.
_STOPPED = (KeyboardInterrupt, PipeCancelled)
_NOT_MINE = object()


class RunClosing:
    """The one ending of a run.

    Args:
        emit: as ``SignalEmitter.emit``.
        release: has the features release what they hold; returns what went wrong with that.
    """

    def __init__(
        self,
        run: Run,
        work: PipeLifecycle,
        emit: Callable[..., Any],
        release: Callable[[RunInfo, RunReport], BaseException | None],
    ) -> None:
        self._run = run
        self._work = work
        self._emit = emit
        self._release = release

    def finish(self, error: BaseException | None) -> RunReport:
        """End what is open, tell, and return the report.

        Args:
            error: what the execution raised.

        Raises:
            RunFailed: the run did not succeed.
        """
        if self._run.stopped_by is None:
            return self._finish(error)
        # However it was stopped: whoever still waits for something learns that there is no time left.
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
            self._tell(lambda: self._emit(payloads.AfterRun.SIGNAL, **self._common(report)))
            return report
        raise self._failure(report, error)

    def _outcome(self, error: BaseException | None) -> tuple[str, str]:
        """Return the status of a run, and why its open pipes did not run."""
        run, failed = self._run, self._run.failed(but=_STOPPED)
        if isinstance(error, RunTimeout):
            return "failed", self._work.told(error)
        incomplete = bool(run.open_pipes() or set(run.failed()) - set(failed))
        if isinstance(error, KeyboardInterrupt) or (run.stopped_by is not None and incomplete):
            return "cancelled", "cancelled"
        if failed:
            return "failed", f"pipe {failed[0]!r} failed"
        # Nothing that anybody knows of kept a pipe from running, so that its not having run is a failure by itself.
        return ("failed", "the run failed") if error or incomplete else ("succeeded", "")

    def _end_open_pipes(self, status: str, reason: str, error: BaseException | None) -> BaseException | None:
        """Write down how all of them ended, then tell; return the run's error, or what telling raised."""
        run = self._run
        failed = run.failed(but=_STOPPED)
        cause = failed[0] if failed and status == "failed" and error is None else None
        tellers = [
            self._work.give_up(pipe_id) if run.has_started(pipe_id) else self._work.skip(pipe_id, reason, cause)
            for pipe_id in run.open_pipes()
        ]
        raised: list[BaseException] = []

        def tell() -> None:
            for teller in tellers:
                try:
                    teller()
                except BaseException as one:  # noqa: BLE001 - in strict mode a receiver may raise here, too
                    raised.append(one)

        if tellers:
            self._tell(tell)
        return error or next(iter(raised), None)

    def _failure(self, report: RunReport, error: BaseException | None) -> RunFailed:
        """Tell that a run failed and return what to raise."""
        failed, all_failed = self._run.failed(but=_STOPPED), self._run.failed()
        first = next(iter([*failed, *all_failed]), None)
        reports = {one.pipe_id: one for one in report.pipes}
        many = f"{len(failed):,} pipes failed" if len(failed) > 1 else "1 pipe failed"

        def named(pipe_ids: list[str]) -> str:
            return listed(
                pipe_ids, lambda one: f"{one!r}: {reports[one].error_type}: {reports[one].error}", "the report"
            )

        if report.status == "cancelled":
            told, kind = "The run was cancelled.", "Cancelled"
            message = f"The run was cancelled after {report.count('succeeded')} of {len(report.pipes)} pipes."
            if failed:
                message = f"{message[:-1]}; {many}: {named(failed)}"
        elif first is not None and (error is None or (failed and not isinstance(error, RunTimeout))):
            failure = report.pipe(first)
            told, kind = failure.error or "", failure.error_type or ""
            message = f"Pipe {first!r} failed: {kind}: {told}"
            if len(failed) > 1:
                message += f" ({many}; also {named(failed[1:])})"
            error = report.exceptions.get(first, error)
        else:
            told, kind = self._work.told(error), type(error).__name__
            message = f"The run failed: {kind}: {told}"
            if failed:
                message += f" ({many}: {named(failed)})"
        fields = {"failed_pipe": first, "failed_pipes": list(failed or all_failed), "error": told, "error_type": kind}
        common = {name: value for name, value in self._common(report).items() if name != "failed_count"}
        self._tell(lambda: self._emit(payloads.RunFailed.SIGNAL, **fields, **common))
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

    def _tell(self, tell: Callable[[], object]) -> None:
        """Call receivers; a run that was told to end waits for those that hang no longer than a moment."""
        if self._run.stopped_by is None:
            tell()
            return
        done, ended = threading.Event(), list[Any]()
        _aside(tell, done, ended)
        if not done.wait(LAST_SECONDS):
            _log.warning("Run %s ends without waiting for a receiver that hangs.", self._run.info.run_id)
        elif isinstance(ended[0], BaseException):
            raise ended[0]


def _uninterrupted(work: Callable[[], RunReport]) -> RunReport:
    """Do something where Ctrl-C does not reach it: further ones must not leave a run half ended."""
    claimed, done, ended = threading.Lock(), threading.Event(), list[Any]()

    def once() -> Any:
        # A start that is interrupted may have begun or not, so that it is begun again; of two one does nothing.
        return work() if claimed.acquire(blocking=False) else _NOT_MINE

    while True:
        try:
            if not claimed.locked():
                _aside(once, done, ended)
            done.wait()
            break
        except KeyboardInterrupt:
            _log.debug("Interrupted while the run ends, which it does in any case.")
    if isinstance(ended[0], BaseException):
        raise ended[0]
    report: RunReport = ended[0]
    return report


def _aside(work: Callable[[], Any], done: threading.Event, ended: list[Any]) -> None:
    """Do something on a thread of its own; ``ended`` gets what it returns or raises."""

    def run() -> None:
        try:
            outcome = work()
        except BaseException as error:  # noqa: BLE001 - raised again on the thread of the run
            outcome = error
        if outcome is not _NOT_MINE:
            ended.append(outcome)
            done.set()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="kindling-ending", daemon=True).start()
