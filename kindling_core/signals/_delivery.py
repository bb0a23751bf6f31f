"""Delivery off the sender's thread: bounded queues for slow receivers, one event loop for coroutines."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any

Failed = Callable[[BaseException], None]


class QueuedReceiver:
    """Calls a receiver on a thread of its own, from a bounded queue that drops what does not fit.

    Attributes:
        dropped: calls that found the queue full, or came after ``close``.
    """

    def __init__(self, call: Callable[[Any, dict[str, Any]], Any], failed: Failed, maxsize: int, name: str) -> None:
        self.dropped = 0
        self._call = call
        self._failed = failed
        self._queue: queue.Queue[tuple[Any, dict[str, Any]] | None] = queue.Queue(maxsize)
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, sender: Any, fields: dict[str, Any]) -> None:
        """Queue one call; never blocks."""
        with self._lock:
            if not self._closed:
                try:
                    self._queue.put_nowait((sender, fields))
                except queue.Full:
                    self.dropped += 1
                return
            self.dropped += 1

    def close(self) -> None:
        """Deliver what is queued, then end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if threading.current_thread() is not self._thread:
            self._queue.put(None)
            self._thread.join()
        else:
            # A receiver that disconnects itself: the mark must not wait for room in its own queue.
            threading.Thread(target=self._queue.put, args=(None,), daemon=True).start()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._call(*item)
            except Exception as error:  # noqa: BLE001 - a receiver may raise anything and breaks nothing
                self._failed(error)


class BackgroundLoop:
    """One event loop on one daemon thread, started by the first coroutine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pending: set[Any] = set()
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, Any], failed: Failed) -> None:
        """Schedule a coroutine; its error goes to ``failed``."""
        with self._lock:
            if self._closed:
                coroutine.close()
                return
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="kindling-signals", daemon=True)
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(self._guard(coroutine, failed), self._loop)
            self._pending.add(future)
        future.add_done_callback(self._pending.discard)

    async def _guard(self, coroutine: Coroutine[Any, Any, Any], failed: Failed) -> None:
        try:
            await coroutine
        except Exception as error:  # noqa: BLE001 - a receiver may raise anything and breaks nothing
            failed(error)

    def close(self) -> None:
        """Wait for what was scheduled, then end the loop and its thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loop, thread, pending = self._loop, self._thread, list(self._pending)
        if loop is None or thread is None:
            return
        if threading.current_thread() is not thread:
            for future in pending:
                future.result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
        else:
            loop.call_soon(loop.stop)
