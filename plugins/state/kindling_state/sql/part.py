"""What the parts of the SQL store share: the database, the clock, and how values are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql, sqlite

from kindling_state.sql.database import Database

# SQLite takes 32,766 variables in a statement, and a plan of fewer is quicker made.
_CHUNK = 500


class Refused(Exception):
    """Ends a transaction that is not to be kept."""


class SqlPart:
    """A part of the store.

    Args:
        clock: seconds since the epoch, for the ends of leases; None: see ``SqlStateStore``.
    """

    def __init__(self, database: Database, clock: Callable[[], float] | None = None) -> None:
        self.database = database
        self._clock = clock

    def _insert(self, table: Any) -> Any:
        kind = postgresql if self.database.backend == "postgresql" else sqlite
        return kind.insert(table)

    def _now(self, connection: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        if connection.dialect.name == "postgresql":
            return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
        return time.time()


def chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut names into parts that a statement takes."""
    for start in range(0, len(names), _CHUNK):
        yield names[start : start + _CHUNK]


def plain(value: Any) -> Any:
    """Return a value as a column of JSON takes it."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, (list, tuple)) else value


def kept(value: Any) -> Any:
    """As ``plain``; of a text that a database refuses, what it takes: an odd file name must not lose a history."""
    if isinstance(value, str) and not (value.isascii() and "\0" not in value):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "backslashreplace").decode()
    return plain(value)
