"""The errors of the core. Every message says what was wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from kindling_core.run.report import RunReport


# The longest text of an error in signals, reports, history and messages, in characters.
TEXT_LIMIT = 10_000
# A message names as many failures with their errors, and counts the rest.
MOST_NAMED = 5
# The longest text of each of several errors that share a message, in characters.
SHARED_TEXT_LIMIT = 1_000
# Room for the words that stand in place of what is left out.
_MARK_LENGTH = 50


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return `` Did you mean 'x' or 'y'?`` for near matches of ``name``, or an empty string."""
    near = get_close_matches(name, sorted(set(candidates)), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(match) for match in near)}?" if near else ""


def shortened(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return a text of at most ``limit`` characters: the middle of a longer text is left out, and counted there."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - _MARK_LENGTH)
    mark = f"\n... {len(text) - kept:,} characters left out ...\n"
    return text[: kept - kept // 2] + mark + text[len(text) - kept // 2 :]


def safe_str(value: object) -> str:
    """Return ``str(value)``, or what class it is of where that raises or gives no text."""
    try:
        # What str() returns may be of a subclass, whose methods are somebody else's, too.
        return str.__str__(str(value))
    except KeyboardInterrupt:
        raise
    except BaseException as raised:  # noqa: BLE001 - somebody else's class may raise anything
        return f"a {type(value).__name__} whose text cannot be read ({type(raised).__name__})"


def text_of(error: BaseException | None, redact: Callable[[str], str] | None = None) -> str:
    """Return an error's text for people, whatever its class does when it is asked for it.

    Args:
        redact: masks secrets. Without it the text must not be masked afterwards: a half of a secret at the cut would
            stay, see ``full_text_of``.

    Returns:
        The name of the class where the text is empty; never more than ``TEXT_LIMIT`` characters.
    """
    text = full_text_of(error)
    # In this order: a secret that is cut in two would be masked no more.
    return shortened(redact(text) if redact is not None else text)


def full_text_of(error: BaseException | None) -> str:
    """Return an error's text, of any length and with its secrets, for a message that is masked and shortened later."""
    return safe_str(error) or type(error).__name__


def listed(names: Sequence[str], describe: Callable[[str], str], where: str) -> str:
    """Describe the first of many failures for a message, and count the rest.

    Args:
        describe: returns the text of a name.
        where: what has all of them.
    """
    text = "; ".join(shortened(describe(name), SHARED_TEXT_LIMIT) for name in names[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return f"{text}; and {more:,} more; {where} has all" if more > 0 else text


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
    """At least a pipe of a generation failed.

    Attributes:
        failures: pipe id -> the error that it raised, in the order in which they happened.
        results: pipe id -> whether it succeeded, for each pipe that was started.
    """

    def __init__(self, failures: Mapping[str, BaseException], results: Mapping[str, bool]) -> None:
        self.failures = dict(failures)
        self.results = dict(results)
        named = listed(list(failures), lambda pipe_id: f"{pipe_id}: {text_of(failures[pipe_id])}", "`failures`")
        super().__init__(f"{len(self.failures)} of {len(self.results)} pipes failed: {named}")


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
        allowed = {pipe.pipe_id for pipe in self.report.pipes if pipe.allowed}
        raised = self.report.exceptions
        return {pipe_id: raised[pipe_id] for pipe_id in sorted(raised, key=allowed.__contains__)}


class RunTimeout(KindlingError, TimeoutError):
    """A run took longer than its ``timeout_seconds``."""


def _rebuilt(kind: type[KindlingError], args: tuple[Any, ...]) -> KindlingError:
    error = kind.__new__(kind)
    error.args = args
    return error
