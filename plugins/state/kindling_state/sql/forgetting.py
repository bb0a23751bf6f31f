"""Which runs nobody needs any more, and removing them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.engine import Row

from kindling_core.state.resume import run_lease
from kindling_state.sql.leases import SqlLeases
from kindling_state.sql.marks import SqlMarks
from kindling_state.sql.part import chunks
from kindling_state.sql.tables import ATTEMPTS, MARKS, RUNS

_KNOWN = (RUNS.c.run_id, RUNS.c.root_run_id, RUNS.c.job, RUNS.c.place, RUNS.c.status, RUNS.c.settled_by)


class SqlForgetting(SqlLeases, SqlMarks):
    """Implements the part of ``StateStore`` that forgets runs."""

    def forget(self, run_ids: Collection[str], *, dry_run: bool = False) -> list[str]:
        wanted = list(dict.fromkeys(run_ids))
        if dry_run:
            with self.database.reading("looking which runs can be forgotten") as connection:
                return self._forgettable(connection, wanted) if connection is not None else []
        with self.database.writing("forgetting runs") as connection:
            gone = self._forgettable(connection, wanted)
            for chunk in chunks(gone):
                roots = select(RUNS.c.root_run_id).where(RUNS.c.run_id.in_(chunk))
                # A run that only its continuation had finished stays finished without it.
                going = RUNS.alias()
                family = going.c.root_run_id == RUNS.c.root_run_id, going.c.run_id.in_(chunk)
                by = select(func.max(going.c.run_id)).where(*family).scalar_subquery()
                rest = RUNS.c.root_run_id.in_(roots), RUNS.c.settled_by.is_(None)
                connection.execute(update(RUNS).where(*rest).values(settled_by=by))
                mine = MARKS.c.root_run_id.in_(roots), MARKS.c.run_id.in_(chunk)
                connection.execute(delete(MARKS).where(*mine))
                connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.run_id.in_(chunk)))
                connection.execute(delete(RUNS).where(RUNS.c.run_id.in_(chunk)))
            return gone

    def _forgettable(self, connection: Connection, run_ids: Sequence[str]) -> list[str]:
        """Return those of these runs that can go, in their order."""
        asked = [row for rows in _chosen(connection, RUNS.c.run_id, run_ids) for row in rows]
        roots = sorted({row.root_run_id for row in asked})
        families: dict[str, list[Row[Any]]] = defaultdict(list)
        for rows in _chosen(connection, RUNS.c.root_run_id, roots):
            for row in rows:
                families[row.root_run_id].append(row)
        jobs = {row.job for row in asked}
        needed = {run_id for job in jobs for run_id in self._needed(connection, job)}
        open_runs = [row.run_id for rows in families.values() for row in rows if row.status is None]
        running = self._running(connection, open_runs)
        over = {
            root for root, rows in families.items() if _is_over(rows) and not any(row.run_id in running for row in rows)
        }
        known = {row.run_id: row for row in asked}
        return [
            run_id
            for run_id in run_ids
            if run_id in known and run_id not in needed and known[run_id].root_run_id in over
        ]

    def _needed(self, connection: Connection, job: str) -> Iterable[str]:
        """The newest run of a job, and those whose success counts for a run that has still to be finished."""
        newest = select(RUNS.c.run_id).where(RUNS.c.job == job).order_by(RUNS.c.place.desc(), RUNS.c.run_id.desc())
        yield from connection.execute(newest.limit(1)).scalars()
        for run in self._unfinished(connection, job, None):
            yield from run.since.values()

    def _running(self, connection: Connection, run_ids: Sequence[str]) -> set[str]:
        leases = {run_lease(run_id): run_id for run_id in run_ids}
        now = self._now(connection)
        rows = [row for chunk in chunks(sorted(leases)) for row in self._leases(connection, chunk)]
        return {leases[row.name] for row in rows if self._is_held(row, now)}


def _chosen(connection: Connection, column: Any, values: Sequence[str]) -> Iterable[Sequence[Any]]:
    for chunk in chunks(values):
        yield connection.execute(select(*_KNOWN).where(column.in_(chunk))).all()


def _is_over(family: Sequence[Row[Any]]) -> bool:
    """Whether nobody has to continue a run or what continued it; one of them that was not settled may be resumed."""
    return any(row.status == "succeeded" for row in family) or all(row.settled_by is not None for row in family)
