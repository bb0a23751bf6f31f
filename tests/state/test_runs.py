"""Runs that are remembered, resumed and kept apart: real processes, real tables, real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, Pipes, PlanError, RunFailed
from kindling_core.clock import ManualClock
from kindling_core.state import Owner, StateError, StateStore
from kindling_core.state.resume import resume_run
from kindling_state.errors import LeaseHeld
from kindling_state.run_leases import RunLeases
from kindling_state.sql_store import SqlStateStore

PATIENCE_SECONDS = 60
KINDLING = Path(sys.executable).with_name("kindling")


def job_of(folder: Path, pipes: Pipes, **state: Any) -> App:
    app = App(["state"], {"state": state} if state else {}, name="job", base_dir=folder, environ={})
    app.mount(pipes)
    return app


def steps(broken: set[str], ran: list[str]) -> Pipes:
    pipes = Pipes()
    for name in ("a", "b", "c"):

        def step(name: str = name) -> None:
            ran.append(name)
            if name in broken:
                raise RuntimeError(f"{name} is broken")

        pipes.pipe(name)(step)
    return pipes


# Resume


def test_a_resumed_run_runs_what_has_not_succeeded(tmp_path: Path) -> None:
    broken, ran = {"b"}, []
    with job_of(tmp_path, steps(broken, ran)) as app:
        with pytest.raises(RunFailed) as caught:
            app.run(["a", "b"])
        first = caught.value.report.run_id
        broken.clear()
        ran.clear()
        report = resume_run(app)
        assert ran == ["b"]
        assert (report.pipe("a").status, report.pipe("a").reason) == ("skipped", f"succeeded in run {first}")
        assert [one.pipe_id for one in report.pipes] == ["a", "b"], "the same selection"
        record = app.service(StateStore).run(report.run_id)
        assert record is not None
        assert (record.start.resumes, record.start.root_run_id) == (first, first)
        with pytest.raises(PlanError, match="nothing is left to resume"):
            resume_run(app)
        with pytest.raises(PlanError, match="nothing is left to resume"):
            resume_run(app, first)


def test_a_run_can_be_resumed_again_and_again(tmp_path: Path) -> None:
    broken, ran = {"a", "b", "c"}, []
    with job_of(tmp_path, steps(broken, ran)) as app:
        with pytest.raises(RunFailed):
            app.run()
        for fixed in ("a", "b"):
            broken.remove(fixed)
            with pytest.raises(RunFailed):
                resume_run(app)
        broken.clear()
        ran.clear()
        resume_run(app)
        assert ran == ["c"]


def test_changed_pipes_are_refused_unless_forced(tmp_path: Path) -> None:
    with job_of(tmp_path, steps({"b"}, [])) as app, pytest.raises(RunFailed):
        app.run()
    ran: list[str] = []
    changed = Pipes()
    for name in ("a", "c"):
        changed.pipe(name)(next(pipe.execute for pipe in steps({"b"}, []) if pipe.pipe_id == name))

    @changed.pipe("b")
    def other() -> None:
        ran.append("another b")

    with job_of(tmp_path, changed) as app:
        with pytest.raises(PlanError, match=r"'b' changed since it started\. Resume with --force"):
            resume_run(app)
        assert ran == []
        resume_run(app, force=True)
        assert ran == ["another b"]


def test_a_pipe_that_is_gone_is_refused_even_with_force(tmp_path: Path) -> None:
    with job_of(tmp_path, steps({"b"}, [])) as app, pytest.raises(RunFailed):
        app.run()
    fewer = Pipes()
    fewer.pipe("a")(lambda: None)
    with job_of(tmp_path, fewer) as app, pytest.raises(PlanError, match="no pipe 'b', 'c' any more"):
        resume_run(app, force=True)


def test_a_run_is_found_by_the_beginning_of_its_id_and_unknown_ones_are_said_to_be(tmp_path: Path) -> None:
    with job_of(tmp_path, steps({"b"}, [])) as app:
        with pytest.raises(PlanError, match="No run of the job 'job' is known yet"):
            resume_run(app)
        with pytest.raises(RunFailed) as caught:
            app.run()
        with pytest.raises(PlanError, match="No run 'zzz' is known"):
            resume_run(app, "zzz")
        with pytest.raises(RunFailed):
            resume_run(app, caught.value.report.run_id[:-3])


def test_runs_are_kept_and_resumed_in_any_database(tmp_path: Path, url: str) -> None:
    broken, ran = {"b"}, []
    with job_of(tmp_path, steps(broken, ran), url=url) as app:
        with pytest.raises(RunFailed) as caught:
            app.run()
        broken.clear()
        ran.clear()
        report = resume_run(app)
        assert ran == ["b"]
        store = app.service(StateStore)
        assert [one.status for one in store.runs()] == ["succeeded", "failed"]
        assert store.holders(["job:job"]) == []
        told = {one.pipe_id: one.status for one in store.attempts(caught.value.report.run_id)}
        assert told == {"a": "succeeded", "b": "failed", "c": "succeeded"}
        assert report.pipe("b").status == "succeeded"


# Leases


@pytest.mark.parametrize(
    ("lease", "selection", "refused"),
    [("job", ["c"], True), ("pipe", ["a"], True), ("pipe", ["c"], False), ("none", ["a"], False)],
)
def test_what_another_run_holds_is_refused(tmp_path: Path, lease: str, selection: list[str], refused: bool) -> None:
    inside, go_on = threading.Event(), threading.Event()
    pipes = Pipes()
    pipes.pipe("a")(lambda: inside.set() or (go_on.wait(PATIENCE_SECONDS) and None))
    pipes.pipe("c")(lambda: None)
    go_on_now = go_on.set if lease == "none" else lambda: None
    with job_of(tmp_path, pipes, lease=lease) as one, job_of(tmp_path, pipes, lease=lease) as other:
        thread = threading.Thread(target=lambda: one.run(["a"]))
        thread.start()
        assert inside.wait(PATIENCE_SECONDS)
        go_on_now()
        try:
            if refused:
                with pytest.raises(LeaseHeld, match=r"is held by job job, run .*Wait with --wait"):
                    other.run(selection)
            else:
                assert other.run(selection).status == "succeeded"
        finally:
            go_on.set()
            thread.join(PATIENCE_SECONDS)
        assert other.run(selection).status == "succeeded", "it was given back"
        assert len(other.service(StateStore).runs()) == (2 if refused else 3)


def test_a_run_that_waits_runs_once_the_other_has_ended(tmp_path: Path) -> None:
    inside, go_on, order = threading.Event(), threading.Event(), []
    first, second = Pipes(), Pipes()
    first.pipe("a")(lambda: inside.set() or (go_on.wait(PATIENCE_SECONDS) and order.append("first")))
    second.pipe("a")(lambda: order.append("second"))
    with job_of(tmp_path, first) as one, job_of(tmp_path, second, poll_seconds=0.01) as other:
        threads = [
            threading.Thread(target=one.run),
            threading.Thread(target=lambda: inside.wait(PATIENCE_SECONDS) and other.run(wait=True)),
        ]
        for thread in threads:
            thread.start()
        inside.wait(PATIENCE_SECONDS)
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    assert order == ["first", "second"]


def test_waiting_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()
    pipes = Pipes()
    pipes.pipe("a")(lambda: inside.set() or (go_on.wait(PATIENCE_SECONDS) and None))
    with job_of(tmp_path, pipes) as one, job_of(tmp_path, pipes, poll_seconds=60) as other:
        thread = threading.Thread(target=one.run)
        thread.start()
        assert inside.wait(PATIENCE_SECONDS)
        threading.Timer(0.1, other.cancel).start()
        with pytest.raises(LeaseHeld, match="Cancelled while"):
            other.run(wait=True)
        go_on.set()
        thread.join(PATIENCE_SECONDS)


def test_a_run_whose_lease_was_taken_may_not_go_on_and_says_so(tmp_path: Path) -> None:
    pipes, ran = Pipes(), []

    @pipes.pipe("a")
    def a() -> None:
        # What another process does once this one was stopped for longer than the lease lasts.
        store = app.service(StateStore)
        run_id = store.runs()[0].start.run_id
        store.release(["job:job"], run_id)
        assert store.acquire(["job:job"], Owner("thief", "elsewhere", 1, "1", "a thief"), 600) == []
        next(iter(plugin._leases.values())).renew()

    pipes.pipe("b")(lambda: ran.append("b"))
    with job_of(tmp_path, pipes) as app:
        app.start()
        plugin = app.host.manager.get_plugin("state")
        app.config.section("execution")
        with pytest.raises(RunFailed, match="LeaseLost: The lease of run .* is lost: another run has taken it"):
            app.run(["a"])
        assert [lease.owner.owner_id for lease in app.service(StateStore).holders(["job:job"])] == ["thief"]


def test_a_lease_that_was_not_renewed_in_time_stops_writes(tmp_path: Path) -> None:
    clock = ManualClock()
    store = SqlStateStore(f"sqlite:///{tmp_path / 's.db'}")
    lost: list[bool] = []
    hold = RunLeases(store, Owner("r", "h", 1, "1", "r"), ["job:x"], 30, lambda: lost.append(True), clock=clock)
    assert hold.take() == []
    clock.advance(29)
    hold.check()
    clock.advance(2)
    with pytest.raises(StateError, match="was not renewed in time"):
        hold.check()


# History


def test_history_has_attempts_rows_errors_and_versions(tmp_path: Path) -> None:
    pipes, failures = Pipes(), [ConnectionError("again, please")]

    @pipes.pipe("a", retry={"attempts": 2, "delay_seconds": 0})
    def a() -> None:
        if failures:
            raise failures.pop()

    pipes.pipe("b")(lambda: 1 / 0)
    with job_of(tmp_path, pipes) as app:
        with pytest.raises(RunFailed) as caught:
            app.run()
        store = app.service(StateStore)
        record = store.run(caught.value.report.run_id)
        assert record is not None
        assert record.end is not None
        assert (record.end.status, record.end.success_count, record.end.failed_count) == ("failed", 1, 1)
        assert record.end.error_type == "ZeroDivisionError"
        told = {(one.pipe_id, one.attempt): one for one in store.attempts(record.start.run_id)}
        assert {key: one.status for key, one in told.items()} == {
            ("a", 1): "retried",
            ("a", 2): "succeeded",
            ("b", 1): "failed",
        }
        assert told["a", 1].error == "again, please"
        assert told["b", 1].started_at is not None


def test_history_that_cannot_be_written_warns_once_and_fails_no_run(
    tmp_path: Path, caplog: Any, monkeypatch: Any
) -> None:
    with job_of(tmp_path, steps(set(), [])) as app:
        app.start()

        def full(*_: object) -> None:
            raise StateError("The disk is full.")

        monkeypatch.setattr(app.service(StateStore), "record", full)
        assert app.run().status == "succeeded"
    assert caplog.text.count("The history of this run is incomplete: The disk is full.") == 1


def test_a_success_mark_that_cannot_be_written_fails_the_pipe_and_says_so(tmp_path: Path, monkeypatch: Any) -> None:
    with job_of(tmp_path, steps(set(), [])) as app:
        app.start()

        def full(*_: object) -> None:
            raise StateError("The disk is full.")

        monkeypatch.setattr(app.service(StateStore), "mark_succeeded", full)
        with pytest.raises(RunFailed, match="could not be noted: The disk is full"):
            app.run()


def test_a_state_that_cannot_be_opened_refuses_the_run(tmp_path: Path) -> None:
    (tmp_path / "lake.state.db").mkdir()
    with job_of(tmp_path, steps(set(), [])) as app, pytest.raises(PlanError, match="unable to open database file"):
        app.run()


def test_expected_seconds_come_from_history_without_starting_anything(tmp_path: Path) -> None:
    with job_of(tmp_path, steps(set(), [])) as app:
        app.run()
    app = job_of(tmp_path, steps(set(), []))
    assert set(app.expected_seconds(["a", "b", "zzz"])) == {"a", "b"}


# As processes


JOB = """
[job]
name = "shop"
modules = ["shop"]
features = ["entities", "state"]

