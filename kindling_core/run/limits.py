"""When something has to happen to the attempts of a run: time limits, graces, delays before retries.

Pure bookkeeping, without threads: the time is passed in, and whoever calls holds the lock of the run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from math import inf

from kindling_core.run.attempt import Attempt, Ending

# In a run that was stopped: extra seconds, after the grace, for a commit that is under way and for receivers.
STOPPED_EXTRA_SECONDS = 1.0
# After a commit that lasted longer than the grace: seconds in which its attempt may still end by itself.
AFTER_COMMIT_SECONDS = 0.25


@dataclass
class Due:
    """What has to happen now, and when to look again.

    Attributes:
        interrupt: attempts that have used up their time.
        leave: attempts that were asked to stop and did not.
        next_time: when something else is due, by the run's clock; infinite if nothing is.
    """

    interrupt: list[Attempt] = field(default_factory=list)
    leave: list[Attempt] = field(default_factory=list)
    next_time: float = inf


class Limits:
    """The times of a run.

    Args:
        grace_seconds: how long an attempt may still run after it was asked to stop.
        deadline: when the whole run has used up its time; None is never.
        wake: called when a commit has ended that was waited for; on the thread of the commit.

    Attributes:
        stopped_by: what stopped the run; None while it goes on.
        wakes_at: when whoever watches the run looks again by itself.
    """

    def __init__(self, grace_seconds: float, deadline: float | None, wake: Callable[[], object]) -> None:
        self.grace_seconds = grace_seconds
        self.stopped_by: BaseException | None = None
        self.wakes_at = inf
        self._deadline = inf if deadline is None else deadline
        self._wake = wake
        self._delayed: list[tuple[float, int, str]] = []
        self._closing_time = inf

    # The run

    def time_is_up(self, now: float) -> bool:
        """Whether the run has used up its time."""
        return now >= self._deadline

    def waits_for_receivers(self, now: float) -> bool:
        """Whether the run still waits for signals that are being sent; a stopped run does not wait for ever."""
        return now < self._closing_time

    def stop(self, reason: BaseException, attempts: Collection[Attempt], now: float, at_once: bool) -> list[Attempt]:
        """Stop the run; return the attempts to interrupt, which are those that nobody asked to stop before.

        Args:
            at_once: no commit begins any more; else an attempt that ends within the grace may still write.
        """
        self.stopped_by = reason
        self._closing_time = now + self.grace_seconds + STOPPED_EXTRA_SECONDS
        asked = []
        for attempt in attempts:
            if at_once:
                attempt.fence.close()
            if attempt.ending is None:
                self._end(attempt, reason, now)
                asked.append(attempt)
            else:
                # A commit that was waited for already has the rest of its grace, and the extra seconds.
                attempt.ending.grace_ends = max(attempt.ending.grace_ends, now)
        return asked

    # Delays

    def delay(self, attempt: Attempt, until: float) -> None:
        """Hold a pipe back until it is tried again."""
        heapq.heappush(self._delayed, (until, attempt.number, attempt.pipe_id))

    @property
    def holds_back(self) -> bool:
        """Whether some pipe waits to be tried again."""
        return bool(self._delayed)

    def release_delayed(self, now: float, everything: bool) -> list[str]:
        """Return the pipes whose delay is over, or all that wait; they wait no longer."""
        released = []
        while self._delayed and (everything or self._delayed[0][0] <= now):
            released.append(heapq.heappop(self._delayed)[2])
        return released

    # Attempts

    def begin(self, attempt: Attempt, seconds: float | None) -> None:
        """Note the time limit of an attempt that begins."""
        if seconds is not None:
            attempt.allowed_seconds, attempt.deadline = seconds, attempt.began + seconds
            if attempt.deadline < self.wakes_at:
                self._wake()

    def look(self, attempts: Iterable[Attempt], now: float) -> Due:
        """Return what is due; marks the attempts that have used up their time, and closes their fences if it can."""
        due = Due(next_time=self._deadline)
        if self.stopped_by is not None:
            due.next_time = self._closing_time if now < self._closing_time else inf
        if self._delayed:
            due.next_time = min(due.next_time, self._delayed[0][0])
        for attempt in attempts:
            if attempt.ending is not None:
                again = self._leave_or_look_again(attempt, attempt.ending, now)
                if again is None:
                    due.leave.append(attempt)
                else:
                    due.next_time = min(due.next_time, again)
            elif attempt.deadline is not None and now >= attempt.deadline:
                # What has not begun to commit by now will not; a commit that is under way is waited for, and counts if
                # it ends without an error.
                self._end(attempt, None, now)
                attempt.fence.close()
                due.interrupt.append(attempt)
            elif attempt.deadline is not None:
                due.next_time = min(due.next_time, attempt.deadline)
        return due

    def _end(self, attempt: Attempt, reason: BaseException | None, now: float) -> None:
        attempt.ending = Ending(reason, now + self.grace_seconds)
        attempt.fence.when_left(self._wake)

    def _leave_or_look_again(self, attempt: Attempt, ending: Ending, now: float) -> float | None:
        """Return when to look again at an attempt that has to end; None leaves it behind now."""
        if now < ending.grace_ends:
            return ending.grace_ends
        latest = ending.grace_ends + self._patience(attempt)
        if ending.committing and not attempt.fence.entered:
            ending.committing, ending.spare_until = False, now + AFTER_COMMIT_SECONDS
        if now < min(ending.spare_until, latest):
            return min(ending.spare_until, latest)
        if attempt.fence.give_up() or now >= latest:
            return None
        ending.committing = True
        return latest

    def _patience(self, attempt: Attempt) -> float:
        """Return the seconds for a commit that is under way when the grace ends: as many as the pipe was allowed."""
        return (
            STOPPED_EXTRA_SECONDS if self.stopped_by is not None else max(self.grace_seconds, attempt.allowed_seconds)
        )
