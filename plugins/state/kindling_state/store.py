"""``SqlStateStore``: the state store on SQLite or PostgreSQL, through SQLAlchemy Core."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    collate,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

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
    Unfinished,
)
from kindling_state.database import Database
from kindling_state.processes import is_dead
from kindling_state.tables import ATTEMPTS, LEASES, MARKS, RECORDS, RUNS

# SQLite takes 32,766 variables in a statement, and a plan of fewer is quicker made.
_CHUNK = 500
_BY_PLACE = (RUNS.c.place.desc(), RUNS.c.run_id.desc())
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
        self.database = Database(url)
        self._clock = clock

    @property
    def place(self) -> str:
        """Where the state is kept, without the password."""
        return self.database.place

    def close(self) -> None:
        """Release the connections; the store opens them again if it is used again."""
        self.database.close()

    # Records

    def get(self, space: str, key: str) -> Record | None:
        query = select(RECORDS).where(RECORDS.c.space == space, RECORDS.c.key == key)
        with self.database.reading(f"reading {space} {key!r}") as connection:
            row = connection.execute(query).first() if connection is not None else None
        return None if row is None else Record(row.key, row.value, row.version)

    def put(self, space: str, key: str, value: Mapping[str, Any], *, expected: int | None = None) -> int:
        try:
            # The drivers differ in what they raise for this, and in whether they take NaN.
            json.dumps(dict(value), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StateError(f"{space} {key!r} cannot be kept: {error}. Give only what JSON can carry.") from error
        with self.database.writing(f"writing {space} {key!r}") as connection:
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
        with self.database.writing(f"removing {space} {key!r}") as connection:
            if expected is None:
                return bool(connection.execute(delete(RECORDS).where(mine)).rowcount)
            if not connection.execute(delete(RECORDS).where(mine, RECORDS.c.version == expected)).rowcount:
                raise self._conflict(connection, space, key, expected)
            return True

    def scan(self, space: str, prefix: str = "") -> list[Record]:
        query = select(RECORDS).where(RECORDS.c.space == space)
        if prefix:
            query = query.where(RECORDS.c.key.startswith(prefix, autoescape=True))
        with self.database.reading(f"reading {space}") as connection:
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
            with self.database.writing("taking leases") as connection:
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
            with self.database.writing("renewing leases") as connection:
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
        with self.database.writing("giving leases back") as connection:
            for chunk in _chunks(sorted(set(names))):
                self._leases(connection, chunk, lock=True)
                connection.execute(delete(LEASES).where(LEASES.c.name.in_(chunk), LEASES.c.owner_id == owner_id))

    def holders(self, names: Collection[str]) -> list[Lease]:
        with self.database.reading("reading leases") as connection:
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
            with self.database.writing(f"writing down run {start.run_id}") as connection:
                place = select(func.coalesce(func.max(RUNS.c.place), 0) + 1).scalar_subquery()
                connection.execute(RUNS.insert().values(**values, place=place))
        except StateError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise StateError(f"Run {start.run_id} is written down already; an id is used once.") from error
            raise

    def mark_succeeded(self, root_run_id: str, pipe_id: str, run_id: str, version_written: int | None = None) -> None:
        with self.database.writing(f"marking {pipe_id!r} as succeeded") as connection:
            made = self._insert(MARKS).values(
                root_run_id=root_run_id, pipe_id=pipe_id, run_id=run_id, version_written=version_written
            )
            connection.execute(made.on_conflict_do_nothing())

    def succeeded(self, root_run_id: str) -> dict[str, Success]:
        query = select(MARKS).where(MARKS.c.root_run_id == root_run_id)
        with self.database.reading(f"reading what succeeded in run {root_run_id}") as connection:
            rows = connection.execute(query).all() if connection is not None else []
        return {row.pipe_id: Success(row.run_id, row.version_written) for row in rows}

    def unfinished(self, job: str, of_last: int = 1000) -> list[Unfinished]:
        newest = (
            select(RUNS.c.run_id, RUNS.c.root_run_id, RUNS.c.status, RUNS.c.settled_by, RUNS.c.place)
            .where(RUNS.c.job == job)
            .order_by(*_BY_PLACE)
            .limit(of_last)
        )
        with self.database.reading(f"looking for unfinished runs of {job!r}") as connection:
            rows = connection.execute(newest).all() if connection is not None else []
            over = {row.root_run_id for row in rows if row.status == "succeeded" or row.settled_by is not None}
            # A run and all that continued it have one root; the newest of them comes first.
            newest_of = {row.root_run_id: row for row in reversed(rows) if row.root_run_id not in over}
            if connection is None or not newest_of:
                return []
            began = {row.root_run_id: row.place for row in rows if row.root_run_id in newest_of}
            marks = self._marks_since(connection, job, min(began.values()))
            starts = {
                row.run_id: _run(row)
                for chunk in _chunks([row.run_id for row in newest_of.values()])
                for row in connection.execute(select(RUNS).where(RUNS.c.run_id.in_(chunk)))
            }
        found = []
        for root, row in newest_of.items():
            mine = {one.pipe_id: Success(one.run_id, one.version_written) for one in marks if one.root_run_id == root}
            later = [one for one in marks if one.root_run_id != root and one.place > row.place]
            since = {one.pipe_id: one.run_id for one in sorted(later, key=lambda one: one.place)}
            found.append((row.place, Unfinished(starts[row.run_id], mine, since)))
        return [one for _, one in sorted(found, key=lambda pair: pair[0], reverse=True)]

    @staticmethod
    def _marks_since(connection: Connection, job: str, place: int) -> Sequence[Row[Any]]:
        """What has succeeded in the runs of a job from one on, with the place of the run in which it did."""
        query = (
            select(MARKS, RUNS.c.place)
            .join(RUNS, RUNS.c.run_id == MARKS.c.run_id)
            .where(RUNS.c.job == job, RUNS.c.place >= place)
        )
        return connection.execute(query).all()

    def settle(self, root_run_ids: Collection[str], by_run_id: str) -> None:
        with self.database.writing("marking runs as settled") as connection:
            for chunk in _chunks(sorted(set(root_run_ids))):
                mine = RUNS.c.root_run_id.in_(chunk), RUNS.c.settled_by.is_(None)
                connection.execute(update(RUNS).where(*mine).values(settled_by=by_run_id))

    # Runs, as history has them

    def record(self, attempts: Sequence[AttemptRecord], ends: Sequence[RunEnd] = ()) -> None:
        with self.database.writing("writing history") as connection:
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
        with self.database.reading(f"reading run {run_id}") as connection:
            row = connection.execute(select(RUNS).where(RUNS.c.run_id == run_id)).first() if connection else None
        return None if row is None else _run(row)

    def runs(self, job: str | None = None, limit: int | None = 50) -> list[RunRecord]:
        query = select(RUNS).order_by(*_BY_PLACE)
        query = query if job is None else query.where(RUNS.c.job == job)
        with self.database.reading("reading runs") as connection:
            rows = connection.execute(query.limit(limit)).all() if connection is not None else []
        return [_run(row) for row in rows]

    def attempts(self, run_id: str) -> list[AttemptRecord]:
        query = select(ATTEMPTS).where(ATTEMPTS.c.run_id == run_id).order_by(ATTEMPTS.c.id)
        with self.database.reading(f"reading the attempts of run {run_id}") as connection:
            rows = connection.execute(query).all() if connection is not None else []
        return [
            AttemptRecord(**{name: getattr(row, name) for name in AttemptRecord.__dataclass_fields__}) for row in rows
        ]

    def expected_seconds(self, job: str, pipe_ids: Collection[str], of_last: int = 5) -> dict[str, float]:
        known = self._newest_seconds(job, pipe_ids, of_last, of_last * 4)
        rare = [pipe_id for pipe_id in pipe_ids if pipe_id not in known]
        if rare:
            # Pipes that the newest runs left out; of so many runs at most, or the query would grow with the job's age.
            known |= self._newest_seconds(job, rare, of_last, of_last * 100)
        return {pipe_id: statistics.median(seconds) for pipe_id, seconds in known.items()}

    def _newest_seconds(
        self, job: str, pipe_ids: Collection[str], of_last: int, of_runs: int
    ) -> dict[str, list[float]]:
        newest = select(RUNS.c.run_id).where(RUNS.c.job == job).order_by(*_BY_PLACE).limit(of_runs).subquery()
        place = func.row_number().over(partition_by=ATTEMPTS.c.pipe_id, order_by=ATTEMPTS.c.id.desc())
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
        with self.database.reading("reading durations") as connection:
            rows = connection.execute(query).all() if connection is not None else []
        wanted = set(pipe_ids)
        seconds: dict[str, list[float]] = {}
        for row in rows:
            if row.pipe_id in wanted:
                seconds.setdefault(row.pipe_id, []).append(row.duration_seconds)
        return seconds

    def _insert(self, table: Any) -> Any:
        kind = postgresql if self.database.backend == "postgresql" else sqlite
        return kind.insert(table)


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
    end = None if row.status is None else RunEnd(**{name: getattr(row, name) for name in _END})
    return RunRecord(start, end, row.settled_by)
