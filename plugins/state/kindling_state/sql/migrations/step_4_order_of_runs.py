"""Step 4: runs have the order in which they were written down, what they depend on, and which run settled them."""

from __future__ import annotations

from sqlalchemy import Connection, text

from kindling_state.sql.migrations.columns import add_columns

_COLUMNS = {
    "depends_on": "JSON NOT NULL DEFAULT '{}'",
    "place": "BIGINT NOT NULL DEFAULT 0",
    "settled_by": "VARCHAR(64)",
}
_NUMBER_BY_ID = "(SELECT count(*) FROM kindling_runs AS other WHERE other.run_id <= kindling_runs.run_id)"


def upgrade(connection: Connection) -> None:
    """Add the columns, number the runs that are there, and order them by that number."""
    add_columns(connection, "kindling_runs", _COLUMNS)
    # SQLite numbers the rows of a table as they come; elsewhere the ids tell, as they did before.
    number = "rowid" if connection.dialect.name == "sqlite" else _NUMBER_BY_ID
    connection.execute(text(f"UPDATE kindling_runs SET place = {number} WHERE place = 0"))
    connection.execute(text("DROP INDEX IF EXISTS kindling_runs_by_job"))
    for name, columns in (("kindling_runs_by_place", "place"), ("kindling_runs_by_job_and_place", "job, place")):
        connection.execute(text(f"CREATE INDEX IF NOT EXISTS {name} ON kindling_runs ({columns})"))
