"""Keeps clients of Spark Connect from the threads that all of them share.

A client of pyspark 4.1 hands parts of answers back on threads that all clients of a process share, and ends these
threads and waits for them whenever any client is closed: also when the garbage collector closes a client that was
closed before, on whatever thread it runs and whatever that thread holds. Then all wait for each other for ever
(SPARK-52076, SPARK-55406).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def close_alone(client: Any, close: Callable[[], object] | None = None) -> None:
    """Have a client close its own connection, and nothing that other clients use.

    Args:
        close: closes the connection at once; left out, gRPC does once nobody uses it any more, so that what is still
            being handed back can be.
    """

    def closing() -> None:
        if close is not None:
            close()
        client._closed = True

    client.close = closing
