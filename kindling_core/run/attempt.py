"""Attempts at pipes, and what a dispatcher asks of whoever knows the pipes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from kindling_core.run.fence import Fence

if TYPE_CHECKING:
    from kindling_core.run.ready_queue import ReadyQueue


class Clock:
    """Time as the dispatcher sees it; another one is given in tests."""

    def now(self) -> float:
        """Seconds that never go back."""
        return monotonic()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait on a condition that the caller holds."""
        condition.wait(seconds)


@dataclass(eq=False)
class Attempt:
    """One attempt at a pipe.

    Attributes:
        number: from 1.
        allowed_seconds: its time limit, if it has one; ``deadline`` is when that ends.
        fence: stands before its commits.
        limit: why it has to end, once it has to.
        settled: it has ended, and its ending counts.
        abandoned: it was left behind, and its ending does not count.
        queue: that gave it out.
        began: when it was taken, by ``time.monotonic``.
        ended, quiet: once it is interrupted: set when it has ended, and when nobody interrupts it any more.
    """

    pipe_id: str
    number: int
    allowed_seconds: float = 0.0
    deadline: float | None = None
    fence: Fence = field(default_factory=Fence)
    limit: BaseException | None = None
    overdue: float = 0.0
    settled: bool = False
    abandoned: bool = False
    queue: ReadyQueue | None = None
    began: float = 0.0
    ended: threading.Event | None = None
    quiet: threading.Event | None = None


@dataclass(frozen=True)
class Verdict:
    """What an attempt comes to.

    Attributes:
        reached: the pipe did not fail, so that those that need it may start.
        retry_after: seconds until it is tried again; None if it is not.
        stop: nothing new starts.
        cancel: what runs is stopped, too.
    """

    reached: bool
    retry_after: float | None = None
    stop: bool = False
    cancel: bool = False


REACHED = Verdict(True)


class Work(Protocol):
    """What the dispatcher asks of whoever knows the pipes. Called on many threads at once."""

    def timeout_seconds(self, pipe_id: str) -> float | None:
        """How long an attempt may take."""

    def perform(self, attempt: Attempt) -> object:
        """Do the work; whatever it raises is the attempt's failure."""

    def settle(self, attempt: Attempt, result: object, error: BaseException | None) -> Verdict:
        """Write down and tell how an attempt ended; ``attempt.limit`` says why, if it was made to."""

    def skipped(self, pipe_id: str, because_of: str) -> None:
        """Write down and tell that a pipe will not run because another one failed."""

    def interrupt(self, attempt: Attempt) -> None:
        """Ask the engine to stop what it does for an attempt."""
