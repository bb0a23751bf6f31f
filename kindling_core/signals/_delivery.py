"""Delivery off the sender's thread: bounded queues for slow receivers, one event loop for coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any

Failed = Callable[[BaseException], None]

FLUSH_SECONDS = 30.0


class QueuedReceiver:
    """Calls a receiver on a thread of its own, from a bounded queue that drops what does not fit.

    Attributes:
        dropped: calls that found the queue full, came after ``close``, or were left when its time was over.
    """

    def __init__(self, call: Callable[[Any, dict[str, Any]], Any], failed: Failed, maxsize: int, name: str) -> None:
        if maxsize < 1:
            raise ValueError(f"maxsize is {maxsize}; a queue must hold at least 1 call.")
        self.dropped = 0
        self._call = call
        self._failed = failed
        self._maxsize = maxsize
        self._waiting: deque[tuple[Any, dict[str, Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, sender: Any, fields: dict[str, Any]) -> None:
        """Queue one call; never blocks."""
        with self._changed:
            if self._closed or len(self._waiting) >= self._maxsize:
                self.dropped += 1
                return
            self._waiting.append((sender, fields))
            self._changed.notify()

    def close(self, timeout: float = FLUSH_SECONDS) -> None:
        """Deliver what is queued, then end the thread; a receiver that hangs is given up after ``timeout`` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        # A receiver that disconnects itself must not wait for its own end.
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
            with self._changed:
                self.dropped += len(self._waiting)
                self._waiting.clear()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                sender, fields = self._waiting.popleft()
            try:
                self._call(sender, fields)
            except Exception as error:  # noqa: BLE001 - a receiver may raise anything and breaks nothing
                self._failed(error)


class BackgroundLoop:
    """One event loop on one daemon thread, started by the first coroutine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pending: set[Future[None]] = set()
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, Any], failed: Failed) -> Future[None] | None:
        """Schedule a coroutine, whose error goes to ``failed``; after ``close`` it is not run and None returned."""
        with self._lock:
            if self._closed:
                coroutine.close()
                return None
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="kindling-signals", daemon=True)
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(_guard(coroutine, failed), self._loop)
            self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    def close(self, timeout: float = FLUSH_SECONDS) -> None:
        """Wait for what was scheduled, ``timeout`` seconds at most, then end the loop and its thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loop, thread, pending = self._loop, self._thread, list(self._pending)
        if loop is None or thread is None:
            return
        if threading.current_thread() is thread:
            loop.call_soon(loop.stop)
            return
        for future in wait(pending, timeout).not_done:
            future.cancel()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout)
        if not thread.is_alive():
            loop.close()


async def _guard(coroutine: Coroutine[Any, Any, Any], failed: Failed) -> None:
    try:
        await coroutine
    except Exception as error:  # noqa: BLE001 - a receiver may raise anything and breaks nothing
        failed(error)
