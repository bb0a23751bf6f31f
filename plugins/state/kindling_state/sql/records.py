"""Small values of features, changed by compare-and-set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, delete, select, update

from kindling_core.state import Record, StateConflict, StateError
from kindling_state.sql.part import SqlPart
from kindling_state.sql.tables import RECORDS


class SqlRecords(SqlPart):
    """Implements the part of ``StateStore`` that keeps records."""

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
                # A single statement decides, and the number of its rows says who won.
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
                # The count of an INSERT is not given by every driver; the row is.
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

    def spaces(self) -> list[str]:
        with self.database.reading("listing spaces") as connection:
            query = select(RECORDS.c.space).distinct()
            found = connection.execute(query).scalars().all() if connection is not None else []
        return sorted(found)

    def drop_space(self, space: str) -> int:
        with self.database.writing(f"removing {space}") as connection:
            return int(connection.execute(delete(RECORDS).where(RECORDS.c.space == space)).rowcount)

    def _conflict(self, connection: Connection, space: str, key: str, expected: int) -> StateConflict:
        query = select(RECORDS.c.version).where(RECORDS.c.space == space, RECORDS.c.key == key)
        now = connection.execute(query).scalar()
        return StateConflict(
            f"{space} {key!r} is at version {now or 'none'} and not at {expected or 'none'}: somebody else has changed "
            f"it. Read it again."
        )
