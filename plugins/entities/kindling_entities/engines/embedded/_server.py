"""The Sail server of one App, and its session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession


class SailServer:
    """A Spark Connect server in this process, on a free port of the loopback interface."""

    def __init__(self) -> None:
        self._server: Any = None
        self._session: SparkSession | None = None

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
        from pyspark.sql.connect.session import SparkSession

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        host, port = server.listening_address
        # `create` and not `getOrCreate`: each App has a session of its own.
        session = SparkSession.builder.remote(f"sc://{host}:{port}").create()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        # A spark engine in the same process must not take this for a session of a platform.
        session._kindling_embedded = True  # type: ignore[attr-defined]
        self._server, self._session = server, session
        return session

    def activate(self) -> None:
        """Make the session the active one of the calling thread only."""
        session = self.start()
        type(session)._active_session.session = session

    def stop(self) -> None:
        session, self._session = self._session, None
        server, self._server = self._server, None
        if session is not None:
            session.stop()
        if server is not None:
            server.stop()
