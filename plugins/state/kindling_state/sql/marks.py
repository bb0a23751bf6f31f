"""What has succeeded of a run, and which runs have still to be finished."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.engine import Row

from kindling_core.state import Success, Unfinished
from kindling_state.sql.part import SqlPart, chunks
from kindling_state.sql.runs import BY_PLACE, run_of
from kindling_state.sql.tables import MARKS, RUNS


class SqlMarks(SqlPart):
    """Implements the part of ``StateStore`` that keeps marks of success."""

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
        with self.database.reading(f"looking for unfinished runs of {job!r}") as connection:
            return self._unfinished(connection, job, of_last) if connection is not None else []

    def _unfinished(self, connection: Connection, job: str, of_last: int | None) -> list[Unfinished]:
        newest = (
            select(RUNS.c.run_id, RUNS.c.root_run_id, RUNS.c.status, RUNS.c.settled_by, RUNS.c.place)
            .where(RUNS.c.job == job)
            .order_by(*BY_PLACE)
            .limit(of_last)
        )
        rows = connection.execute(newest).all()
        over = {row.root_run_id for row in rows if row.status == "succeeded" or row.settled_by is not None}
        # A run and all that continued it share a root; the newest of them comes first.
        newest_of = {row.root_run_id: row for row in reversed(rows) if row.root_run_id not in over}
        if not newest_of:
            return []
        began = {row.root_run_id: row.place for row in rows if row.root_run_id in newest_of}
        marks = self._marks_since(connection, job, min(began.values()))
        starts = {
            row.run_id: run_of(row)
            for chunk in chunks([row.run_id for row in newest_of.values()])
            for row in connection.execute(select(RUNS).where(RUNS.c.run_id.in_(chunk)))
        }
        found = []
        for root, row in newest_of.items():
            mine = {
                mark.pipe_id: Success(mark.run_id, mark.version_written) for mark in marks if mark.root_run_id == root
            }
            later = [mark for mark in marks if mark.root_run_id != root and mark.place > row.place]
            since = {mark.pipe_id: mark.run_id for mark in sorted(later, key=lambda mark: mark.place)}
            found.append((row.place, Unfinished(starts[row.run_id], mine, since)))
        return [run for _, run in sorted(found, key=lambda pair: pair[0], reverse=True)]

    @staticmethod
    def _marks_since(connection: Connection, job: str, place: int) -> Sequence[Row[Any]]:
        """What has succeeded in the runs of a job from a place on, with the place of the run in which it did."""
        query = (
            select(MARKS, RUNS.c.place)
            .join(RUNS, RUNS.c.run_id == MARKS.c.run_id)
            .where(RUNS.c.job == job, RUNS.c.place >= place)
        )
        return connection.execute(query).all()

    def settle(self, root_run_ids: Collection[str], by_run_id: str) -> None:
        with self.database.writing("marking runs as settled") as connection:
            for chunk in chunks(sorted(set(root_run_ids))):
                mine = RUNS.c.root_run_id.in_(chunk), RUNS.c.settled_by.is_(None)
                connection.execute(update(RUNS).where(*mine).values(settled_by=by_run_id))
