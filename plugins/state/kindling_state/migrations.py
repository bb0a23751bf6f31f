"""Brings a database to the tables that this version knows, step by step.

A step is never changed once it was released; what comes later is a new step at the end of ``STEPS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, inspect, select, text

from kindling_core.state import StateError
from kindling_state.tables import ATTEMPTS, LEASES, MARKS, METADATA, RECORDS, RUNS, SCHEMA

# Any number that nothing else in the database locks.
_LOCK = 7_241_993


def _runs(connection: Connection) -> None:
    METADATA.create_all(connection, tables=[RUNS, ATTEMPTS, MARKS])


def _leases_and_records(connection: Connection) -> None:
    METADATA.create_all(connection, tables=[LEASES, RECORDS])


def _versions_of_marks(connection: Connection) -> None:
    column = MARKS.c.version_written
    # A database that was made with this version has it already.
    if column.name not in {known["name"] for known in inspect(connection).get_columns(MARKS.name)}:
        kind = column.type.compile(connection.dialect)
        connection.execute(text(f"ALTER TABLE {MARKS.name} ADD COLUMN {column.name} {kind}"))


def _order_of_runs(connection: Connection) -> None:
    known = {column["name"] for column in inspect(connection).get_columns(RUNS.name)}
    for column in (RUNS.c.depends_on, RUNS.c.place, RUNS.c.settled_by):
        if column.name not in known:
            kind = column.type.compile(connection.dialect)
            default = {"depends_on": " NOT NULL DEFAULT '{}'", "place": " NOT NULL DEFAULT 0"}.get(column.name, "")
            connection.execute(text(f"ALTER TABLE {RUNS.name} ADD COLUMN {column.name} {kind}{default}"))
    # SQLite numbers the rows of a table as they come; elsewhere the ids tell, as they did before.
    number = "rowid" if connection.dialect.name == "sqlite" else _NUMBER_BY_ID
    connection.execute(text(f"UPDATE {RUNS.name} SET place = {number} WHERE place = 0"))
    connection.execute(text("DROP INDEX IF EXISTS kindling_runs_by_job"))
    for name, columns in (("kindling_runs_by_place", "place"), ("kindling_runs_by_job_and_place", "job, place")):
        connection.execute(text(f"CREATE INDEX IF NOT EXISTS {name} ON {RUNS.name} ({columns})"))


_NUMBER_BY_ID = f"(SELECT count(*) FROM {RUNS.name} AS other WHERE other.run_id <= {RUNS.name}.run_id)"

STEPS: Sequence[Callable[[Connection], None]] = (_runs, _leases_and_records, _versions_of_marks, _order_of_runs)


def migrate(connection: Connection, steps: Sequence[Callable[[Connection], None]] = STEPS) -> None:
    """Do the steps that a database lacks, in the transaction of the connection; one process at a time.

    Raises:
        StateError: the database is newer than this program.
    """
    if connection.dialect.name == "postgresql":
        # SQLite's transaction holds the whole file already.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    version = known_version(connection, len(steps))
    if version == len(steps):
        return
    for step in steps[version:]:
        step(connection)
    METADATA.create_all(connection, tables=[SCHEMA])
    connection.execute(SCHEMA.delete())
    connection.execute(SCHEMA.insert().values(version=len(steps)))


def known_version(connection: Connection, known: int = len(STEPS)) -> int:
    """Return how many steps a database has behind it; reads only.

    Raises:
        StateError: more than this program knows.
    """
    version = version_of(connection)
    if version > known:
        raise StateError(
            f"The state was written by a newer kindling-state (its tables have version {version}, this one knows "
            f"{known}). Update it: pip install --upgrade kindling-state."
        )
    return version


def version_of(connection: Connection) -> int:
    """Return how many steps a database has behind it."""
    if not inspect(connection).has_table(SCHEMA.name):
        return 0
    return int(connection.execute(select(SCHEMA.c.version)).scalar_one())
