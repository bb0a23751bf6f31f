"""``SqlStateStore``: the state store on SQLite or PostgreSQL, through SQLAlchemy Core."""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    Connection,
    Engine,
    and_,
    collate,
    create_engine,
    delete,
    event,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Row, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from kindling_core.state import (
    AttemptRecord,
    Lease,
    Owner,
    Record,
    RunEnd,
    RunRecord,
    RunStart,
    StateConflict,
    StateError,
    Success,
)
from kindling_state.migrations import STEPS, known_version, migrate
from kindling_state.processes import is_dead
from kindling_state.tables import ATTEMPTS, LEASES, MARKS, RECORDS, RUNS

BUSY_SECONDS = 30
_RETRY_SECONDS = 0.01
# SQLite takes 32,766 variables in a statement, and a plan of fewer is quicker made.
_CHUNK = 500
_START = [column.name for column in RUNS.columns if column.name in RunStart.__dataclass_fields__]
_END = [column.name for column in RUNS.columns if column.name in RunEnd.__dataclass_fields__]


class _Refused(Exception):
    """Ends a transaction that is not to be kept."""


class SqlStateStore:
    """Implements ``StateStore``. Opens the database on first use, and makes it on the first write.

    Args:
        url: ``sqlite:///file`` or ``postgresql://user:password@host/database``.
        clock: seconds since the epoch, for the ends of leases. Default: that of the PostgreSQL server, so that machines
            agree; with SQLite, that of this machine.
    """

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        self._url = _parsed(url)
        self._clock = clock
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._migrated = False
        self._file: tuple[int, int] | None = None

    @property
    def place(self) -> str:
        """Where the state is kept, without the password."""
        # libpq takes passwords among its options too, and SQLAlchemy hides only the one before the host.
        return self._url.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)

    def unwritable(self) -> str | None:
        """Return why nothing can be written, None if nothing is known against it; changes nothing."""
        if self._url.get_backend_name() != "sqlite" or not self._url.database:
            return None
        place = Path(self._url.database)
        while not place.exists() and place != place.parent:
            place = place.parent
        return None if os.access(place, os.W_OK) else f"{place} cannot be written."

    def close(self) -> None:
        """Release the connections; the store opens them again if it is used again."""
        with self._lock:
            engine, self._engine = self._engine, None
            # What is opened next may be another file of that name.
            self._migrated = False
        if engine is not None:
            engine.dispose()

    # Records

    def get(self, space: str, key: str) -> Record | None:
        query = select(RECORDS).where(RECORDS.c.space == space, RECORDS.c.key == key)
        with self._reading(f"reading {space} {key!r}") as connection:
            row = connection.execute(query).first() if connection is not None else None
        return None if row is None else Record(row.key, row.value, row.version)

    def put(self, space: str, key: str, value: Mapping[str, Any], *, expected: int | None = None) -> int:
        try:
            # The drivers differ in what they raise for this, and in whether they take NaN.
            json.dumps(dict(value), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StateError(f"{space} {key!r} cannot be kept: {error}. Give only what JSON can carry.") from error
        with self._writing(f"writing {space} {key!r}") as connection:
            if expected:
                # One statement decides, and the number of its rows says who won.
                changed = connection.execute(
                    update(RECORDS)
                    .where(RECORDS.c.space == space, RECORDS.c.key == key, RECORDS.c.version == expected)
                    .values(value=dict(value), version=expected + 1)
                )
                if not changed.rowcount:
                    raise self._conflict(connection, space, key, expected)
                return expected + 1
            made = self._insert(RECORDS).values(space=space, key=key, value=dict(value), version=1)
            if expected == 0:
                # The count of an INSERT is not told by every driver; the row is.
                once = made.on_conflict_do_nothing().returning(RECORDS.c.version)
                if connection.execute(once).first() is None:
                    raise self._conflict(connection, space, key, expected)
                return 1
            made = made.on_conflict_do_update(
                index_elements=["space", "key"],
                set_={"value": made.excluded.value, "version": RECORDS.c.version + 1},
            )
            return int(connection.execute(made.returning(RECORDS.c.version)).scalar_one())

    def delete(self, space: str, key: str, *, expected: int | None = None) -> bool:
        mine = and_(RECORDS.c.space == space, RECORDS.c.key == key)
        with self._writing(f"removing {space} {key!r}") as connection:
            if expected is None:
                return bool(connection.execute(delete(RECORDS).where(mine)).rowcount)
            if not connection.execute(delete(RECORDS).where(mine, RECORDS.c.version == expected)).rowcount:
                raise self._conflict(connection, space, key, expected)
            return True

    def scan(self, space: str, prefix: str = "") -> list[Record]:
        query = select(RECORDS).where(RECORDS.c.space == space)
        if prefix:
            query = query.where(RECORDS.c.key.startswith(prefix, autoescape=True))
        with self._reading(f"reading {space}") as connection:
            rows = connection.execute(query).all() if connection is not None else []
        # SQLite's LIKE takes capitals for small letters, and databases sort in their own ways.
        found = [Record(row.key, row.value, row.version) for row in rows if row.key.startswith(prefix)]
        return sorted(found, key=lambda record: record.key)

    def _conflict(self, connection: Connection, space: str, key: str, expected: int) -> StateConflict:
        query = select(RECORDS.c.version).where(RECORDS.c.space == space, RECORDS.c.key == key)
        now = connection.execute(query).scalar()
        return StateConflict(
            f"{space} {key!r} is at version {now or 'none'} and not at {expected or 'none'}: somebody else has changed "
            f"it. Read it again."
        )

    # Leases

    def acquire(self, names: Collection[str], owner: Owner, ttl_seconds: float) -> list[Lease]:
        # In one order everywhere, so that two who want the same leases do not wait for each other.
        wanted = sorted(set(names))
        held: list[Lease] = []
        try:
            with self._writing("taking leases") as connection:
                now = self._now(connection)
                fresh = {**asdict(owner), "expires": 0.0}
                for chunk in _chunks(wanted):
                    rows = [{"name": name, **fresh} for name in chunk]
                    # An update, although it changes nothing: it locks the row that is there already, so that its
                    # owner cannot remove it before it is read below. DO NOTHING locks nothing.
                    made = self._insert(LEASES)
                    made = made.on_conflict_do_update(index_elements=["name"], set_={"name": made.excluded.name})
                    connection.execute(made, rows)
                    for row in self._leases(connection, chunk, lock=True):
                        if row.owner_id != owner.owner_id and self._is_held(row, now):
                            held.append(_lease(row))
                if held:
                    raise _Refused
                for chunk in _chunks(wanted):
                    connection.execute(
                        update(LEASES)
                        .where(LEASES.c.name.in_(chunk))
                        .values(**{**asdict(owner), "expires": now + ttl_seconds})
                    )
        except _Refused:
            return held
        return []

    def renew(self, names: Collection[str], owner_id: str, ttl_seconds: float) -> bool:
        wanted = sorted(set(names))
        try:
            with self._writing("renewing leases") as connection:
                expires = self._now(connection) + ttl_seconds
                kept = 0
                for chunk in _chunks(wanted):
                    self._leases(connection, chunk, lock=True)
                    mine = LEASES.c.name.in_(chunk), LEASES.c.owner_id == owner_id
                    kept += connection.execute(update(LEASES).where(*mine).values(expires=expires)).rowcount
                if kept != len(wanted):
                    raise _Refused
        except _Refused:
            return False
        return True

    def release(self, names: Collection[str], owner_id: str) -> None:
        with self._writing("giving leases back") as connection:
            for chunk in _chunks(sorted(set(names))):
                self._leases(connection, chunk, lock=True)
                connection.execute(delete(LEASES).where(LEASES.c.name.in_(chunk), LEASES.c.owner_id == owner_id))

    def holders(self, names: Collection[str]) -> list[Lease]:
        with self._reading("reading leases") as connection:
            if connection is None:
                return []
            now = self._now(connection)
            rows = [row for chunk in _chunks(sorted(set(names))) for row in self._leases(connection, chunk)]
        return [_lease(row) for row in rows if self._is_held(row, now)]

    def _leases(self, connection: Connection, names: Sequence[str], *, lock: bool = False) -> Sequence[Row[Any]]:
        # Locked in Python's order of strings, as acquire() inserts them; that of the database may be a dictionary's.
        postgres = connection.dialect.name == "postgresql"
        order = collate(LEASES.c.name, "C") if postgres else LEASES.c.name
        query = select(LEASES).where(LEASES.c.name.in_(names)).order_by(order)
        return connection.execute(query.with_for_update() if lock else query).all()

    @staticmethod
    def _is_held(row: Row[Any], now: float) -> bool:
        return bool(row.expires > now) and not is_dead(row.host, row.pid, row.started)

    def _now(self, connection: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        if connection.dialect.name == "postgresql":
            return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
        return time.time()

    # Runs, exactly

    def begin_run(self, start: RunStart) -> None:
        values = {name: _plain(getattr(start, name)) for name in _START}
        try:
            with self._writing(f"writing down run {start.run_id}") as connection:
                connection.execute(RUNS.insert().values(**values))
        except StateError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise StateError(f"Run {start.run_id} is written down already; an id is used once.") from error
            raise

    def mark_succeeded(self, root_run_id: str, pipe_id: str, run_id: str, version_written: int | None = None) -> None:
        with self._writing(f"marking {pipe_id!r} as succeeded") as connection:
            made = self._insert(MARKS).values(
                root_run_id=root_run_id, pipe_id=pipe_id, run_id=run_id, version_written=version_written
            )
            connection.execute(made.on_conflict_do_nothing())

    def succeeded(self, root_run_id: str) -> dict[str, Success]:
        query = select(MARKS).where(MARKS.c.root_run_id == root_run_id)
        with self._reading(f"reading what succeeded in run {root_run_id}") as connection:
            rows = connection.execute(query).all() if connection is not None else []
        return {row.pipe_id: Success(row.run_id, row.version_written) for row in rows}

    # Runs, as history has them

    def record(self, attempts: Sequence[AttemptRecord], ends: Sequence[RunEnd] = ()) -> None:
        with self._writing("writing history") as connection:
            if attempts:
                made = self._insert(ATTEMPTS)
                key = ("run_id", "pipe_id", "attempt")
                changed = {
                    column.name: made.excluded[column.name]
                    for column in ATTEMPTS.columns
                    if column.name not in ("id", *key)
                }
                made = made.on_conflict_do_update(index_elements=list(key), set_=changed)
                names = [column.name for column in ATTEMPTS.columns if column.name != "id"]
                connection.execute(made, [{name: _kept(getattr(one, name)) for name in names} for one in attempts])
            for end in ends:
                values = {name: _kept(getattr(end, name)) for name in _END if name != "run_id"}
                connection.execute(update(RUNS).where(RUNS.c.run_id == end.run_id).values(**values))

    def run(self, run_id: str) -> RunRecord | None:
        with self._reading(f"reading run {run_id}") as connection:
            row = connection.execute(select(RUNS).where(RUNS.c.run_id == run_id)).first() if connection else None
        return None if row is None else _run(row)

    def runs(self, job: str | None = None, limit: int | None = 50) -> list[RunRecord]:
        query = select(RUNS).order_by(RUNS.c.run_id.desc())
        query = query if job is None else query.where(RUNS.c.job == job)
        with self._reading("reading runs") as connection:
            rows = connection.execute(query.limit(limit)).all() if connection is not None else []
        return [_run(row) for row in rows]

    def attempts(self, run_id: str) -> list[AttemptRecord]:
        query = select(ATTEMPTS).where(ATTEMPTS.c.run_id == run_id).order_by(ATTEMPTS.c.id)
        with self._reading(f"reading the attempts of run {run_id}") as connection:
            rows = connection.execute(query).all() if connection is not None else []
        return [
            AttemptRecord(**{name: getattr(row, name) for name in AttemptRecord.__dataclass_fields__}) for row in rows
        ]

    def expected_seconds(self, job: str, pipe_ids: Collection[str], of_last: int = 5) -> dict[str, float]:
        known = self._newest_seconds(job, pipe_ids, of_last, of_last * 4)
        rare = [pipe_id for pipe_id in pipe_ids if pipe_id not in known]
        if rare and known:
            # Pipes that the newest runs left out; of so many runs at most, or the query would grow with the job's age.
            known |= self._newest_seconds(job, rare, of_last, of_last * 100)
        return {pipe_id: statistics.median(seconds) for pipe_id, seconds in known.items()}

    def _newest_seconds(
        self, job: str, pipe_ids: Collection[str], of_last: int, of_runs: int
    ) -> dict[str, list[float]]:
        newest = select(RUNS.c.run_id).where(RUNS.c.job == job).order_by(RUNS.c.run_id.desc()).limit(of_runs).subquery()
        place = func.row_number().over(partition_by=ATTEMPTS.c.pipe_id, order_by=ATTEMPTS.c.run_id.desc())
        numbered = (
            select(ATTEMPTS.c.pipe_id, ATTEMPTS.c.duration_seconds, place.label("place"))
            .where(
                ATTEMPTS.c.run_id.in_(select(newest.c.run_id)),
                ATTEMPTS.c.status == "succeeded",
                ATTEMPTS.c.duration_seconds.is_not(None),
            )
            .subquery()
        )
        query = select(numbered.c.pipe_id, numbered.c.duration_seconds).where(numbered.c.place <= of_last)
        with self._reading("reading durations") as connection:
            rows = connection.execute(query).all() if connection is not None else []
        wanted = set(pipe_ids)
        seconds: dict[str, list[float]] = {}
        for row in rows:
            if row.pipe_id in wanted:
                seconds.setdefault(row.pipe_id, []).append(row.duration_seconds)
        return seconds

    # The database

    @contextmanager
    def _writing(self, doing: str) -> Iterator[Connection]:
        with self._mapped(doing):
            engine = self._open()
            if not self._migrated:
                self._make_folder()
                self._migrate(engine)
            with engine.begin() as connection:
                self._check_file()
                yield connection

    @contextmanager
    def _reading(self, doing: str) -> Iterator[Connection | None]:
        """Give a connection; None where nothing was written yet."""
        with self._mapped(doing):
            if self._url.get_backend_name() == "sqlite" and not Path(str(self._url.database)).exists():
                yield None
                return
            engine = self._open()
            if not self._migrated:
                # Looked at without a lock: who only reads neither waits for a writer nor needs to be one.
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
        """What tells the file of the state from another one of its name; None for a server, and where there is none."""
        if self._url.get_backend_name() != "sqlite" or not self._url.database:
            return None
        try:
            found = os.stat(self._url.database)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _check_file(self) -> None:
        """Refuse to write what nobody would find: SQLite goes on with a file that was removed under it."""
        if self._found_file() != self._file:
            raise StateError(
                f"The file of the state, {self.place}, was removed or replaced while it was in use. Nothing is written "
                f"to it any more. Put it back, or run again."
            )

    def _make_folder(self) -> None:
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)

    def _open(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._made()
            return self._engine

    def _made(self) -> Engine:
        if self._url.get_backend_name() != "sqlite":
            # A server that does not answer must not be waited for without end; what state.url says counts.
            patience = {
                "connect_timeout": "10",
                "tcp_user_timeout": "20000",
                "options": f"-c statement_timeout={BUSY_SECONDS}s -c lock_timeout={BUSY_SECONDS}s",
            }
            arguments = {key: value for key, value in patience.items() if key not in self._url.query}
            return create_engine(self._url, pool_pre_ping=True, hide_parameters=True, connect_args=arguments)
        engine = create_engine(self._url, hide_parameters=True, **self._how_to_connect())

        # pysqlite begins transactions by itself, late, and as readers; see "Pysqlite: Serializable isolation" in
        # SQLAlchemy's documentation of its SQLite dialect.
        @event.listens_for(engine, "connect")
        def connected(connection: Any, record: Any) -> None:
            connection.isolation_level = None
            # In WAL mode a commit outlives the process that made it; what NORMAL saves is a disk flush, which only
            # a crash of the whole machine could tell.
            connection.execute("PRAGMA synchronous=NORMAL")

        @event.listens_for(engine, "begin")
        def begun(connection: Connection) -> None:
            reads = connection.get_execution_options().get("kindling_reads", False)
            connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

        return engine

    def _insert(self, table: Any) -> Any:
        kind = postgresql if self._url.get_backend_name() == "postgresql" else sqlite
        return kind.insert(table)

    def _how_to_connect(self) -> dict[str, Any]:
        database = self._url.database or ""
        if not os.path.exists(database) or os.access(database, os.W_OK):
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
            told = str(cause).strip().partition("\n")[0]
            raise StateError(f"The state at {self.place} failed while {doing}: {told}. {_advice(told)}") from error
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
                # SQLite does not wait here by itself: of two that change the mode at once one is told "locked".
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


def _advice(told: str) -> str:
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
    return next((words for sign, words in advice.items() if sign in told), "See state.url.")


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _CHUNK):
        yield names[start : start + _CHUNK]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, (list, tuple)) else value


def _kept(value: Any) -> Any:
    """As ``_plain``; of a text that a database refuses, what it takes: one odd file name must not lose a history."""
    if isinstance(value, str) and not (value.isascii() and "\0" not in value):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "backslashreplace").decode()
    return _plain(value)


def _lease(row: Row[Any]) -> Lease:
    owner = Owner(row.owner_id, row.host, row.pid, row.started, row.told)
    return Lease(row.name, owner, datetime.fromtimestamp(row.expires, timezone.utc).isoformat(timespec="seconds"))


def _run(row: Row[Any]) -> RunRecord:
    start = RunStart(**{name: getattr(row, name) for name in _START})
    if row.status is None:
        return RunRecord(start)
    return RunRecord(start, RunEnd(**{name: getattr(row, name) for name in _END}))
