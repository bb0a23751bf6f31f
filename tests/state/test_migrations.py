"""A database is brought up to date once, by one process, and keeps what is in it."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import create_engine, text

from kindling_core.state import StateError, Success
from kindling_state.migrations import STEPS, migrate, version_of
from kindling_state.store import SqlStateStore


def engine_of(url: str):  # type: ignore[no-untyped-def]
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def test_an_older_database_is_upgraded_and_keeps_its_rows(url: str) -> None:
    SqlStateStore(url).database.make_folder()
    engine = engine_of(url)
    with engine.begin() as connection:
        migrate(connection, STEPS[:1])
        assert version_of(connection) == 1
        # As the first version made it.
        connection.execute(text("ALTER TABLE kindling_marks DROP COLUMN version_written"))
        connection.execute(text("INSERT INTO kindling_marks VALUES ('root', 'pipe', 'run')"))
    engine.dispose()
    store = SqlStateStore(url)
    assert store.succeeded("root") == {"pipe": Success("run")}
    store.mark_succeeded("root", "other", "run", 7)
    assert store.succeeded("root")["other"].version_written == 7
    store.put("w", "k", {})
    with engine.begin() as connection:
        assert version_of(connection) == len(STEPS)
    engine.dispose()
    store.close()


# As version 3 made it, but for columns that say nothing here.
OLD_RUNS = """
CREATE TABLE kindling_runs (
    run_id VARCHAR(64) NOT NULL PRIMARY KEY, root_run_id VARCHAR(64) NOT NULL, job TEXT NOT NULL,
    mode VARCHAR(16) NOT NULL, started_at VARCHAR(40) NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
    resumes VARCHAR(64), selection JSON NOT NULL, pipe_ids JSON NOT NULL, overrides JSON NOT NULL,
    fingerprints JSON NOT NULL, pinned_versions JSON NOT NULL, job_hash VARCHAR(64), status VARCHAR(16),
    ended_at VARCHAR(40), duration_seconds FLOAT, success_count INTEGER, failed_count INTEGER, skipped_count INTEGER,
    error TEXT, error_type TEXT
)
"""


def test_runs_that_an_older_version_kept_have_an_order_and_are_offered(url: str) -> None:
    SqlStateStore(url).database.make_folder()
    engine = engine_of(url)
    with engine.begin() as connection:
        migrate(connection, STEPS[:3])
        connection.execute(text("DROP TABLE kindling_runs"))
        connection.execute(text(OLD_RUNS))
        connection.execute(text("CREATE INDEX kindling_runs_by_job ON kindling_runs (job, run_id)"))
        for number, status in ((1, "'succeeded'"), (2, "'failed'"), (3, "NULL")):
            connection.execute(
                text(
                    "INSERT INTO kindling_runs (run_id, root_run_id, job, mode, started_at, host, pid, selection, "
                    "pipe_ids, overrides, fingerprints, pinned_versions, status, ended_at, duration_seconds, "
                    f"success_count, failed_count, skipped_count) VALUES ('r{number}', 'r{number}', 'job', 'batch', "
                    f"'2026', 'h', 1, '[]', '[\"a\"]', '[]', '{{}}', '{{}}', {status}, '2026', 1.0, 1, 0, 0)"
                )
            )
    engine.dispose()
    store = SqlStateStore(url)
    assert [one.start.run_id for one in store.runs("job")] == ["r3", "r2", "r1"]
    assert [one.run_id for one in store.unfinished("job")] == ["r3", "r2"]
    store.settle(["r2"], "r3")
    assert [one.run_id for one in store.unfinished("job")] == ["r3"]
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