[entities]
root = "./lake"
"""

MODULE = """
import os, signal, sys, threading
import pyarrow as pa
from kindling_core import Pipes
from kindling_entities import Entities

entities, pipes = Entities(), Pipes()
entities.entity("t.orders", write_mode="append")
for name in ("in", "clean", "report"):
    entities.entity(f"t.{name}")

@pipes.pipe("t.orders", inputs={"frame": "t.in"}, output="t.orders")
def orders(frame):
    return frame

@pipes.pipe("t.clean", inputs={"frame": "t.orders"}, output="t.clean")
def clean(frame):
    what = os.environ.get("WHAT", "")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        print("hanging", flush=True)
        threading.Event().wait()
    return frame

@pipes.pipe("t.report", inputs={"frame": "t.clean", "again": "t.in"}, output="t.report")
def report(frame, again):
    return frame.unionByName(again)
"""


class Shop:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "kindling.toml").write_text(JOB)
        (folder / "shop.py").write_text(textwrap.dedent(MODULE))
        self.put([1, 2, 3])

    def put(self, rows: list[int]) -> None:
        import pyarrow as pa
        from deltalake import write_deltalake

        write_deltalake(str(self.folder / "lake" / "t" / "in"), pa.table({"n": rows}), mode="append")

    def rows(self, name: str) -> list[int]:
        from deltalake import DeltaTable

        return sorted(DeltaTable(str(self.folder / "lake" / "t" / name)).to_pyarrow_table()["n"].to_pylist())

    def call(self, *arguments: str, status: int = 0, what: str = "") -> str:
        done = subprocess.run(
            [KINDLING, *arguments],
            cwd=self.folder,
            env={**os.environ, "WHAT": what},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS * 2,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def hanging(self) -> subprocess.Popen[str]:
        """Start a run, and come back once its second pipe hangs."""
        process = subprocess.Popen(
            [KINDLING, "run"],
            cwd=self.folder,
            env={**os.environ, "WHAT": "hang", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "hanging" in line:
                return process
        raise AssertionError("the run ended before its second pipe")

    def data(self, *arguments: str) -> Any:
        done = subprocess.run(
            [KINDLING, *arguments, "--json"], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_killed_run_is_resumed_with_what_it_had_fixed_and_nothing_is_doubled(shop: Shop) -> None:
    shop.call("run", what="kill", status=-signal.SIGKILL)
    assert shop.rows("orders") == [1, 2, 3]
    (killed,) = shop.data("runs")
    assert killed["status"] == "died"
    shop.put([4])
    shop.call("resume")
    assert shop.rows("orders") == [1, 2, 3], "what had succeeded does not run again"
    assert shop.rows("clean") == [1, 2, 3]
    assert shop.rows("report") == [1, 1, 2, 2, 3, 3], "the input is read as it was when the run began"
    newest, _ = shop.data("runs")
    assert (newest["status"], newest["resumes"]) == ("succeeded", killed["run_id"])
    shown = shop.data("runs", "show", newest["run_id"])
    told = {one["pipe_id"]: one for one in shown["attempts"]}
    assert told["t.orders"]["status"] == "skipped"
    assert told["t.report"]["versions_read"] == {"t.clean": 0, "t.in": 0}
    assert (told["t.report"]["rows"], told["t.report"]["version_written"]) == (6, 0)


def test_a_run_that_is_killed_between_a_commit_and_its_mark_writes_it_once(shop: Shop) -> None:
    shop.call("run", "+t.orders", what="")
    store = SqlStateStore(f"sqlite:///{shop.folder / 'lake.state.db'}")
    (record,) = store.runs()
    # As if the process had died after the commit: no mark, and no end.
    from sqlalchemy import text

    with store.database.open().begin() as connection:
        connection.execute(text("DELETE FROM kindling_marks"))
        connection.execute(text("UPDATE kindling_runs SET status = NULL"))
    assert "written before, so nothing was written" in shop.call("resume", record.start.run_id)
    assert shop.rows("orders") == [1, 2, 3]
    shop.call("run", "t.orders")
    assert shop.rows("orders") == [1, 1, 2, 2, 3, 3], "a new run writes anew"


def test_the_same_job_twice_at_once_is_refused_and_a_signal_ends_a_hanging_pipe_in_time(shop: Shop) -> None:
    process = shop.hanging()
    told = shop.call("run", status=2)
    assert "job:shop is held by job shop, run " in told
    assert "Wait with --wait" in told
    assert shop.data("runs")[0]["status"] == "running"
    assert "is still running" in shop.call("resume", status=2)
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1, rest
    assert "cancelled" in rest
    assert "t.report  skipped" in rest
    (run,) = shop.data("runs")
    assert (run["status"], run["success_count"], run["failed_count"], run["skipped_count"]) == ("cancelled", 1, 1, 1)
    shop.call("resume")
    assert shop.rows("report") == [1, 1, 2, 2, 3, 3]


def test_settings_of_the_command_line_are_kept_for_resuming_but_no_secret(shop: Shop) -> None:
    shop.call("run", "--set", "execution.max_workers=3", what="kill", status=-signal.SIGKILL)
    shop.call("resume")
    assert shop.data("runs")[0]["overrides"] == ["execution.max_workers=3"]
    shop.call("run", "--set", "entities.spark.conf.my_token=hunter22", what="kill", status=-signal.SIGKILL)
    assert shop.data("runs")[0]["overrides"] == ["entities.spark.conf.my_token=***"]
    assert "Give it again" in shop.call("resume", status=2)
    shop.call("resume", "--set", "entities.spark.conf.my_token=hunter22")
    assert b"hunter22" not in (shop.folder / "lake.state.db").read_bytes()


def test_runs_are_listed_shown_and_compared(shop: Shop) -> None:
    shop.call("run")
    shop.call("run", "t.clean")
    listed = shop.call("runs")
    assert listed.splitlines()[0].startswith("run\tstatus\tstarted (UTC)")
    assert len(listed.splitlines()) == 3
    new, old = (one["run_id"] for one in shop.data("runs"))
    compared = shop.data("runs", "compare", old, new)
    clean = next(one for one in compared["pipes"] if one["pipe_id"] == "t.clean")
    assert clean["status"] == ["succeeded", "succeeded"]
    assert clean["rows"] == [3, 3]
    assert clean["version_written"] == [0, 1]
    assert clean["ratio"] > 0
    assert [one["status"] for one in compared["pipes"] if one["pipe_id"] == "t.report"] == [["succeeded", None]]
    assert "t.clean" in shop.call("runs", "compare", old, new)
    assert shop.data("runs", "show")["run_id"] == new
    assert "No run 'nope' is known" in shop.call("runs", "show", "nope", status=2)
    plan = shop.data("plan", "+t.report")
    report = next(one for one in plan["pipes"] if one["pipe_id"] == "t.report")
    assert report["runs_because"] == "selected by '+t.report'"
    assert report["waits_because"] == ["t.clean"]
    assert report["cached_inputs"] == []
    always = shop.data("plan", "+t.report", "--set", "execution.cache=always")
    assert [one["cached_inputs"] for one in always["pipes"] if one["pipe_id"] == "t.report"] == [["t.in"]]
    assert report["expected_seconds"] > 0
    assert plan["critical_path"] == ["t.orders", "t.clean", "t.report"]
    assert plan["critical_path_seconds"] > 0


def test_doctor_tells_where_the_state_is(shop: Shop) -> None:
    assert "lake.state.db" in shop.call("doctor")


def test_two_jobs_of_one_lake_do_not_hold_up_each_other(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()
    slow, quick = Pipes(), Pipes()
    slow.pipe("a")(lambda: inside.set() or (go_on.wait(PATIENCE_SECONDS) and None))
    quick.pipe("a")(lambda: None)
    url = f"sqlite:///{tmp_path / 'state.db'}"
    apps = []
    for name, pipes in (("slow", slow), ("quick", quick)):
        app = App(["state"], {"state": {"url": url}}, name=name, base_dir=tmp_path, environ={})
        app.mount(pipes)
        apps.append(app)
    with apps[0] as one, apps[1] as other:
        thread = threading.Thread(target=one.run)
        thread.start()
        assert inside.wait(PATIENCE_SECONDS)
        assert other.run().status == "succeeded"
        go_on.set()
        thread.join(PATIENCE_SECONDS)
