"""Runs what a ready queue gives out on worker threads: retries, timeouts, cancelling, and leaving behind what hangs."""

from __future__ import annotations

import contextvars
import heapq
import os
import threading
from collections.abc import Callable
from time import monotonic

from kindling_core.forks import end_child_of
from kindling_core.run.attempt import Attempt, Clock, Verdict, Work
from kindling_core.run.options import RunOptions
from kindling_core.run.ready_queue import ReadyQueue

# How often the supervisor looks whether the run was cancelled: events of other threads cannot wake it.
LOOK_SECONDS = 0.05
# While pipes are ready, another thread is called once none was taken for so long, and one whose pipe took less leaves
# the next to the others: threads that hand pipes of microseconds to each other cost more than they bring.
BUSY_SECONDS = 0.001
# What is committing once the grace is over has so much longer, and so have receivers that are being told.
LAST_SECONDS = 1.0
# What a pipe does after the engine's operation was stopped has to be stopped, too.
INTERRUPT_SECONDS = 0.25


class Dispatcher:
    """A crew of threads that may be used for one queue after another; ``close()`` ends it.

    Args:
        max_workers: attempts at a time.
        grace_seconds: how long what was told to stop may take to, before it is left behind.
        name: of the threads.
        cancel: once set, nothing new starts and what runs is told to stop.
    """

    def __init__(
        self,
        max_workers: int,
        *,
        grace_seconds: float = RunOptions.grace_seconds,
        name: str = "kindling-pipe",
        cancel: threading.Event | None = None,
        clock: Clock | None = None,
    ) -> None:
        if max_workers < 1:
            raise ValueError(f"max_workers is {max_workers}; at least 1 pipe must be able to run.")
        self.max_workers = max_workers
        self._grace = grace_seconds
        self._name = name
        self._cancel = cancel or threading.Event()
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._changed = threading.Condition(self._lock)
        self._threads = 0
        self._made = 0
        self._idle = 0
        self._closed = False
        self._was_stopped = False
        self._stopping: BaseException | None = None
        self._queue: ReadyQueue | None = None

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
        with self._lock:
            if self._queue is not None:
                raise RuntimeError("This dispatcher runs a queue already. Use one for each run at a time.")
            self._queue, self._work = queue, work
            self._running: dict[str, Attempt] = {}
            self._delayed: list[tuple[float, int, str]] = []
            self._numbers: dict[str, int] = {}
            self._errors: list[BaseException] = []
            self._stopping = None
            self._give_up_at = float("inf")
            self._context = contextvars.copy_context()
            self._settling = 0
            self._watching = False
            self._last_taken = monotonic()
        interrupts: list[KeyboardInterrupt] = []
        hurry = waited = False
        try:
            with self._lock:
                self._call_workers(1)
            while True:
                try:
                    # Whatever is begun here may be interrupted, and is then begun again.
                    if hurry:
                        wait, waited = not waited, True
                        self._give_up_all(wait)
                        break
                    if interrupts and self._stopping is None:
                        self._stop_all(interrupts[0])
                    self._supervise(timeout, deadline)
                    break
                except KeyboardInterrupt as error:
                    interrupts.append(error)
                    # The first may have come as an event.
                    hurry = self._stopping is not None or self._cancel.is_set()
        finally:
            self._forget(queue)
        if interrupts:
            raise interrupts[0]
        if self._errors:
            raise self._errors[0]

    def _forget(self, queue: ReadyQueue) -> None:
        """Leave a queue; whatever still runs of it, which is nothing unless the run was given up, changes nothing."""
        with self._lock:
            self._was_stopped = queue.stopped
            queue.stop()
            self._queue = None
            left, self._running = self._running, {}
            for attempt in left.values():
                attempt.abandoned = True
                attempt.fence.give_up()
                self._threads -= 1

    @property
    def stopped_by(self) -> BaseException | None:
        """What stopped the last queue and all that ran, None if nothing did."""
        return self._stopping

    @property
    def stopped(self) -> bool:
        """Whether the last queue was stopped before its end."""
        return self._was_stopped

    def close(self) -> None:
        """End the threads; may be called twice, and the dispatcher may be used again afterwards."""
        with self._lock:
            self._closed = True
            self._ready.notify_all()

    # On the calling thread

    def _supervise(self, timeout: BaseException | None, deadline: float | None) -> None:
        """Look after time limits, delays and cancelling until everything has ended."""
        while True:
            due: list[Callable[[], None]] = []
            with self._lock:
                now = self._clock.now()
                if self._stopping is None:
                    if self._cancel.is_set():
                        due.append(lambda: self._stop_all(None))
                    elif deadline is not None and now >= deadline:
                        due.append(lambda: self._stop_all(timeout, at_once=True))
                next_event = self._look(now, due)
                if not due:
                    if self._over(now):
                        return
                    self._watching = self._short_of_workers()
                    longest = BUSY_SECONDS if self._watching else LOOK_SECONDS
                    self._clock.wait(self._changed, max(0.0, min(next_event - now, longest)))
            for act in due:
                act()

    def _short_of_workers(self) -> bool:
        """Call more threads if those that run are busy; tell whether to look again soon."""
        if not self._queue or not (self._idle or self._threads < self.max_workers):
            return False
        if monotonic() - self._last_taken < BUSY_SECONDS and self._threads:
            return True
        self._call_workers()
        return False

    def _over(self, now: float) -> bool:
        queue = self._queue
        if self._running or self._delayed:
            return False
        # A receiver that hangs must not keep a run from ending that was told to.
        if self._settling and now < self._give_up_at:
            return False
        return queue is None or queue.exhausted or not len(queue)

    def _look(self, now: float, due: list[Callable[[], None]]) -> float:
        """Collect what has to be done now; return when to look again."""
        next_event = now + LOOK_SECONDS
        assert self._queue is not None
        stopped = self._stopping is not None or self._queue.stopped
        while self._delayed and (self._delayed[0][0] <= now or stopped):
            self._queue.put_back(heapq.heappop(self._delayed)[2])
            self._call_workers()
        if self._delayed:
            next_event = min(next_event, self._delayed[0][0])
        for attempt in list(self._running.values()):
            if attempt.limit is None:
                if attempt.deadline is None:
                    continue
                if now < attempt.deadline:
                    next_event = min(next_event, attempt.deadline)
                    continue
                # A timeout counts at once: what has not begun to commit by now will not.
                # One that commits just now is waited for, and counts if it comes to its end.
                attempt.limit, attempt.overdue = TimeoutError(), now + self._grace
                attempt.fence.close()
                due.append(lambda attempt=attempt: self._interrupt(attempt))  # type: ignore[misc]
            elif now < attempt.overdue:
                next_event = min(next_event, attempt.overdue)
            elif attempt.fence.give_up() or now >= attempt.overdue + self._patience(attempt):
                due.append(lambda attempt=attempt: self._abandon(attempt))  # type: ignore[misc]
        return next_event

    def _patience(self, attempt: Attempt) -> float:
        """How long a commit that is under way is waited for once the grace is over: as long again as was allowed."""
        return LAST_SECONDS if self._stopping is not None else max(self._grace, attempt.allowed_seconds)

    def _stop_all(self, reason: BaseException | None, *, at_once: bool = False) -> None:
        """Let nothing new start and tell what runs to stop.

        Args:
            at_once: no commit begins any more; else what ends within the grace may still write.
        """
        with self._lock:
            if self._stopping is not None:
                return
            self._stopping = reason or InterruptedError("the run was cancelled")
            if self._queue is not None:
                self._queue.stop()
            now = self._clock.now()
            self._give_up_at = now + self._grace + LAST_SECONDS
            told = [attempt for attempt in self._running.values() if attempt.limit is None]
            for attempt in self._running.values():
                if at_once:
                    attempt.fence.close()
                # A commit that was waited for already has the grace of the cancelling before it is left.
                attempt.overdue = now + self._grace if attempt.limit is None else max(attempt.overdue, now)
            for attempt in told:
                attempt.limit = self._stopping
        for attempt in told:
            self._interrupt(attempt)

    def _interrupt(self, attempt: Attempt) -> None:
        """Have an attempt interrupted, and again while it goes on with something else."""
        work, ended, quiet = self._work, threading.Event(), threading.Event()
        attempt.ended, attempt.quiet = ended, quiet

        def interrupt() -> None:
            try:
                while not (attempt.settled or attempt.abandoned):
                    work.interrupt(attempt)
                    ended.wait(INTERRUPT_SECONDS)
            finally:
                quiet.set()

        # On a thread of its own: an engine that hangs must not keep the run from ending.
        self._aside(interrupt, "interrupt")

    def _abandon(self, attempt: Attempt) -> None:
        """Leave an attempt behind with its thread, and end its pipe here."""
        with self._lock:
            if attempt.settled or attempt.abandoned:
                return
            attempt.abandoned = True
            if attempt.ended is not None:
                attempt.ended.set()
            self._threads -= 1
            self._running.pop(attempt.pipe_id, None)
            self._settling += 1
        # Not on this thread, which looks after the others: receivers are told of it, and may hang.
        self._aside(lambda: self._finish(attempt, None, None, here=False), "left-behind")

    def _aside(self, work: Callable[[], None], name: str) -> None:
        """Do something that may hang on a thread of its own."""
        context = self._context.copy()
        try:
            threading.Thread(target=context.run, args=(work,), name=f"{self._name}-{name}", daemon=True).start()
        except RuntimeError:
            # The system gives no more threads.
            work()

    def _give_up_all(self, wait: bool) -> None:
        with self._lock:
            left = list(self._running.values())
        for attempt in left:
            attempt.fence.give_up()
            self._abandon(attempt)
        with self._lock:
            # What is just being told of is told to its end, if that is soon.
            until = self._clock.now() + self._grace
            while wait and self._settling and self._clock.now() < until:
                self._clock.wait(self._changed, LOOK_SECONDS)

    # On the workers

    def _call_workers(self, most: int | None = None) -> None:
        """Wake or make as many threads as can start something; the lock is held."""
        wanted = min(len(self._queue) if self._queue is not None else 0, most or self.max_workers)
        if self._idle:
            self._ready.notify(wanted)
        for _ in range(min(wanted - self._idle, self.max_workers - self._threads)):
            self._made += 1
            self._closed = False
            thread = threading.Thread(target=self._labour, name=f"{self._name}_{self._made}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system gives no more threads; those that there are do the work.
                if not self._threads:
                    raise
                return
            self._threads += 1

    def _labour(self) -> None:
        began, process = 0.0, os.getpid()
        while (attempt := self._next(began)) is not None:
            result, error = None, None
            began = attempt.began
            work = self._work
            try:
                result = self._context.copy().run(work.perform, attempt)
            except BaseException as raised:  # noqa: BLE001 - a pipe that exits or is interrupted has failed, too
                end_child_of(process, raised)
                error = raised
            with self._lock:
                if attempt.abandoned:
                    return
                attempt.settled = True
                if attempt.ended is not None:
                    attempt.ended.set()
                del self._running[attempt.pipe_id]
                self._settling += 1
            self._finish(attempt, result, error)
            # The frames of an error would keep alive what the pipe had read.
            del attempt, result, error

    def _next(self, began: float) -> Attempt | None:
        """Return what this thread is to do, once there is something.

        Args:
            began: when it took its attempt before this; 0 is none.
        """
        with self._lock:
            others = began != self._last_taken and self._threads - self._idle > 1
            leave = others and monotonic() - began < BUSY_SECONDS
            while True:
                queue = self._queue
                if queue is not None and self._cancel.is_set():
                    queue.stop()
                    self._changed.notify()
                pipe_id = queue.take() if queue is not None and not leave else None
                if pipe_id is not None:
                    break
                if self._closed:
                    self._threads -= 1
                    return None
                self._idle += 1
                if leave and not self._watching:
                    self._changed.notify()
                self._ready.wait()
                self._idle -= 1
                leave = False
            number = self._numbers.get(pipe_id, 0) + 1
            self._last_taken = monotonic()
            attempt = Attempt(pipe_id, number, queue=queue, began=self._last_taken)
            seconds = self._work.timeout_seconds(pipe_id)
            if number > 1 or seconds is not None:
                self._numbers[pipe_id] = number
                if seconds is not None:
                    attempt.allowed_seconds, attempt.deadline = seconds, self._clock.now() + seconds
            self._running[pipe_id] = attempt
            return attempt

    # On either

    def _finish(self, attempt: Attempt, result: object, error: BaseException | None, here: bool = True) -> None:
        """Settle an attempt and let go of what waited for it; ``here``: this thread goes on with what is ready."""
        queue = attempt.queue
        assert queue is not None
        try:
            verdict = self._work.settle(attempt, result, error)
        except BaseException as raised:  # noqa: BLE001 - the run has to end, and then to say this
            self._errors.append(raised)
            verdict = Verdict(False, stop=True, cancel=isinstance(raised, KeyboardInterrupt))
        if verdict.cancel:
            self._stop_all(None)
        if verdict.retry_after is not None and attempt.quiet is not None:
            # What interrupts this attempt must not meet the next one, which has the same name.
            attempt.quiet.wait(self._grace)
        pipe_id = attempt.pipe_id
        skipped: list[str] = []
        with self._lock:
            if queue is not self._queue:
                return
            if verdict.stop:
                queue.stop()
            if verdict.retry_after is not None and self._stopping is None and not queue.stopped:
                self._numbers[pipe_id] = attempt.number
                queue.pause(pipe_id)
                due = self._clock.now() + verdict.retry_after
                heapq.heappush(self._delayed, (due, attempt.number, pipe_id))
                self._settling -= 1
                self._call_workers()
                self._changed.notify()
                return
            # While everything stops, whoever ends the run says why the rest did not run.
            skipped = queue.ended(pipe_id, verdict.reached or self._stopping is not None)
            if not skipped:
                self._let_go(queue, here)
        if skipped:
            try:
                for other in skipped:
                    self._work.skipped(other, pipe_id)
            except BaseException as raised:  # noqa: BLE001 - as above
                self._errors.append(raised)
            with self._lock:
                if queue is self._queue:
                    self._let_go(queue, here)

    def _let_go(self, queue: ReadyQueue, here: bool) -> None:
        """Count a pipe as ended, wake who can go on; the lock is held."""
        self._settling -= 1
        ready = len(queue)
        spare = ready > here and not self._watching and (self._idle or self._threads < self.max_workers)
        if spare or not ready or self._errors:
            self._changed.notify()
