"""The errors of the core. Every message says what was wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from kindling_core.run.report import RunReport


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return `` Did you mean 'x' or 'y'?`` for near matches of ``name``, or an empty string."""
    near = get_close_matches(name, sorted(set(candidates)), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(match) for match in near)}?" if near else ""


class KindlingError(Exception):
    """Root of every error that Kindling raises on purpose.

    Attributes:
        details: plain values for the report of the run that this ended.
        ends_run: it says why a run had to end, and is not a further fault at its end.
    """

    details: Mapping[str, Any] = {}
    ends_run: ClassVar[bool] = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions rebuild themselves by calling their class with the message alone; ours may take other arguments.
        return _rebuilt, (type(self), self.args), self.__dict__


class ConfigError(KindlingError):
    """The job file, the environment or the command line holds a value that cannot be used."""


class PluginError(KindlingError):
    """A feature is unknown, not installed, broken, or lacks another that it requires."""


class PipeDefinitionError(KindlingError):
    """A pipe is declared in a way that cannot run."""


class UnknownPipeError(KindlingError):
    """No pipe has this id."""

    def __init__(self, pipe_id: str, known: Iterable[str]) -> None:
        self.pipe_id = pipe_id
        super().__init__(f"Unknown pipe {pipe_id!r}.{did_you_mean(pipe_id, known)}")


class SelectionError(KindlingError):
    """A selection expression does not parse, or selects nothing."""


class SignalError(KindlingError):
    """A signal is used against its declaration (raised in strict mode)."""


class PlanError(KindlingError):
    """The pipes cannot be put into an order that could run. Raised before anything ran."""


class UnfinishedRun(PlanError):
    """An earlier run of the job has still to be finished, and what it appended would be appended again.

    Attributes:
        run_ids: the runs that are in the way.
    """

    def __init__(self, message: str, run_ids: Sequence[str] = ()) -> None:
        self.run_ids = list(run_ids)
        super().__init__(message)


class CycleError(PlanError):
    """Pipes depend on each other in a circle."""

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = list(cycle)
        path = " -> ".join([*self.cycle, self.cycle[0]])
        super().__init__(f"Pipes depend on each other in a circle: {path}. Remove one of these inputs.")


class PipeError(KindlingError):
    """A pipe broke one of the framework's rules while it ran, such as returning nothing for its output."""


class PipeTimeout(PipeError, TimeoutError):
    """A pipe took longer than its ``timeout_seconds``."""


class PipeCancelled(PipeError):
    """A pipe was stopped because its run was cancelled."""


class PipeAbandoned(PipeError):
    """A pipe that could not be stopped was given up; what it still does has no effect."""


class GenerationFailed(KindlingError):
    """At least one pipe of a generation failed.

    Attributes:
        failures: pipe id -> the error that it raised, in the order in which they happened.
        results: pipe id -> whether it succeeded, for each pipe that was started.
    """

    def __init__(self, failures: Mapping[str, BaseException], results: Mapping[str, bool]) -> None:
        self.failures = dict(failures)
        self.results = dict(results)
        told = "; ".join(f"{pipe_id}: {error}" for pipe_id, error in self.failures.items())
        super().__init__(f"{len(self.failures)} of {len(self.results)} pipes failed: {told}")


class RunFailed(KindlingError):
    """A run ended with at least one failed pipe, or was cancelled.

    Attributes:
        report: what happened to each pipe.
        failures: pipe id -> what it raised: first those that fail the run, in the order in which they failed, then
            those that were allowed to.
    """

    def __init__(self, message: str, report: RunReport) -> None:
        self.report = report
        super().__init__(message)

    @property
    def failures(self) -> dict[str, BaseException]:
        allowed = {one.pipe_id for one in self.report.pipes if one.allowed}
        raised = self.report.exceptions
        return {pipe_id: raised[pipe_id] for pipe_id in sorted(raised, key=allowed.__contains__)}


def text_of(error: BaseException | None) -> str:
    """Return an error's text, whatever its class does when it is asked for it; its class where it has none."""
    try:
        return str(error) or type(error).__name__
    except Exception as raised:  # noqa: BLE001 - somebody else's class
        return f"a {type(error).__name__} whose text cannot be read ({type(raised).__name__})"


class RunTimeout(KindlingError, TimeoutError):
    """A run took longer than its ``timeout_seconds``."""


def _rebuilt(kind: type[KindlingError], args: tuple[Any, ...]) -> KindlingError:
    error = kind.__new__(kind)
    error.args = args
    return error
