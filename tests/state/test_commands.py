"""The commands about runs: nothing is started for them, and what they ask of other processes arrives there."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, Pipes, RunFailed
from kindling_core.errors import KindlingError, PlanError
from kindling_core.state import Owner, RunEnd, RunStart, StateStore
from kindling_core.state.resume import resume_run, run_lease
from kindling_state.sql_store import SqlStateStore

PATIENCE_SECONDS = 120
JOB = """
[job]
name = "shop"
modules = ["shop"]
features = ["entities", "state"]

[entities]
root = "./lake"
"""
MODULE = """
import threading
from kindling_core import Pipes

pipes = Pipes()

@pipes.pipe("first")
def first():
    pass

@pipes.pipe("hangs")
def hangs():
    print("hanging", flush=True)
    threading.Event().wait()

@pipes.pipe("second")
def second():
    pass
"""
# Says which modules of engines a command has imported.
WITHOUT_ENGINES = """
import sys
from kindling_core.cli.main import run_command_line
status = run_command_line(sys.argv[1:])
assert status == 0, status
engines = {"pysail", "pyspark", "deltalake"} & set(sys.modules)
assert not engines, engines
"""


class Shop:
    """A job without tables, and runs of it that were written down by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "kindling.toml").write_text(JOB)
        (folder / "shop.py").write_text(textwrap.dedent(MODULE))
        self.store = SqlStateStore(f"sqlite:///{folder / 'lake.state.db'}")

    def ran(self, run_id: str, days_ago: float, status: str | None = "succeeded", job: str = "shop") -> None:
        moment = datetime.now(timezone.utc) - timedelta(days=days_ago)
        self.store.begin_run(RunStart(run_id, run_id, job, "batch", moment.isoformat(), "elsewhere", 1, pipe_ids=["a"]))
        if status is not None:
            self.store.record([], [RunEnd(run_id, status, moment.isoformat(), 1.0, 1, 0, 0)])
        if status == "succeeded":
            self.store.settle([run_id], run_id)

    def run(self, *arguments: str, status: int, program: Sequence[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *program, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def call(self, *arguments: str, status: int = 0, program: Sequence[str] = ("-m", "kindling_core")) -> str:
        done = self.run(*arguments, status=status, program=program)
        return done.stdout + done.stderr

    def data(self, *arguments: str) -> Any:
        # Warnings of plugins are no part of the data.
        return json.loads(self.run(*arguments, "--json", status=0, program=("-m", "kindling_core")).stdout)

    def ids(self, *arguments: str) -> list[str]:
        return [one["run_id"] for one in self.data("runs", *arguments)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("arguments", [["runs"], ["runs", "show"], ["runs", "prune", "--keep-last", "1"]])
def test_looking_at_runs_starts_no_engine(shop: Shop, arguments: list[str]) -> None:
    shop.ran("1", 2)
    shop.ran("2", 1)
    shop.call(*arguments, program=("-c", WITHOUT_ENGINES))


def test_the_store_is_there_before_the_app_has_started_and_closes_with_it(tmp_path: Path) -> None:
    app = App(["state"], name="job", base_dir=tmp_path, environ={})
    store = app.service(StateStore)
    assert store.runs() == []
    store.put("w", "k", {})
    assert app.service(StateStore) is store
    app.close()
    with App(["state"], name="job", base_dir=tmp_path, environ={}) as started:
        assert started.service(StateStore).get("w", "k") is not None


def test_runs_are_listed_by_status_time_pipe_and_page(shop: Shop) -> None:
    shop.ran("1", 40)
    shop.ran("2", 20, "failed")
    shop.ran("3", 3, None)
    shop.ran("4", 2, None)
    shop.store.acquire([run_lease("4")], Owner("4", "elsewhere", 1, "1", "run 4"), 600)
    shop.ran("5", 1, job="other")
    assert shop.ids() == ["4", "3", "2", "1"]
    assert shop.ids("--all-jobs") == ["5", "4", "3", "2", "1"]
    assert shop.ids("--status", "running") == ["4"]
    assert shop.ids("--status", "died", "--limit", "1") == ["3"]
    assert shop.ids("--status", "died", "--status", "failed") == ["3", "2"]
    assert shop.ids("--since", "21d") == ["4", "3", "2"]
    assert shop.ids("--until", "3w") == ["1"]
    assert shop.ids("--since", "2020-01-01", "--until", "2020-01-01T06:30Z") == []
    assert shop.ids("--pipe", "a", "--limit", "2") == ["4", "3"]
    assert shop.ids("--pipe", "b") == []
    assert shop.ids("--limit", "2", "--after", "3") == ["2", "1"]
    assert "no run '7' to go on after" in shop.call("runs", "--after", "7", status=2)
    assert "is no moment" in shop.call("runs", "--since", "yesterday", status=2)


def test_old_runs_are_forgotten_by_age_and_by_number(shop: Shop) -> None:
    for number, days in enumerate((90, 60, 45, 20, 10, 5)):
        shop.ran(f"r{number}", days)
    shop.ran("open", 4, "failed")
    shop.ran("other", 99, job="other")
    shop.ran("newest", 1)
    everything = shop.ids("--all-jobs")
    assert shop.data("runs", "prune", "--keep", "30d", "--dry-run") == {
        "forgotten": ["r2", "r1", "r0"],
        "kept": [],
        "dry_run": True,
    }
    assert shop.ids("--all-jobs") == everything
    assert shop.data("runs", "prune", "--keep", "30d", "--keep-last", "6")["forgotten"] == ["r1", "r0"]
    told = shop.call("runs", "prune", "--keep", "1m")
    assert "5 runs forgotten" not in told
    assert "4 runs forgotten; 2 more are kept" in told
    assert shop.ids("--all-jobs") == ["newest", "other", "open"]
    assert shop.data("runs", "prune", "--keep-last", "1", "--all-jobs")["forgotten"] == []
    assert "Say what is kept" in shop.call("runs", "prune", status=2)
    assert "is no age" in shop.call("runs", "prune", "--keep", "30", status=2)


def test_a_run_whose_success_is_forgotten_is_not_resumed_by_mistake(tmp_path: Path) -> None:
    broken = {"b"}
    pipes = Pipes()

    @pipes.pipe("b")
    def b() -> None:
        if broken:
            raise ValueError("broken")

    app = App(["state"], name="job", base_dir=tmp_path, environ={})
    app.mount(pipes)
    with app:
        with pytest.raises(RunFailed) as caught:
            app.run()
        first = caught.value.report.run_id
        broken.clear()
        second = resume_run(app).run_id
        app.run()
        store = app.service(StateStore)
        assert store.forget([second]) == [second]
        with pytest.raises(PlanError, match=f"run {second} finished it or took its place, and that run was forgotten"):
            resume_run(app, first)


def test_a_run_of_another_process_is_cancelled_and_history_says_who_asked(shop: Shop) -> None:
    # -u: what a pipe prints has to come before the process ends.
    run = subprocess.Popen(
        [sys.executable, "-u", "-m", "kindling_core", "run", "--set", "execution.max_workers=1"],
        cwd=shop.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert run.stdout is not None
        # A run that ends before its pipe hangs ends this, too.
        assert any("hanging" in line for line in run.stdout)
        (record,) = shop.data("runs")
        assert record["status"] == "running"
        told = shop.call("runs", "cancel", record["run_id"][:-2])
        assert f"Run {record['run_id']} was asked to end by " in told
        rest, _ = run.communicate(timeout=PATIENCE_SECONDS)
    finally:
        run.kill()
        run.wait(PATIENCE_SECONDS)
    assert run.returncode == 1, rest
    assert "asked for it" in rest
    shown = shop.data("runs", "show")
    assert (shown["status"], shown["error_type"]) == ("cancelled", "Cancelled")
    assert shown["cancel_by"].partition(", process ")[0].partition(" on ")[2]
    statuses = {one["pipe_id"]: one["status"] for one in shown["attempts"]}
    assert statuses["first"] == "succeeded"
    assert statuses["second"] == "skipped"
    assert "cancel asked by" in shop.call("runs", "show")
    assert "has ended (cancelled): nothing to cancel" in shop.call("runs", "cancel", record["run_id"], status=2)


def test_a_run_that_died_cannot_be_cancelled(shop: Shop) -> None:
    shop.ran("1", 1, None)
    assert "has no process any more" in shop.call("runs", "cancel", "1", status=2)
    assert shop.store.cancel_request("1") is None


# What history keeps


def test_history_has_edges_notes_details_and_ranges(tmp_path: Path) -> None:
    from kindling_core.run.requests import ReadRequest, WriteRequest, WriteResult

    pipes = Pipes()
    pipes.pipe("a", inputs=["t.in"], output="t.a")(lambda t_in: t_in)

    class Failure(KindlingError):
        details = {"file": Path("x.csv"), "at": float("nan")}

    @pipes.pipe("b")
    def b() -> None:
        raise Failure("broken")

    class Tables:
        """Storage whose reads were narrowed, and whose writes have much to say."""

        from kindling_core import hookimpl

        @hookimpl
        def kindling_read(self, request: ReadRequest) -> object:
            request.start_version, request.version = 3, 5
            return "rows"

        @hookimpl
        def kindling_write(self, request: WriteRequest) -> WriteResult:
            details = {"kept": {"n": 2}, "when": datetime(2026, 1, 1), "odd": object, "long": "x" * 100_000}
            return WriteResult(1, 7, note="2 rows were kept out", details=details)

    app = App(["state"], name="job", base_dir=tmp_path, environ={})
    app.host.manager.register(Tables())
    app.mount(pipes)
    heard: dict[str, Any] = {}
    app.signals.create_signal("datapipes.after_pipe").connect(lambda sender, **fields: heard.update(fields))
    with app:
        with pytest.raises(RunFailed) as caught:
            app.run()
        store = app.service(StateStore)
        record = store.run(caught.value.report.run_id)
        assert record is not None
        assert record.start.inputs == {"a": ["t.in"], "b": []}
        assert record.start.outputs == {"a": "t.a", "b": None}
        ends = {one.pipe_id: one for one in store.attempts(record.start.run_id)}
    a = ends["a"]
    assert (a.note, a.ranges_read, a.versions_read) == ("2 rows were kept out", {"t.in": (3, 5)}, {"t.in": 5})
    assert (a.details["kept"], a.details["when"]) == ({"n": 2}, "2026-01-01T00:00:00")
    assert len(json.dumps(a.details)) < 20_000
    assert heard["details"] == a.details
    assert ends["b"].details == {"file": "x.csv", "at": "nan"}
    assert caught.value.report.pipe("a").ranges_read == {"t.in": (3, 5)}


# The file


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_the_file_of_the_state_is_its_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = SqlStateStore(f"sqlite:///{tmp_path / 'lake.state.db'}")
        store.put("w", "k", {})
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    finally:
        os.umask(old)
    assert files == dict.fromkeys(("lake.state.db", "lake.state.db-wal", "lake.state.db-shm"), 0o600)
    store.close()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_that_is_there_keeps_the_mode_that_somebody_gave_it(tmp_path: Path) -> None:
    file = tmp_path / "lake.state.db"
    store = SqlStateStore(f"sqlite:///{file}")
    store.put("w", "k", {})
    store.close()
    file.chmod(0o660)
    store.put("w", "k", {})
    assert stat.S_IMODE(file.stat().st_mode) == 0o660
    store.close()
