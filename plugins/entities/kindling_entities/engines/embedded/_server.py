"""The Sail server of an App, and its session."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession


class _Interrupts:
    """Keeps Ctrl-C for the process: Sail's server takes it for itself, and would shut down in the middle of a run.

    Python sets handlers on its main thread alone, and a server may be started on any; so this is done a level below
    (PyOS_getsig and PyOS_setsig of Python's C API). The server sets its handler on a thread of its own, which on a busy
    machine may be after it has answered the first query; so this is looked at before each pipe.
    """

    # SIG_DFL and SIG_IGN: set by the process or its user, never by the server.
    _CHOSEN = (None, 0, 1)

    def __init__(self) -> None:
        self._get, self._put = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
        self._get.argtypes, self._get.restype = [ctypes.c_int], ctypes.c_void_p
        self._put.argtypes, self._put.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
        self._handler = self._get(signal.SIGINT)

    def keep(self) -> None:
        """Take Ctrl-C back, if the server has it."""
        if self._get(signal.SIGINT) not in (*self._CHOSEN, self._handler):
            self._put(signal.SIGINT, self._handler)


@contextmanager
def _enough_threads() -> Iterator[None]:
    """Give Sail's runtime more threads than queries can keep busy, unless the environment sets their number.

    By default there is a thread for each core. A query that computes without a pause occupies all of them, and then
    the server does not answer: no other query starts, and the query that computes cannot be interrupted. Idle threads
    cost nothing that can be measured.
    """
    name = "TOKIO_WORKER_THREADS"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(8 * (os.cpu_count() or 1) + 32)
    try:
        yield
    finally:
        # Not for the other runtimes of this process, or those of its children.
        del os.environ[name]


class SailServer:
    """A Spark Connect server in this process, on a free port of the loopback interface."""

    def __init__(self) -> None:
        self._server: Any = None
        self._session: SparkSession | None = None
        self._interrupts: _Interrupts | None = None

    @property
    def running(self) -> bool:
        return self._session is not None

    def start(self) -> SparkSession:
        """Start the server once and return its session."""
        if self._session is not None:
            return self._session
        # Read when the native module is first used; without it Sail logs to standard error.
        os.environ.setdefault("RUST_LOG", "error")
        # On the full pyspark this makes `pyspark.sql.functions` build Connect columns.
        os.environ.setdefault("SPARK_CONNECT_MODE_ENABLED", "1")
        from pysail.spark import SparkConnectServer
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.session import SparkSession

        from kindling_entities.engines._naive import naive_is_utc
        from kindling_entities.engines.embedded._answers import WholeAnswers
        from kindling_entities.engines.embedded._guarded import GuardedPlans
        from kindling_entities.engines.embedded._schemas import Schemas

        naive_is_utc()
        interrupts = _Interrupts()
        with _enough_threads():
            server = SparkConnectServer("127.0.0.1", 0)
            server.start(background=True)
            host, port = server.listening_address
            # `create` and not `getOrCreate`: each App has a session of its own.
            channel = DefaultChannelBuilder(f"sc://{host}:{port}")
            answers, guarded = WholeAnswers(), GuardedPlans()
            # The client offers gzip and the server takes it; over loopback that costs more than the bytes it saves.
            # A bit for each algorithm (gRPC core, grpc_compression_algorithm): the lowest is "none".
            channel.setChannelOption("grpc.compression_enabled_algorithms_bitset", 1)
            channel.add_interceptor(answers)
            channel.add_interceptor(guarded)
            session = SparkSession.builder.channelBuilder(channel).create()
            answers.serve(session.client)
            guarded.schemas = Schemas(session.client)
            # Answered by the server, which by then listens for interrupts, too.
            session.conf.set("spark.sql.session.timeZone", "UTC")
        interrupts.keep()
        # A spark engine in the same process must not take this for a session of a platform.
        session._kindling_embedded = True  # type: ignore[attr-defined]
        self._server, self._session, self._interrupts = server, session, interrupts
        return session

    def activate(self) -> None:
        """Make the session the active one of the calling thread only."""
        session = self.start()
        type(session)._active_session.session = session
        if self._interrupts is not None:
            self._interrupts.keep()

    def stop(self) -> None:
        session, self._session = self._session, None
        server, self._server = self._server, None
        if session is not None:
            session.stop()
        if server is not None:
            server.stop()
