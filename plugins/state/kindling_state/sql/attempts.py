"""The attempts at pipes and the ends of runs, as history has them."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.engine import Row

from kindling_core.state import AttemptRecord, RunEnd
from kindling_state.sql.part import SqlPart, kept
from kindling_state.sql.runs import BY_PLACE, END
from kindling_state.sql.tables import ATTEMPTS, RUNS


class SqlAttempts(SqlPart):
    """Implements the part of ``StateStore`` that keeps history."""

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
                connection.execute(
                    made, [{name: kept(getattr(attempt, name)) for name in names} for attempt in attempts]
                )
            for end in ends:
                values = {name: kept(getattr(end, name)) for name in END if name != "run_id"}
                connection.execute(update(RUNS).where(RUNS.c.run_id == end.run_id).values(**values))

    def attempts(self, run_id: str) -> list[AttemptRecord]:
        query = select(ATTEMPTS).where(ATTEMPTS.c.run_id == run_id).order_by(ATTEMPTS.c.id)
        with self.database.reading(f"reading the attempts of run {run_id}") as connection:
            rows = connection.execute(query).all() if connection is not None else []
        return [_attempt(row) for row in rows]

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
        newest = select(RUNS.c.run_id).where(RUNS.c.job == job).order_by(*BY_PLACE).limit(of_runs).subquery()
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


def _attempt(row: Row[Any]) -> AttemptRecord:
    values = {name: getattr(row, name) for name in AttemptRecord.__dataclass_fields__}
    ranges = {entity_id: (start, version) for entity_id, (start, version) in values.pop("ranges_read").items()}
    return AttemptRecord(**values, ranges_read=ranges)
