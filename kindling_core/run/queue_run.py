"""A queue while it runs: which attempts are under way, how each ends, and what that lets start."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable

from kindling_core.clock import Bell, Clock
from kindling_core.forks import end_child_of
from kindling_core.run.attempt import Attempt, Work
from kindling_core.run.cancellation import CancelToken
from kindling_core.run.crew import Crew, aside
from kindling_core.run.interruption import Interruption
from kindling_core.run.limits import Limits
from kindling_core.run.policy import Verdict
from kindling_core.run.ready_queue import ReadyQueue


class QueueRun:
    """The state of a queue while it runs. Implements ``Source``.

    Everything here is read and changed under the crew's lock; ``work`` is called without it.

    Args:
        bell: rung when whoever watches the run has to look.
        cancel: once set, no pipe is given out.

    Attributes:
        running: pipe id -> its attempt.
        errors: what ``work.settle`` raised.
    """

    def __init__(
        self, queue: ReadyQueue, work: Work, crew: Crew, limits: Limits, clock: Clock, bell: Bell, cancel: CancelToken
    ) -> None:
        self.queue = queue
        self.limits = limits
        self.running: dict[str, Attempt] = {}
        self.errors: list[BaseException] = []
        self._work = work
        self._crew = crew
        self._clock = clock
        self._bell = bell
        self._cancel = cancel
        self._context = contextvars.copy_context()
        self._numbers: dict[str, int] = {}
        self._settling = 0
        self._left = False
        self._process = os.getpid()

    # For the crew

    def ready(self) -> int:
        return len(self.queue)

    def take(self) -> Attempt | None:
        queue = self.queue
        if self._cancel.is_set() or self._work.ending:
            queue.stop()
            self._bell.ring()
        pipe_id = queue.take()
        if pipe_id is None:
            return None
        number = self._numbers.get(pipe_id, 0) + 1
        attempt = Attempt(pipe_id, number, self._clock.now())
        seconds = self._work.timeout_seconds(pipe_id)
        if number > 1 or seconds is not None:
            self._numbers[pipe_id] = number
            self.limits.begin(attempt, seconds)
        self.running[pipe_id] = attempt
        return attempt

    def carry_out(self, attempt: Attempt) -> bool:
        result: object = None
        error: BaseException | None = None
        try:
            result = self._context.copy().run(self._work.perform, attempt)
        except BaseException as raised:  # noqa: BLE001 - a pipe that exits or is interrupted has failed, too
            end_child_of(self._process, raised)
            error = raised
        with self._crew.lock:
            if attempt.abandoned:
                return False
            attempt.settled = True
            attempt.tell_interruption()
            del self.running[attempt.pipe_id]
            self._settling += 1
        self._finish(attempt, result, error)
        # The frames of an error would keep alive what the pipe had read.
        del attempt, result, error
        return True

    # For whoever watches the run

    def is_over(self, now: float) -> bool:
        """Whether everything has ended that may start, or could; the lock is held."""
        if self.running or self.limits.holds_back:
            return False
        if self._settling and self.limits.waits_for_receivers(now):
            return False
        return self.queue.exhausted or not len(self.queue)

    @property
    def is_settling(self) -> bool:
        """Whether the ending of an attempt is being recorded and signalled."""
        return self._settling > 0

    def stop(self, reason: BaseException | None = None, *, at_once: bool = False) -> None:
        """Let nothing new start, and ask what runs to stop; only the first call counts. No lock is held.

        Args:
            reason: None for a run that was cancelled.
            at_once: no commit begins any more; else an attempt that ends within the grace may still write.
        """
        with self._crew.lock:
            if self.limits.stopped_by is not None:
                return
            self.queue.stop()
            attempts = self.limits.stop(
                reason or InterruptedError("the run was cancelled"), self.running.values(), self._clock.now(), at_once
            )
        for attempt in attempts:
            self.interrupt(attempt)
        self._bell.ring()

    def interrupt(self, attempt: Attempt) -> None:
        """Have an attempt interrupted until it ends."""
        interruption = Interruption(attempt, self._work, self._clock)
        if attempt.ending is not None:
            attempt.ending.interruption = interruption
        # On a thread of its own: an engine that hangs must not keep the run from ending.
        self._aside(interruption.run, "interrupt")

    def abandon(self, attempt: Attempt) -> None:
        """Leave an attempt behind with its thread, and end its pipe here."""
        with self._crew.lock:
            if attempt.settled or attempt.abandoned:
                return
            self._lose(attempt)
            self.running.pop(attempt.pipe_id, None)
            self._settling += 1
        # On a thread of its own: a receiver of its signals may hang, and the others are still to be watched.
        self._aside(lambda: self._finish(attempt, None, None, here=False), "left-behind")

    def leave(self) -> None:
        """Have nothing here matter any more; what still runs, which is the case only after an interrupt, is left."""
        with self._crew.lock:
            self._left = True
            self.queue.stop()
            for attempt in self.running.values():
                self._lose(attempt)
                attempt.fence.give_up()
            self.running.clear()

    def _lose(self, attempt: Attempt) -> None:
        attempt.abandoned = True
        attempt.tell_interruption()
        self._crew.lose_thread()

    def _aside(self, work: Callable[[], object], name: str) -> None:
        if not aside(work, f"kindling-{name}", self._context):
            work()

    # The end of an attempt, on any thread

    def _finish(self, attempt: Attempt, result: object, error: BaseException | None, here: bool = True) -> None:
        """Settle an attempt and let start what waited for it.

        Args:
            here: this thread takes a pipe that is ready now.
        """
        try:
            verdict = self._work.settle(attempt, result, error)
        except BaseException as raised:  # noqa: BLE001 - raised by Dispatcher.run, once the run has ended
            self.errors.append(raised)
            verdict = Verdict(False, stop=True, cancel=isinstance(raised, KeyboardInterrupt))
        if verdict.cancel:
            self.stop()
        if verdict.retry_after is not None and attempt.ending is not None and attempt.ending.interruption is not None:
            # What interrupts this attempt must not meet the next attempt, which has the same name.
            attempt.ending.interruption.wait_until_over(self.limits.grace_seconds)
        with self._crew.lock:
            if self._left:
                return
            skipped = self._go_on(attempt, verdict, here)
        if not skipped:
            return
        try:
            for pipe_id in skipped:
                self._work.skipped(pipe_id, attempt.pipe_id)
        except BaseException as raised:  # noqa: BLE001 - as above
            self.errors.append(raised)
        with self._crew.lock:
            self._let_go(here)

    def _go_on(self, attempt: Attempt, verdict: Verdict, here: bool) -> list[str]:
        """Do what a verdict says; return the pipes that are skipped because of it. The lock is held."""
        queue, pipe_id = self.queue, attempt.pipe_id
        if verdict.stop:
            queue.stop()
        stopped = self.limits.stopped_by is not None
        if verdict.retry_after is not None and not stopped and not queue.stopped:
            self._numbers[pipe_id] = attempt.number
            queue.pause(pipe_id)
            self.limits.delay(attempt, self._clock.now() + verdict.retry_after)
            self._settling -= 1
            self._crew.call()
            self._bell.ring()
            return []
        # While everything stops, whoever ends the run says why the rest did not run.
        skipped = queue.ended(pipe_id, verdict.reached or stopped)
        if not skipped:
            self._let_go(here)
        return skipped

    def _let_go(self, here: bool) -> None:
        """Count a pipe as ended, and wake whoever can go on; the lock is held."""
        self._settling -= 1
        ready = len(self.queue)
        if not ready or self.errors or (ready > here and not self._crew.watched and self._crew.could_grow()):
            self._bell.ring()
