"""Runs: how each began, how it ended, and who asked it to end."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, cast, collate, func, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from kindling_core.state import CancelRequest, RunEnd, RunRecord, RunStart, StateError
from kindling_state.sql.part import SqlPart, plain
from kindling_state.sql.tables import RUNS

BY_PLACE = (RUNS.c.place.desc(), RUNS.c.run_id.desc())
START = [column.name for column in RUNS.columns if column.name in RunStart.__dataclass_fields__]
END = [column.name for column in RUNS.columns if column.name in RunEnd.__dataclass_fields__]
_LAST = "\U0010ffff"


class SqlRuns(SqlPart):
    """Implements the part of ``StateStore`` that keeps runs."""

    def begin_run(self, start: RunStart) -> None:
        values = {name: plain(getattr(start, name)) for name in START}
        try:
            with self.database.writing(f"writing down run {start.run_id}") as connection:
                place = select(func.coalesce(func.max(RUNS.c.place), 0) + 1).scalar_subquery()
                connection.execute(RUNS.insert().values(**values, place=place))
        except StateError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise StateError(f"Run {start.run_id} is written down already; an id is used once.") from error
            raise

    def run(self, run_id: str) -> RunRecord | None:
        with self.database.reading(f"reading run {run_id}") as connection:
            row = connection.execute(select(RUNS).where(RUNS.c.run_id == run_id)).first() if connection else None
        return None if row is None else run_of(row)

    def runs(
        self,
        job: str | None = None,
        limit: int | None = 50,
        *,
        status: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        pipe_id: str | None = None,
        prefix: str = "",
        after: str | None = None,
    ) -> list[RunRecord]:
        with self.database.reading("reading runs") as connection:
            if connection is None:
                return []
            query = select(RUNS).order_by(*BY_PLACE).limit(limit)
            if job is not None:
                query = query.where(RUNS.c.job == job)
            if status:
                query = query.where(_has_status(status))
            if since is not None:
                query = query.where(self._bytewise(RUNS.c.started_at) >= _moment(since))
            if until is not None:
                query = query.where(self._bytewise(RUNS.c.started_at) < _moment(until))
            if prefix:
                run_id = self._bytewise(RUNS.c.run_id)
                query = query.where(run_id >= prefix, run_id < prefix + _LAST)
            if pipe_id is not None:
                # An array of texts, written as JSON: the quotes are those of a whole element.
                find = func.strpos if self.database.backend == "postgresql" else func.instr
                query = query.where(find(cast(RUNS.c.pipe_ids, Text), json.dumps(pipe_id)) > 0)
            if after is not None:
                query = _after(connection, query, after)
            rows = connection.execute(query).all()
        return [run_of(row) for row in rows]

    def _bytewise(self, column: ColumnElement[str]) -> ColumnElement[str]:
        """Compare as SQLite does, and not as a dictionary sorts, which passes over punctuation."""
        return collate(column, "C") if self.database.backend == "postgresql" else column

    def request_cancel(self, run_id: str, by: str) -> bool:
        still_open = RUNS.c.run_id == run_id, RUNS.c.status.is_(None)
        with self.database.writing(f"asking run {run_id} to cancel") as connection:
            now = datetime.fromtimestamp(self._now(connection), timezone.utc).isoformat()
            asked = update(RUNS).where(*still_open, RUNS.c.cancel_by.is_(None)).values(cancel_by=by, cancel_at=now)
            connection.execute(asked)
            return connection.execute(select(RUNS.c.run_id).where(*still_open)).first() is not None

    def cancel_request(self, run_id: str) -> CancelRequest | None:
        query = select(RUNS.c.cancel_by, RUNS.c.cancel_at).where(RUNS.c.run_id == run_id)
        with self.database.reading(f"looking whether run {run_id} is to be cancelled") as connection:
            row = connection.execute(query).first() if connection is not None else None
        return None if row is None or row.cancel_by is None else CancelRequest(row.cancel_by, row.cancel_at)


def _has_status(status: Collection[str]) -> ColumnElement[bool]:
    ended = RUNS.c.status.in_([wanted for wanted in status if wanted != "running"])
    return or_(ended, RUNS.c.status.is_(None)) if "running" in status else ended


def _moment(moment: datetime) -> str:
    """As ``started_at`` is written: UTC, so that texts compare as moments do."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).isoformat()


def _after(connection: Connection, query: Select[Any], run_id: str) -> Select[Any]:
    place = connection.execute(select(RUNS.c.place).where(RUNS.c.run_id == run_id)).scalar()
    if place is None:
        raise StateError(f"There is no run {run_id!r} to go on after; it may have been forgotten. Begin anew.")
    return query.where(or_(RUNS.c.place < place, and_(RUNS.c.place == place, RUNS.c.run_id < run_id)))


def run_of(row: Row[Any]) -> RunRecord:
    """Return the record of a row."""
    start = RunStart(**{name: getattr(row, name) for name in START})
    end = None if row.status is None else RunEnd(**{name: getattr(row, name) for name in END})
    cancel = None if row.cancel_by is None else CancelRequest(row.cancel_by, row.cancel_at)
    return RunRecord(start, end, row.settled_by, cancel)
