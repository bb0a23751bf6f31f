"""What goes wrong with the state while a job runs: what is told, what is kept, and that nobody waits for ever."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kindling_core import Pipes, RunFailed
from kindling_core.errors import ConfigError
from kindling_core.state import AttemptRecord, StateError, StateStore
from kindling_core.state.resume import resume_run
from kindling_state.sql_store import SqlStateStore
from tests.state.test_runs import KINDLING, PATIENCE_SECONDS, Shop, job_of, steps


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# The file goes


@pytest.mark.parametrize("what", ["removed", "replaced"])
def test_a_state_that_is_removed_while_a_run_uses_it_fails_the_run(tmp_path: Path, what: str) -> None:
    file, pipes = tmp_path / "lake.state.db", Pipes()

    @pipes.pipe("a")
    def a() -> None:
        for one in tmp_path.glob("lake.state.db*"):
            one.unlink()
        if what == "replaced":
            SqlStateStore(f"sqlite:///{file}").put("somebody", "else", {})

    with job_of(tmp_path, pipes) as app, pytest.raises(RunFailed, match="was removed or replaced while it was in use"):
        app.run()


# It does not answer


def test_a_cancelled_run_does_not_wait_for_a_state_that_does_not_answer(tmp_path: Path) -> None:
    file, locked, pipes = tmp_path / "lake.state.db", threading.Event(), Pipes()
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:

        @pipes.pipe("a")
        def a() -> None:
            other.execute("BEGIN IMMEDIATE")
            locked.set()
            app.cancel()

        pipes.pipe("b")(lambda: None)
        with job_of(tmp_path, pipes) as app:
            begun = time.monotonic()
            with pytest.raises(RunFailed) as caught:
                app.run()
            # SQLite by itself waits 30 s for a lock, and there are three things to write.
            assert time.monotonic() - begun < 15
            assert caught.value.report.status == "cancelled"
            app.close()
            assert time.monotonic() - begun < 15
            other.execute("ROLLBACK")


# History


def test_history_is_written_while_a_long_pipe_runs_and_of_a_killed_run_says_what_is_known(shop: Shop) -> None:
    process = shop.hanging()
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            (run,) = shop.data("runs")
            told = {one["pipe_id"]: one for one in shop.data("runs", "show", run["run_id"])["attempts"]}
            if "t.clean" in told or time.monotonic() > deadline:
                break
        assert (told["t.orders"]["status"], told["t.orders"]["rows"]) == ("succeeded", 3)
        assert told["t.clean"]["status"] == "running"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE_SECONDS)
    shown = shop.data("runs", "show", run["run_id"])
    assert shown["status"] == "died"
    assert {one["pipe_id"]: one["status"] for one in shown["attempts"]} == {"t.orders": "succeeded", "t.clean": "died"}


def test_each_attempt_has_its_own_start_and_its_own_seconds(tmp_path: Path) -> None:
    pipes, failures = Pipes(), [ConnectionError("one"), ConnectionError("two")]

    @pipes.pipe("a", retry={"attempts": 3, "delay_seconds": 0.4, "backoff_multiplier": 1, "jitter": 0})
    def a() -> None:
        if failures:
            raise failures.pop()

    with job_of(tmp_path, pipes) as app:
        report = app.run()
        attempts = app.service(StateStore).attempts(report.run_id)
    assert [one.attempt for one in attempts] == [1, 2, 3]
    assert all(one.duration_seconds < 0.3 for one in attempts), "a delay is no work"
    assert report.pipe("a").duration_seconds > 0.8
    starts = [one.started_at for one in attempts]
    assert starts == sorted(starts)
    assert len(set(starts)) == 3


def test_what_could_not_be_written_is_written_with_what_comes_next(
    tmp_path: Path, caplog: Any, monkeypatch: Any
) -> None:
    with job_of(tmp_path, steps(set(), [])) as app:
        app.start()
        store = app.service(StateStore)
        record = store.record

        def locked(attempts: Any, ends: Any = ()) -> None:
            if attempts:
                raise StateError("The attempts are locked.")
            record(attempts, ends)

        monkeypatch.setattr(store, "record", locked)
        first = app.run()
        kept = store.run(first.run_id)
        assert kept is not None
        assert kept.status == "succeeded", "how it ended is known all the same"
        assert store.attempts(first.run_id) == []
        monkeypatch.setattr(store, "record", record)
        app.run(["a"])
        assert {one.pipe_id for one in store.attempts(first.run_id)} == {"a", "b", "c"}
    assert caplog.text.count("The history of this run is incomplete") == 1


def test_a_record_that_cannot_be_written_keeps_no_other_from_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with job_of(tmp_path, steps(set(), [])) as app:
        app.start()
        store = app.service(StateStore)
        history = app.host.manager.get_plugin("state")._history
        odd = AttemptRecord("odd", "odd", 1, "succeeded", rows=2**70)
        history._add(odd)
        report = app.run()
        assert {one.pipe_id for one in store.attempts(report.run_id)} == {"a", "b", "c"}
        later = app.run(["a"])
        assert [one.pipe_id for one in store.attempts(later.run_id)] == ["a"]
    assert "The attempt 1 at pipe 'odd' is not in history" in caplog.text


def test_durations_of_pipes_that_the_newest_runs_left_out_are_known(tmp_path: Path) -> None:
    with job_of(tmp_path, steps(set(), [])) as app:
        app.run()
        for _ in range(25):
            app.run(["a"])
        assert set(app.expected_seconds(["a", "b", "c"])) == {"a", "b", "c"}


# Resuming


def test_a_resumed_run_reads_what_its_run_had_written_and_not_what_came_since(shop: Shop) -> None:
    shop.call("run", what="kill", status=-signal.SIGKILL)
    # Somebody appends to the table that the killed run had written, and another pipe of it has still to read.
    import pyarrow as pa
    from deltalake import write_deltalake

    write_deltalake(str(shop.folder / "lake" / "t" / "orders"), pa.table({"n": [99]}), mode="append")
    shop.call("resume")
    assert shop.rows("clean") == [1, 2, 3]
    shown = shop.data("runs", "show", shop.data("runs")[0]["run_id"])
    told = {one["pipe_id"]: one for one in shown["attempts"]}
    assert told["t.clean"]["versions_read"] == {"t.orders": 0}
    assert shown["pinned_versions"] == {"t.in": 0, "t.orders": 0}


def test_what_another_resume_finished_while_this_one_waited_does_not_run_again(tmp_path: Path) -> None:
    broken, ran = {"b"}, []
    inside, go_on = threading.Event(), threading.Event()
    pipes = Pipes()
    pipes.pipe("a")(lambda: ran.append("a"))

    @pipes.pipe("b")
    def b() -> None:
        ran.append("b")
        if "b" in broken:
            raise RuntimeError("broken")
        inside.set()
        go_on.wait(PATIENCE_SECONDS)

    with job_of(tmp_path, pipes) as one, job_of(tmp_path, pipes, poll_seconds=0.05) as other:
        with pytest.raises(RunFailed):
            one.run()
        broken.clear()
        ran.clear()
        reports: list[Any] = []
        first = threading.Thread(target=lambda: reports.append(resume_run(one)))
        first.start()
        assert inside.wait(PATIENCE_SECONDS)
        start = one.service(StateStore).runs("job")[-1].start
        second = threading.Thread(target=lambda: reports.append(other.run(wait=True, resume=start)))
        second.start()
        threading.Event().wait(0.3)
        go_on.set()
        for thread in (first, second):
            thread.join(PATIENCE_SECONDS)
    assert ran == ["b"], "what had been finished meanwhile is skipped"
    assert [report.status for report in reports] == ["succeeded"] * 2


def test_a_run_that_another_has_finished_says_which(tmp_path: Path) -> None:
    broken = {"b"}
    with job_of(tmp_path, steps(broken, [])) as app:
        with pytest.raises(RunFailed) as caught:
            app.run()
        broken.clear()
        resumed = resume_run(app)
        with pytest.raises(Exception, match=f"has succeeded, resumed by {resumed.run_id}"):
            resume_run(app, caught.value.report.run_id)


# Settings


@pytest.mark.parametrize("url", ["foo", "mysql://a/b", "postgresql://me:p@ss@h/x"])
def test_a_url_that_cannot_be_right_is_refused_with_its_place_by_plan_and_run(shop: Shop, url: str) -> None:
    file = shop.folder / "kindling.toml"
    file.write_text(f'{file.read_text()}\n[state]\nurl = "{url}"\n')
    for command in ("plan", "run", "runs"):
        told = shop.call(command, status=2)
        assert "kindling.toml:11: state.url" in told
        assert "p@ss" not in told
        assert "Traceback" not in told


@pytest.mark.parametrize("value", ["inf", "1e12", "0", "nan"])
def test_a_lease_that_never_ends_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="lease_seconds"):
        job_of(tmp_path, Pipes(), lease_seconds=float(value))


def test_doctor_sees_a_place_that_cannot_be_written(shop: Shop) -> None:
    script = 'set -e; mkdir s; mount -t tmpfs none s; mount -o remount,ro s; echo mounted; "$0" doctor'
    (shop.folder / "kindling.toml").open("a").write('\n[state]\nurl = "sqlite:///s/state.db"\n')
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, KINDLING], cwd=shop.folder, capture_output=True, text=True, check=False
    )
    if "mounted" not in done.stdout:
        pytest.skip(f"mounts are not allowed here: {done.stderr.strip()[:200]}")
    assert "cannot be written" in done.stdout
    assert done.returncode != 0


def test_a_state_on_a_medium_that_cannot_be_written_is_read(shop: Shop) -> None:
    mount = "set -e; mkdir s; mount -t tmpfs none s"
    script = f'{mount}; echo mounted; "$0" run >/dev/null 2>&1; mount -o remount,ro s; "$0" runs'
    (shop.folder / "kindling.toml").open("a").write('\n[state]\nurl = "sqlite:///s/state.db"\n')
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, KINDLING], cwd=shop.folder, capture_output=True, text=True, check=False
    )
    if "mounted" not in done.stdout:
        pytest.skip(f"mounts are not allowed here: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    assert "\tsucceeded\t" in done.stdout
