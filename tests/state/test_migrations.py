"""A database is brought up to date once, by one process, and keeps what is in it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from kindling_core.state import AttemptRecord, Record, StateError, Success
from kindling_state.sql import migrations
from kindling_state.sql.migrations import STEPS, migrate, version_of
from kindling_state.sql.tables import METADATA
from kindling_state.sql_store import SqlStateStore


def engine_of(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def columns_of(engine: Engine) -> dict[str, object]:
    """Everything that a database says of its tables, in no order."""
    found: dict[str, object] = {}
    inspector = inspect(engine)
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            kind = str(column["type"]), column["nullable"], column["default"]
            found[f"{table}.{column['name']}"] = kind
        found[f"{table} key"] = inspector.get_pk_constraint(table)["constrained_columns"]
        found[f"{table} unique"] = sorted(tuple(one["column_names"]) for one in inspector.get_unique_constraints(table))
        indexes = [one for one in inspector.get_indexes(table) if not one.get("duplicates_constraint")]
        found[f"{table} indexes"] = sorted((str(one["name"]), tuple(one["column_names"])) for one in indexes)
    return found


def test_a_new_database_that_went_through_all_steps_is_what_the_tables_say(url: str, tmp_path: Path) -> None:
    SqlStateStore(url).database.make_folder()
    engine = engine_of(url)
    with engine.begin() as connection:
        migrate(connection)
    migrated = columns_of(engine)
    with engine.begin() as connection:
        for name in inspect(connection).get_table_names():
            connection.execute(text(f"DROP TABLE {name}"))
        METADATA.create_all(connection)
    assert columns_of(engine) == migrated
    engine.dispose()


def test_a_step_looks_at_no_table_of_today() -> None:
    folder = Path(migrations.__file__).parent
    steps = sorted(folder.glob("step_*.py"))
    assert len(steps) == len(STEPS)
    assert [step.name for step in steps if "kindling_state.sql.tables" in step.read_text()] == []


RUN = """
INSERT INTO kindling_runs (run_id, root_run_id, job, mode, started_at, host, pid, selection, pipe_ids, overrides,
    fingerprints, pinned_versions, status, ended_at, duration_seconds, success_count, failed_count, skipped_count)
VALUES ('{id}', '{id}', 'job', 'batch', '2026', 'h', 1, '[]', '["a"]', '[]', '{{}}', '{{}}', {status}, '2026', 1.0, 1,
    0, 0)
"""
ATTEMPT = """
INSERT INTO kindling_attempts (run_id, pipe_id, attempt, status, versions_read, rows)
VALUES ('r1', 'a', 1, 'succeeded', '{"t.in": 3}', 7)
"""


@pytest.mark.parametrize("steps", range(1, len(STEPS) + 1))
def test_a_database_of_each_older_version_is_upgraded_and_keeps_its_rows(url: str, steps: int) -> None:
    SqlStateStore(url).database.make_folder()
    engine = engine_of(url)
    with engine.begin() as connection:
        migrate(connection, STEPS[:steps])
        assert version_of(connection) == steps
        for number, status in ((1, "'succeeded'"), (2, "'failed'"), (3, "NULL")):
            connection.exec_driver_sql(RUN.format(id=f"r{number}", status=status))
        connection.exec_driver_sql(ATTEMPT)
        connection.exec_driver_sql("INSERT INTO kindling_marks (root_run_id, pipe_id, run_id) VALUES ('r1', 'a', 'r1')")
        if steps >= 2:
            connection.exec_driver_sql(
                "INSERT INTO kindling_leases (name, owner_id, host, pid, started, told, expires) "
                "VALUES ('job:job', 'r3', 'elsewhere', 1, '1', 'run r3', 99999999999)"
            )
            connection.exec_driver_sql(
                "INSERT INTO kindling_records (space, key, value, version) VALUES ('w', 'k', '{\"n\": 1}', 4)"
            )
        if steps >= 4:
            connection.exec_driver_sql("UPDATE kindling_runs SET place = CAST(substr(run_id, 2) AS INTEGER)")
    engine.dispose()
    store = SqlStateStore(url)
    assert [one.start.run_id for one in store.runs("job")] == ["r3", "r2", "r1"]
    assert [one.run_id for one in store.unfinished("job")] == ["r3", "r2"]
    assert store.attempts("r1") == [AttemptRecord("r1", "a", 1, "succeeded", rows=7, versions_read={"t.in": 3})]
    assert store.succeeded("r1") == {"a": Success("r1")}
    store.mark_succeeded("r1", "other", "r1", 7)
    assert store.succeeded("r1")["other"].version_written == 7
    if steps >= 2:
        assert store.get("w", "k") == Record("k", {"n": 1}, 4)
        assert [lease.owner.owner_id for lease in store.holders(["job:job"])] == ["r3"]
    store.settle(["r2"], "r3")
    assert [one.run_id for one in store.unfinished("job")] == ["r3"]
    with engine.begin() as connection:
        assert version_of(connection) == len(STEPS)
    engine.dispose()
    store.close()


def test_a_newer_database_is_refused(url: str) -> None:
    store = SqlStateStore(url)
    store.put("w", "k", {})
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE kindling_schema SET version = 99"))
    engine.dispose()
    for use in (lambda other: other.put("w", "k", {}), lambda other: other.get("w", "k")):
        with pytest.raises(StateError, match="pip install --upgrade kindling-state"):
            use(SqlStateStore(url))
    store.close()


def test_a_step_that_fails_leaves_the_database_as_it_was(url: str) -> None:
    def broken(connection):  # type: ignore[no-untyped-def]
        connection.execute(text("CREATE TABLE half (x integer)"))
        raise RuntimeError("broken")

    store = SqlStateStore(url)
    store.put("w", "k", {"n": 1})
    with pytest.raises(RuntimeError), store.database.open().begin() as connection:
        migrate(connection, [*STEPS, broken])
    with store.database.open().connect() as connection:
        assert version_of(connection) == len(STEPS)
        assert "half" not in str(connection.execute(text("SELECT * FROM kindling_schema")).all())
    record = store.get("w", "k")
    assert record is not None
    assert record.value == {"n": 1}
    store.close()


def test_many_that_begin_at_once_upgrade_once(url: str) -> None:
    meet, errors = threading.Barrier(6), []

    def begin() -> None:
        store = SqlStateStore(url)
        meet.wait(30)
        try:
            store.put("w", threading.current_thread().name, {})
        except StateError as error:
            errors.append(error)
        store.close()

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(SqlStateStore(url).scan("w")) == 6
