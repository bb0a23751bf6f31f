"""Runs what a ready queue gives out: a crew of threads works, the calling thread watches over limits and cancelling."""

from __future__ import annotations

from math import inf

from kindling_core.clock import Bell, Clock, SystemClock, wait_until
from kindling_core.run.attempt import Work
from kindling_core.run.cancellation import CancelToken
from kindling_core.run.crew import BUSY_SECONDS, Crew
from kindling_core.run.limits import Limits
from kindling_core.run.options import RunOptions
from kindling_core.run.queue_run import QueueRun
from kindling_core.run.ready_queue import ReadyQueue


class Dispatcher:
    """Runs queues, in turn, on a crew of threads; ``close()`` ends the threads.

    Args:
        max_workers: attempts at a time.
        grace_seconds: how long an attempt may still run after it was asked to stop, before it is left behind.
        name: of the threads.
        cancel: once set, nothing new starts and what runs is asked to stop.
        clock: measures limits and delays; replaced in tests.
    """

    def __init__(
        self,
        max_workers: int,
        *,
        grace_seconds: float = RunOptions.grace_seconds,
        name: str = "kindling-pipe",
        cancel: CancelToken | None = None,
        clock: Clock | None = None,
    ) -> None:
        if max_workers < 1:
            raise ValueError(f"max_workers is {max_workers}; at least 1 pipe must be able to run.")
        self.max_workers = max_workers
        self._grace_seconds = grace_seconds
        self._clock = clock or SystemClock()
        self._cancel = cancel or CancelToken()
        self._bell = Bell()
        self._crew = Crew(max_workers, name, self._clock, self._bell.ring)
        self._current: QueueRun | None = None
        self._last: Limits | None = None
        self._was_stopped = False

    @property
    def stopped_by(self) -> BaseException | None:
        """What stopped the last queue and all that ran, None if nothing did."""
        return self._last.stopped_by if self._last is not None else None

    @property
    def stopped(self) -> bool:
        """Whether the last queue was stopped before its end."""
        return self._was_stopped

    def run(
        self,
        queue: ReadyQueue,
        work: Work,
        *,
        timeout: BaseException | None = None,
        deadline: float | None = None,
    ) -> None:
        """Run everything that the queue gives out, and return when nothing is left or nothing may start.

        Args:
            timeout: what ends the run at its deadline.
            deadline: by the dispatcher's clock.

        Raises:
            BaseException: ``work.settle`` raised; everything had ended before.
            KeyboardInterrupt: came twice, to this thread; what still ran was left behind.
        """
        run = self._begin(queue, work, deadline)
        interrupts: list[KeyboardInterrupt] = []
        try:
            with self._cancel.waking(self._bell.ring):
                self._watch_through_interrupts(run, timeout, interrupts)
        finally:
            self._was_stopped = queue.stopped
            run.leave()
            self._end()
        if interrupts:
            raise interrupts[0]
        if run.errors:
            raise run.errors[0]

    def close(self) -> None:
        """End the threads; may be called twice, and the dispatcher may be used again afterwards."""
        self._crew.close()

    def _begin(self, queue: ReadyQueue, work: Work, deadline: float | None) -> QueueRun:
        with self._crew.lock:
            if self._current is not None:
                raise RuntimeError("This dispatcher runs a queue already. Use a dispatcher for each run at a time.")
            limits = self._last = Limits(self._grace_seconds, deadline, self._bell.ring)
            run = QueueRun(queue, work, self._crew, limits, self._clock, self._bell, self._cancel)
            self._current = run
            self._crew.serve(run)
        return run

    def _end(self) -> None:
        with self._crew.lock:
            self._current = None
            self._crew.serve(None)

    def _watch_through_interrupts(
        self, run: QueueRun, timeout: BaseException | None, interrupts: list[KeyboardInterrupt]
    ) -> None:
        """Watch a run to its end; the first Ctrl-C stops it, a second gives up what runs, a third waits for nothing."""
        hurry = waited = False
        with self._crew.lock:
            self._crew.call(1)
        while True:
            try:
                # Whatever is begun here may be interrupted, and is then begun again.
                if hurry:
                    wait, waited = not waited, True
                    self._give_up(run, wait)
                    return
                if interrupts:
                    run.stop(interrupts[0])
                self._watch(run, timeout)
                return
            except KeyboardInterrupt as error:
                interrupts.append(error)
                # The first may have come by the token.
                hurry = run.limits.stopped_by is not None or self._cancel.is_set()

    def _watch(self, run: QueueRun, timeout: BaseException | None) -> None:
        """Act on time limits, delays and cancelling until everything has ended; sleep until something is due."""
        limits, crew = run.limits, self._crew
        while True:
            with crew.lock:
                now = self._clock.now()
                goes_on = limits.stopped_by is None
                cancelled = goes_on and self._cancel.is_set()
                out_of_time = goes_on and limits.time_is_up(now)
                for pipe_id in limits.release_delayed(now, everything=not goes_on or run.queue.stopped):
                    run.queue.put_back(pipe_id)
                    crew.call()
                due = limits.look(run.running.values(), now)
                seconds: float | None = None
                if not (cancelled or out_of_time or due.interrupt or due.leave):
                    if run.is_over(now):
                        return
                    limits.wakes_at = due.next_time
                    seconds = None if due.next_time == inf else max(0.0, due.next_time - now)
                    if crew.call_if_busy():
                        seconds = BUSY_SECONDS if seconds is None else min(seconds, BUSY_SECONDS)
            if cancelled:
                run.stop()
            elif out_of_time:
                run.stop(timeout, at_once=True)
            elif due.interrupt or due.leave:
                for attempt in due.interrupt:
                    run.interrupt(attempt)
                for attempt in due.leave:
                    run.abandon(attempt)
            else:
                self._clock.wait(self._bell, seconds)

    def _give_up(self, run: QueueRun, wait: bool) -> None:
        """Leave behind what runs.

        Args:
            wait: for signals that are being sent, if that does not take longer than the grace.
        """
        with self._crew.lock:
            attempts = list(run.running.values())
        for attempt in attempts:
            attempt.fence.give_up()
            run.abandon(attempt)
        if wait:
            wait_until(self._clock, self._bell, lambda: not run.is_settling, self._grace_seconds)
