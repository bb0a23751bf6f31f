"""``SqlStateStore``: the state store on SQLite or PostgreSQL, through SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Callable

from kindling_state.sql.attempts import SqlAttempts
from kindling_state.sql.database import Database
from kindling_state.sql.forgetting import SqlForgetting
from kindling_state.sql.records import SqlRecords
from kindling_state.sql.runs import SqlRuns


class SqlStateStore(SqlRecords, SqlRuns, SqlAttempts, SqlForgetting):
    """Implements ``StateStore``. Opens the database on first use, and makes it on the first write.

    Args:
        url: ``sqlite:///file`` or ``postgresql://user:password@host/database``.
        clock: seconds since the epoch, for the ends of leases. Default: that of the PostgreSQL server, so that machines
            agree; with SQLite, that of this machine.
    """

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        super().__init__(Database(url), clock)

    @property
    def place(self) -> str:
        """Where the state is kept, without the password."""
        return self.database.place

    def close(self) -> None:
        """Release the connections; the store opens them again if it is used again."""
        self.database.close()
