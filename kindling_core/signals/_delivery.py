"""Delivery off the sender's thread: a thread for each slow receiver, an event loop for coroutines."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from time import monotonic
from typing import Any

from kindling_core.forks import end_child_of
from kindling_core.logs import Log
from kindling_core.secrets import Redactor, describe_error

Failed = Callable[[BaseException], None]
# Returns the receiver that a queue is for; None once it is forgotten.
Owner = Callable[[], Any]
Redact = Callable[[str], str]

FLUSH_SECONDS = 30.0
# An event loop whose coroutines took all of the time has as much longer to end.
LAST_SECONDS = 1.0

_log = Log("kindling.signals")


class Deadline:
    """A number of seconds that several waits share; begins when it is made.

    By real time, and no other clock: threads that end are waited for.
    """

    def __init__(self, seconds: float = FLUSH_SECONDS) -> None:
        self._end = monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, 0 at least."""
        return max(0.0, self._end - monotonic())


class Delivery:
    """What a provider delivers with: a thread for each receiver that has a queue, and the loop of coroutines.

    Args:
        redact: masks secrets in what is logged.
    """

    def __init__(self, redact: Redact | None = None) -> None:
        self._redact = redact or Redactor()
        self.loop = BackgroundLoop(self._redact)
        # Receivers are compared with it held, and their class may connect further ones at that.
        self._lock = threading.RLock()
        self._threads: list[ReceiverThread] = []
        self._closed = False

    def add(self, queue: ReceiverQueue, name: str) -> None:
        """Put a queue on the thread of its receiver, which is made for the first queue of a receiver.

        Args:
            name: of the receiver.
        """
        with self._lock:
            if self._closed:
                queue.closed = True
                return
            self._threads = [thread for thread in self._threads if not thread.ended]
            if not any(thread.add(queue) for thread in self._threads):
                self._threads.append(ReceiverThread(queue, f"kindling-{name}", self._redact))

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Deliver what waits, then end all threads; what hangs is given up after ``seconds`` altogether."""
        deadline = Deadline(seconds)
        with self._lock:
            self._closed = True
            queues = [queue for thread in self._threads for queue in thread.queues]
        close_queues(queues, deadline)
        self.loop.close(deadline)


class ReceiverQueue:
    """The calls of a connection that wait, on the thread of their receiver.

    Args:
        owner: returns the receiver; queues of equal receivers share a thread.
        maxsize: calls that may wait.

    Attributes:
        dropped: calls that found the queue full, came after it was closed, or were left when its time was over.
        closed: it takes nothing more.
        waiting: calls that wait.
        thread: that delivers; None for a queue that was closed before it had a thread.
    """

    def __init__(self, owner: Owner, call: Callable[[Any, dict[str, Any]], Any], failed: Failed, maxsize: int) -> None:
        if maxsize < 1:
            raise ValueError(f"maxsize is {maxsize}; a queue must hold at least 1 call.")
        self.owner = owner
        self.call = call
        self.failed = failed
        self.maxsize = maxsize
        self.dropped = 0
        self.waiting = 0
        self.closed = False
        self.thread: ReceiverThread | None = None

    def put(self, sender: Any, fields: dict[str, Any]) -> None:
        """Queue a call; never blocks."""
        if self.thread is None:
            self.dropped += 1
        else:
            self.thread.put(self, sender, fields)

    def discard(self) -> None:
        """Take nothing more and deliver nothing more; waits for nobody, so that garbage collection may call it."""
        if self.thread is not None:
            self.thread.discard(self)


class ReceiverThread:
    """Calls a receiver in the order of its messages, whichever of its queues they came to.

    The thread ends once all of its queues are closed and what waited is delivered.
    """

    def __init__(self, queue: ReceiverQueue, name: str, redact: Redact) -> None:
        self.name = name
        self._redact = redact
        self.ended = False
        self.queues: tuple[ReceiverQueue, ...] = (queue,)
        self._calls: deque[tuple[ReceiverQueue, Any, dict[str, Any]]] = deque()
        self._changed = threading.Condition()
        self._busy: ReceiverQueue | None = None
        queue.thread = self
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def add(self, queue: ReceiverQueue) -> bool:
        """Take a further queue if its receiver is that of this thread, and this thread goes on."""
        receiver = queue.owner()
        if not any(_same(other.owner(), receiver) for other in self.queues):
            return False
        with self._changed:
            if self._over():
                return False
            queue.thread = self
            self.queues = (*(known for known in self.queues if not known.closed or known.waiting), queue)
            return True

    def _over(self) -> bool:
        return self.ended or all(queue.closed for queue in self.queues)

    def put(self, queue: ReceiverQueue, sender: Any, fields: dict[str, Any]) -> None:
        with self._changed:
            if queue.closed or queue.waiting >= queue.maxsize:
                queue.dropped += 1
                return
            queue.waiting += 1
            self._calls.append((queue, sender, fields))
            self._changed.notify_all()

    def begin_close(self, queue: ReceiverQueue) -> None:
        """Take nothing more for a queue; never blocks."""
        with self._changed:
            queue.closed = True
            self._changed.notify_all()

    def discard(self, queue: ReceiverQueue) -> None:
        """As ``begin_close``, and what waits is dropped."""
        with self._changed:
            queue.closed = True
            queue.dropped += queue.waiting
            queue.waiting = 0
            self._changed.notify_all()

    def wait_for(self, queue: ReceiverQueue, seconds: float) -> bool:
        """Wait until a closed queue is delivered, then drop what is left; returns whether all was delivered."""
        # A receiver that disconnects itself must not wait for its own end.
        if threading.current_thread() is self._thread:
            return True
        with self._changed:
            done = self._changed.wait_for(lambda: not queue.waiting and self._busy is not queue, seconds)
        if not done:
            self.discard(queue)
        return done

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread if nothing keeps it from ending."""
        with self._changed:
            ends = self._over() and self._busy is None
        if ends and threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _next(self) -> tuple[ReceiverQueue, Any, dict[str, Any]] | None:
        with self._changed:
            self._busy = None
            self._changed.notify_all()
            while True:
                self._changed.wait_for(lambda: self._calls or self._over())
                if not self._calls:
                    self.ended = True
                    return None
                queue, sender, fields = self._calls.popleft()
                # A queue that is closed and has nothing waiting was discarded, and this with it.
                if queue.waiting:
                    queue.waiting -= 1
                    self._busy = queue
                    return queue, sender, fields

    def _work(self) -> None:
        process = os.getpid()
        while (call := self._next()) is not None:
            queue, sender, fields = call
            try:
                queue.call(sender, fields)
            except BaseException as error:  # noqa: BLE001 - a receiver may raise anything and ends no thread
                end_child_of(process, error)
                _report(queue.failed, error, self._redact)
            # What a message holds is not kept until the next message comes.
            del call, queue, sender, fields


