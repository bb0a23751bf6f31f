"""Asks an engine to stop what it does for an attempt, and again while the attempt goes on with something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindling_core.clock import Bell, Clock, wait_until

if TYPE_CHECKING:
    from kindling_core.run.attempt import Attempt, Work

# A pipe may begin another operation after the engine stopped the first, so the engine is asked again after this time.
REPEAT_SECONDS = 0.25


class Interruption:
    """Interrupts an attempt until it has ended.

    Args:
        work: is asked to interrupt.
    """

    def __init__(self, attempt: Attempt, work: Work, clock: Clock) -> None:
        self._attempt = attempt
        self._work = work
        self._clock = clock
        self._attempt_ended = Bell()
        self._over = False
        self._is_over = Bell()

    def run(self) -> None:
        """Interrupt until the attempt has ended; for a thread of its own, because an engine may hang in it."""
        attempt = self._attempt
        try:
            while not self._has_ended():
                self._work.interrupt(attempt)
                wait_until(self._clock, self._attempt_ended, self._has_ended, REPEAT_SECONDS)
        finally:
            self._over = True
            self._is_over.ring()

    def attempt_ended(self) -> None:
        """Say that the attempt has ended or was left behind."""
        self._attempt_ended.ring()

    def wait_until_over(self, seconds: float) -> None:
        """Wait until nothing interrupts the attempt any more, no longer than these seconds; for a single thread."""
        wait_until(self._clock, self._is_over, lambda: self._over, seconds)

    def _has_ended(self) -> bool:
        return self._attempt.settled or self._attempt.abandoned
