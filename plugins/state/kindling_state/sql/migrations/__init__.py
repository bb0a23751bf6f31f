"""Brings a database to the tables that this version knows, step by step.

A step is frozen: it says by itself what it makes, and never looks at ``tables.py``, which is what all of them make
together. What comes later is a new step, in a module of its own and at the end of ``STEPS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, inspect, select, text

from kindling_core.state import StateError
from kindling_state.sql.migrations import (
    step_1_runs,
    step_2_leases_and_records,
    step_3_versions_of_marks,
    step_4_order_of_runs,
    step_5_details_of_history,
    step_6_options_of_runs,
)
from kindling_state.sql.tables import METADATA, SCHEMA

# Any number that nothing else in the database locks.
_LOCK = 7_241_993

STEPS: Sequence[Callable[[Connection], None]] = (
    step_1_runs.upgrade,
    step_2_leases_and_records.upgrade,
    step_3_versions_of_marks.upgrade,
    step_4_order_of_runs.upgrade,
    step_5_details_of_history.upgrade,
    step_6_options_of_runs.upgrade,
)


def migrate(connection: Connection, steps: Sequence[Callable[[Connection], None]] = STEPS) -> None:
    """Do the steps that a database lacks, in the transaction of the connection; a single process at a time.

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