def close_queues(queues: list[ReceiverQueue], deadline: Deadline) -> None:
    """Deliver what waits in queues, all within the same time; what hangs is given up."""
    threads = [(queue, queue.thread) for queue in queues if queue.thread is not None]
    for queue, thread in threads:
        thread.begin_close(queue)
    hanging = [thread for queue, thread in threads if not thread.wait_for(queue, deadline.left())]
    for thread in dict.fromkeys(thread for _, thread in threads):
        thread.join(deadline.left())
    for thread in dict.fromkeys(hanging):
        _log.warning("A queued receiver hangs and is not waited for any longer (thread %s).", thread.name)


def _same(receiver: Any, other: Any) -> bool:
    try:
        return receiver is other or bool(receiver == other)
    except Exception:  # noqa: BLE001 - a receiver's class may compare as it likes; then it is another
        return False


def _report(failed: Failed, error: BaseException, redact: Redact) -> None:
    """Report a receiver's error; whoever gets that report may raise, too, and ends no thread."""
    try:
        failed(error)
    except BaseException as further:  # noqa: BLE001 - see above
        _log.error("Reporting the failure of a receiver failed: %s", describe_error(further, redact))


class BackgroundLoop:
    """An event loop on a daemon thread, started by the first coroutine.

    Args:
        redact: masks secrets in what is logged.
    """

    def __init__(self, redact: Redact) -> None:
        self._redact = redact
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pending: set[Future[None]] = set()
        self._closed = False
        self._stopping = False

    def run(self, coroutine: Coroutine[Any, Any, Any], failed: Failed) -> Future[None] | None:
        """Schedule a coroutine, whose error goes to ``failed``; after ``close`` it is not run and None returned."""
        with self._lock:
            if self._closed:
                coroutine.close()
                return None
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # The handler of asyncio would log tracebacks with whatever secrets they show.
                self._loop.set_exception_handler(self._log_unheard)
                self._thread = threading.Thread(
                    target=self._work, args=(self._loop,), name="kindling-signals", daemon=True
                )
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(self._guard(coroutine, failed), self._loop)
            self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    def close(self, deadline: Deadline | None = None) -> None:
        """Wait for what was scheduled, until the deadline, then end the loop and its thread."""
        deadline = deadline or Deadline()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loop, thread, pending = self._loop, self._thread, list(self._pending)
        if loop is None or thread is None:
            return
        if threading.current_thread() is not thread:
            # A receiver that closes the app must not wait for its own end.
            wait(pending, deadline.left())
        self._stopping = True
        loop.call_soon_threadsafe(loop.stop)
        if threading.current_thread() is not thread:
            # The last moment is for a loop that has been waited for until there was no time left.
            thread.join(max(deadline.left(), LAST_SECONDS))

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping:
            try:
                loop.run_forever()
            except BaseException as error:  # noqa: BLE001 - asyncio lets SystemExit of a receiver's own task through
                self._log_end_of_task(error)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            _log.warning("%d tasks of coroutine receivers had not ended and are cancelled.", len(left))
            try:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            except BaseException as error:  # noqa: BLE001 - as above
                self._log_end_of_task(error)
        loop.close()

    def _log_unheard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error that nobody has asked for, such as that of a task which a receiver has made."""
        error = context.get("exception")
        text = "" if error is None else f": {describe_error(error, self._redact)}"
        _log.error("%s%s", self._redact(context["message"]), text)

    def _log_end_of_task(self, error: BaseException) -> None:
        _log.error("A task of a receiver ended: %s", describe_error(error, self._redact))

    async def _guard(self, coroutine: Coroutine[Any, Any, Any], failed: Failed) -> None:
        try:
            await coroutine
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._stopping:
                raise
            _report(failed, error, self._redact)
