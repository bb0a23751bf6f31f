"""Opens the database of a state store: connections, migrations, and errors that say what to do."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from kindling_core.secrets import Redactor, secrets_in
from kindling_core.state import StateError
from kindling_state.errors import StateRemoved
from kindling_state.sql.migrations import STEPS, known_version, migrate

BUSY_SECONDS = 30
_RETRY_SECONDS = 0.01


class Database:
    """A SQLite file or a PostgreSQL database; opened on first use, made on the first write, safe on any thread.

    Args:
        url: see ``SqlStateStore``.
    """

    def __init__(self, url: str) -> None:
        self.url = _parsed(url)
        passwords = [self.url.password, self.url.query.get("password"), self.url.query.get("sslpassword")]
        self._redact = Redactor([*secrets_in(url), *map(str, filter(None, passwords))])
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._migrated = False
        self._file: tuple[int, int] | None = None

    @property
    def backend(self) -> str:
        """Its kind: "sqlite" or "postgresql"."""
        return self.url.get_backend_name()

    @property
    def place(self) -> str:
        """Where the state is kept, without the password."""
        # libpq takes passwords among its options too, and SQLAlchemy hides only that before the host.
        return self.url.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)

    def unwritable(self) -> str | None:
        """Return why nothing can be written, None if nothing is known against it; changes nothing."""
        if self.url.get_backend_name() != "sqlite" or not self.url.database:
            return None
        file = Path(self.url.database)
        folder = file.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        # A log is kept beside the file, so that both have to be writable.
        for place in (file, folder):
            if place.exists() and not os.access(place, os.W_OK):
                return f"{place} cannot be written."
        return None

    def close(self) -> None:
        """Release the connections; they are opened again by the next use."""
        with self._lock:
            engine, self._engine = self._engine, None
            # What is opened next may be another file of that name.
            self._migrated = False
        if engine is not None:
            engine.dispose()

    @contextmanager
    def writing(self, doing: str) -> Iterator[Connection]:
        """Give a connection in a transaction; makes the tables that are missing."""
        with self._mapped(doing):
            engine = self.open()
            if not self._migrated:
                self.make_folder()
                self._migrate(engine)
            with engine.begin() as connection:
                self._check_file()
                yield connection

    @contextmanager
    def reading(self, doing: str) -> Iterator[Connection | None]:
        """Give a connection; None where nothing was written yet."""
        with self._mapped(doing):
            if self.url.get_backend_name() == "sqlite" and not Path(str(self.url.database)).exists():
                yield None
                return
            engine = self.open()
            if not self._migrated:
                # Looked at without a lock: who only reads neither waits for a writer nor needs to be a writer.
                with engine.connect().execution_options(kindling_reads=True) as connection:
                    version = known_version(connection)
                if version == 0:
                    yield None
                    return
                if version == len(STEPS):
                    self._file = self._found_file()
                    self._migrated = True
                else:
                    self._migrate(engine)
            with engine.connect().execution_options(kindling_reads=True) as connection:
                yield connection

    def _migrate(self, engine: Engine) -> None:
        if engine.dialect.name == "sqlite":
            _write_ahead(engine)
        with engine.begin() as connection:
            migrate(connection)
        self._file = self._found_file()
        self._migrated = True

    def _found_file(self) -> tuple[int, int] | None:
        """Return what only this file of the state has, not another of its name; None for a server and for no file."""
        if self.url.get_backend_name() != "sqlite" or not self.url.database:
            return None
        try:
            found = os.stat(self.url.database)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def forget_if_replaced(self) -> None:
        """Begin anew with the file that is there now, before somebody relies on the file that was."""
        if self._migrated and self._found_file() != self._file:
            self.close()

    def _check_file(self) -> None:
        """Refuse to write what nobody would find: SQLite goes on with a file that was removed under it."""
        if self._found_file() != self._file:
            raise StateRemoved(
                f"The file of the state, {self.place}, was removed or replaced while it was in use. Nothing is written "
                f"to it any more."
            )

    def make_folder(self) -> None:
        """Make the folder that a SQLite file lies in."""
        if self.url.get_backend_name() == "sqlite" and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)

    def open(self) -> Engine:
        """Return the engine, made on first use."""
        with self._lock:
            if self._engine is None:
                self._engine = self._made()
            return self._engine

    def _made(self) -> Engine:
        if self.url.get_backend_name() != "sqlite":
            # A server that does not answer must not be waited for without end; what state.url says counts.
            patience = {
                "connect_timeout": "10",
                "tcp_user_timeout": "20000",
                "options": f"-c statement_timeout={BUSY_SECONDS}s -c lock_timeout={BUSY_SECONDS}s",
            }
            arguments = {key: value for key, value in patience.items() if key not in self.url.query}
            return create_engine(self.url, pool_pre_ping=True, hide_parameters=True, connect_args=arguments)
        engine = create_engine(self.url, hide_parameters=True, **self._how_to_connect())

        @event.listens_for(engine, "do_connect")
        def connecting(*arguments: Any) -> None:
            self._make_private()

        # pysqlite begins transactions by itself, late, and as readers; see "Pysqlite: Serializable isolation" in
        # SQLAlchemy's documentation of its SQLite dialect.
        @event.listens_for(engine, "connect")
        def connected(connection: Any, record: Any) -> None:
            connection.isolation_level = None
            # In WAL mode a commit outlives the process that made it; what NORMAL saves is a disk flush, which only
            # a crash of the whole machine could show.
            connection.execute("PRAGMA synchronous=NORMAL")

        @event.listens_for(engine, "begin")
        def begun(connection: Connection) -> None:
            reads = connection.get_execution_options().get("kindling_reads", False)
            connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

        return engine

    def _make_private(self) -> None:
        """Make the file of the state for its owner alone, unless it is there; SQLite gives its -wal and -shm the same.

        History holds error texts and settings. A file that is there keeps what its owner chose. It is never opened
        here: closing it would take SQLite's locks on it away from the whole process (fcntl(2), "Record locking").
        """
        if not self.url.database or "uri" in self.url.query:
            return
        # Where it cannot be made SQLite says why.
        with contextlib.suppress(OSError):
            os.close(os.open(self.url.database, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _how_to_connect(self) -> dict[str, Any]:
        database = self.url.database or ""
        if not os.path.exists(database) or not os.statvfs(database).f_flag & os.ST_RDONLY:
            return {"connect_args": {"timeout": BUSY_SECONDS}}
        # Readers of a write-ahead log write beside it, too; what lies where nobody can write does not change.
        uri = f"file:{quote(os.path.abspath(database))}?mode=ro&immutable=1"
        return {"creator": lambda: sqlite3.connect(uri, uri=True, check_same_thread=False)}

    @contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            cause = getattr(error, "orig", None) or error
            problem = self._redact(str(cause)).strip().partition("\n")[0]
            raise StateError(
                f"The state at {self.place} failed while {doing}: {problem}. {_advice(problem)}"
            ) from error
        except UnicodeError as error:
            raise StateError(
                f"The state at {self.place} failed while {doing}: a name is not valid Unicode ({error}). Correct it."
            ) from error
        except ImportError as error:
            # Not only a missing module: psycopg without its library raises this too.
            raise _no_driver(error) from error


def _write_ahead(engine: Engine) -> None:
    """Have a SQLite file written through a log, which readers do not wait for; the file remembers it."""
    connection = engine.raw_connection()
    try:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                # SQLite does not wait here by itself: of two that change the mode at once the second gets "locked".
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_SECONDS)
    finally:
        connection.close()


_ENCODE = "In a password write '@' as %40, ':' as %3A and '/' as %2F."


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        backend = parsed.get_backend_name()
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError):
        # Without the cause: it may quote the URL, and the password in it.
        scheme = (
            f"{url.partition('://')[0]!r} is not a database" if "://" in url else "this is not the URL of a database"
        )
        raise StateError(
            f"state.url: {scheme} that state can be kept in. Write sqlite:///FILE or postgresql://USER@HOST/DATABASE."
        ) from None
    except ValueError:
        raise StateError(f"state.url: what follows the host is no port. {_ENCODE}") from None
    if backend == "postgresql" and "@" in f"{parsed.host}{parsed.database}":
        raise StateError(f"state.url has more than one '@'. {_ENCODE}")
    if backend not in ("sqlite", "postgresql"):
        raise StateError(f"state.url: state is kept in SQLite or PostgreSQL, not in {backend}.")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StateError("state.url: state in memory would be forgotten. Name a file: sqlite:///state.db.")
    return parsed


def _no_driver(error: ImportError) -> StateError:
    return StateError(
        f"The driver of the database cannot be loaded ({str(error).partition(chr(10))[0]}). "
        f"Run: pip install 'kindling-state[postgresql]'"
    )


def _advice(problem: str) -> str:
    advice = {
        "disk is full": "Make room on the disk.",
        "No space left": "Make room on the disk.",
        "read-only transaction": "Name a server that takes writes, not a standby.",
        "permission denied": "Grant the user of state.url the right to make and write tables.",
        "readonly": "See that this user may write the file and its folder.",
        "Read-only": "See that the file system can be written.",
        "Permission denied": "See that this user may write the file and its folder.",
        "unable to open": "See that its folder exists and may be written.",
        "locked": "Another process has held it for long. Try again, or use PostgreSQL.",
        "not a database": "The file is something else, or damaged. Move it away, or correct state.url.",
        "malformed": "The file is damaged. Move it away; the history in it is lost, the tables of the lake are not.",
        "does not exist": "Create the database, or correct its name in state.url.",
        "resolve host": "Correct the host in state.url.",
        "connection": "See that the server runs and that state.url is right.",
        "password": "Correct the user and the password in state.url.",
    }
    return next((words for sign, words in advice.items() if sign in problem), "See state.url.")
