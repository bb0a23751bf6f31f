"""Attempts at pipes, and what a dispatcher asks of whoever knows the pipes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kindling_core.run.fence import Fence
from kindling_core.run.policy import Verdict

if TYPE_CHECKING:
    from kindling_core.run.interruption import Interruption


@dataclass(eq=False)
class Ending:
    """That an attempt has to end. Times are seconds of the run's clock.

    Attributes:
        reason: what stopped the run of the attempt; None if the attempt took longer than it was allowed.
        grace_ends: when the attempt is left behind, unless it is committing.
        committing: it was committing when its grace ended.
        spare_until: it may end by itself until then, because its commit ended just now.
        interruption: asks the engine to stop what it does for the attempt.
    """

    reason: BaseException | None
    grace_ends: float
    committing: bool = False
    spare_until: float = 0.0
    interruption: Interruption | None = None


@dataclass(eq=False)
class Attempt:
    """An attempt at a pipe. Times are seconds of the run's clock.

    Attributes:
        pipe_id: the pipe.
        number: counts the attempts at the pipe, from 1.
        began: when a worker took it.
        allowed_seconds: its time limit, 0 if it has none.
        deadline: when its time limit ends, None if it has none.
        fence: stands before its commits.
        ending: once it has to end, why and until when; None before.
        settled: it has ended, and its result counts.
        abandoned: it was left behind, and its result does not count.
    """

    pipe_id: str
    number: int
    began: float = 0.0
    allowed_seconds: float = 0.0
    deadline: float | None = None
    fence: Fence = field(default_factory=Fence)
    ending: Ending | None = None
    settled: bool = False
    abandoned: bool = False

    def tell_interruption(self) -> None:
        """Wake what interrupts this attempt, because it was settled or abandoned."""
        if self.ending is not None and self.ending.interruption is not None:
            self.ending.interruption.attempt_ended()


class Work(Protocol):
    """What the dispatcher asks of whoever knows the pipes. Called on many threads at once.

    Attributes:
        ending: nothing new may start, because of a failure that is perhaps still being signalled.
    """

    ending: bool

    def timeout_seconds(self, pipe_id: str) -> float | None:
        """How long an attempt may take; None is without limit."""

    def perform(self, attempt: Attempt) -> object:
        """Run the pipe; what is raised is the attempt's failure."""

    def settle(self, attempt: Attempt, result: object, error: BaseException | None) -> Verdict:
        """Record and signal how an attempt ended, and return what follows; the attempt says why, if it had to end."""

    def skipped(self, pipe_id: str, because_of: str) -> None:
        """Record and signal that a pipe will not run because another pipe failed."""

    def interrupt(self, attempt: Attempt) -> None:
        """Ask the engine to stop what it does for an attempt."""
