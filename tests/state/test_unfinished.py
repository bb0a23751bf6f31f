"""What a run does about an earlier one of its job that was not finished, and what each default says."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from kindling_core import App, PipeMetadata, Pipes, PlanError, RunFailed, RunInfo, UnfinishedRun, hookimpl
from kindling_core.cli import cli
from kindling_core.state import StateStore
from kindling_core.state.resume import resume_run
from kindling_entities import Entities, EntityStore
from kindling_state.sql_store import SqlStateStore
from tests.state.test_runs import Shop


class Job:
    """Two appends and an overwrite after each other; what is in ``broken`` fails."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.broken, self.ran = folder, set[str](), list[str]()
        self.plugins: list[object] = []
        self.entities, self.pipes = Entities(), Pipes()
        self.entities.entity("t.one", write_mode="append")
        self.entities.entity("t.two", write_mode="append")
        self.entities.entity("t.three")
        for name in ("one", "two", "three"):
            self.pipes.pipe(name, output=f"t.{name}")(self.step(name))

    def step(self, name: str) -> Any:
        broken, ran = self.broken, self.ran

        class Step:
            def __call__(self) -> pa.Table:
                ran.append(name)
                if name in broken:
                    raise RuntimeError(f"{name} is broken")
                return pa.table({"n": [1]})

        return Step()

    def app(self, plugins: Sequence[object] = (), **state: Any) -> App:
        settings = {"state": state, "execution": {"grace_seconds": 0.1}}
        app = App(
            ["entities", "state"],
            settings,
            name="job",
            base_dir=self.folder,
            environ={},
            plugins=[*self.plugins, *plugins],
        )
        app.mount(self.entities, self.pipes)
        return app

    def fails(
        self,
        *broken: str,
        selection: tuple[str, ...] = (),
        options: dict[str, object] | None = None,
        **state: Any,
    ) -> str:
        """Run once with broken pipes; return the run's id."""
        self.broken.update(broken)
        with self.app(**state) as app, pytest.raises(RunFailed) as caught:
            app.run(selection, options=options)
        self.broken.clear()
        self.ran.clear()
        return caught.value.report.run_id


def count(app: App, name: str) -> int:
    return DeltaTable(app.service(EntityStore).location(f"t.{name}")).to_pyarrow_table().num_rows


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


# The default


def test_a_run_that_would_append_again_is_refused_with_what_there_is_to_do(job: Job) -> None:
    first = job.fails("two")
    with job.app() as app:
        with pytest.raises(UnfinishedRun) as caught:
            app.run()
        told = str(caught.value)
        assert f"Run {first} failed after it had appended to t.one, and was not finished" in told
        assert "a new run would append again with one" in told
        assert f"`kindling resume {first}` continues, `kindling run --afresh` starts anew" in told
        assert caught.value.run_ids == [first]
        assert job.ran == []
        assert [one.start.run_id for one in app.service(StateStore).runs()] == [first], "a refused run is no run"
        resume_run(app)
        assert sorted(job.ran) == ["two"]
        assert app.run().status == "succeeded"
        assert (count(app, "one"), count(app, "two")) == (2, 2)


def test_a_pipe_that_repeats_no_row_is_in_nobodys_way(job: Job) -> None:
    class Once:
        @hookimpl
        def kindling_writes_once(self, pipe: PipeMetadata) -> bool | None:
            return True if pipe.pipe_id == "one" else None

    job.fails("two")
    with job.app(plugins=[Once()]) as app:
        assert app.run().status == "succeeded"
        job.fails("three")
    with job.app(plugins=[Once()]) as app, pytest.raises(UnfinishedRun, match="append again with two"):
        app.run()


def test_a_run_after_one_that_had_appended_nothing_runs_and_says_so(job: Job, caplog: Any) -> None:
    first = job.fails("one", "two")
    with job.app() as app:
        app.run()
        assert f"Run {first} failed and was not finished" in caplog.text
        assert "starts anew" in caplog.text
        caplog.clear()
        app.run()
        assert caplog.text == "", "what was left has succeeded since"


def test_afresh_appends_again_and_takes_the_place_of_the_other(job: Job, caplog: Any) -> None:
    first = job.fails("two")
    with job.app() as app:
        report = app.run(afresh=True)
        assert "starts anew, and appends again" in caplog.text
        assert count(app, "one") == 2
        with pytest.raises(PlanError, match=f"run {report.run_id} has taken its place"):
            resume_run(app, first)
        app.run()


def test_a_cancelled_run_was_not_finished(job: Job) -> None:
    stopped = Pipes()
    with job.app() as app:

        @stopped.pipe("zzz", inputs={"after": "t.one"})
        def zzz(after: object) -> None:
            app.cancel()
            threading.Event().wait()

        app.mount(stopped)
        with pytest.raises(RunFailed) as caught:
            app.run(["one", "zzz"])
        assert caught.value.report.status == "cancelled"
        with pytest.raises(UnfinishedRun, match="cancelled after it had appended to t.one"):
            app.run(["one"])


def test_a_failure_that_was_allowed_leaves_nothing_unfinished(job: Job) -> None:
    may_fail = Pipes()
    may_fail.pipe("may", allow_failure=True)(lambda: 1 / 0)
    with job.app() as app:
        app.mount(may_fail)
        app.run()
        app.run()
        assert count(app, "one") == 2


# Other selections


def test_another_selection_runs_where_it_repeats_nothing_and_settles_what_it_does(job: Job, caplog: Any) -> None:
    first = job.fails("two", "three")
    with job.app() as app:
        app.run(["three"])
        assert "repeats nothing that it appended" in caplog.text
        with pytest.raises(UnfinishedRun):
            app.run(["one"])
        with pytest.raises(PlanError, match="three' .* which succeeded since"):
            resume_run(app, first)
        app.run(["two"])
        # Now each of its pipes has succeeded somewhere.
        app.run()
        assert (count(app, "one"), count(app, "two")) == (2, 2)


def test_two_runs_in_the_way_are_both_named(job: Job) -> None:
    first = job.fails("three", selection=("one", "three"))
    second = job.fails("three", selection=("two", "three"))
    with job.app() as app, pytest.raises(UnfinishedRun) as caught:
        app.run()
    assert caught.value.run_ids == [second, first]


# Settings


def test_with_resume_a_plain_run_continues_what_was_left_and_then_starts_anew(job: Job, caplog: Any) -> None:
    first = job.fails("two", unfinished="resume")
    with job.app(unfinished="resume") as app:
        report = app.run()
        assert f"Run {first} failed after it had appended to t.one" in caplog.text
        assert "This run continues it" in caplog.text
        assert job.ran == ["two"]
        assert report.pipe("one").reason == f"succeeded in run {first}"
        record = app.service(StateStore).run(report.run_id)
        assert record is not None
        assert (record.start.resumes, record.start.root_run_id) == (first, first)
        app.run()
        assert (count(app, "one"), count(app, "two")) == (2, 2)


def test_with_resume_a_run_of_other_pipes_is_refused_where_it_would_append_again(job: Job) -> None:
    job.fails("two")
    with (
        job.app(unfinished="resume") as app,
        pytest.raises(UnfinishedRun, match="has another selection: without three, two"),
    ):
        app.run(["one"])


def test_with_resume_something_that_changed_is_named(job: Job) -> None:
    job.fails("two")
    job.entities = Entities()
    job.entities.entity("t.one", write_mode="append")
    job.entities.entity("t.two", write_mode="append", schema_policy="fail")
    job.entities.entity("t.three")
    with (
        job.app(unfinished="resume") as app,
        pytest.raises(UnfinishedRun, match="entity 't.two': schema_policy was not there, is 'fail'"),
    ):
        app.run()


def test_with_resume_a_changed_run_that_appended_nothing_starts_anew(job: Job, caplog: Any) -> None:
    job.fails("one", "two")
    job.entities = Entities()
    job.entities.entity("t.one", write_mode="append", schema_policy="fail")
    job.entities.entity("t.two", write_mode="append")
    job.entities.entity("t.three")
    with job.app(unfinished="resume") as app:
        app.run()
        assert "something changed since it started: entity 't.one'" in caplog.text
        assert count(app, "one") == 1


def test_with_ignore_every_run_starts_anew(job: Job, caplog: Any) -> None:
    job.fails("two")
    with job.app(unfinished="ignore") as app:
        app.run()
        assert "appends again" in caplog.text
        assert count(app, "one") == 2


# Where the state knows less than the tables


def forget_marks(folder: Path) -> None:
    with sqlite3.connect(folder / "lake.state.db") as connection:
        connection.execute("DELETE FROM kindling_marks WHERE pipe_id = 'one'")


def test_a_commit_without_its_mark_is_found_in_the_table(job: Job) -> None:
    job.fails("two")
    forget_marks(job.folder)
    with job.app() as app, pytest.raises(UnfinishedRun, match="appended to t.one"):
        app.run()
    with job.app(unfinished="resume") as app:
        report = app.run()
        assert report.pipe("one").note == "written before, so nothing was written"
        assert count(app, "one") == 1


@pytest.mark.parametrize("unfinished", ["refuse", "resume"])
def test_a_lost_state_is_noticed_by_the_tables(job: Job, unfinished: str) -> None:
    first = job.fails("two")
    for file in job.folder.glob("lake.state.db*"):
        file.unlink()
    with job.app(unfinished=unfinished) as app:
        with pytest.raises(UnfinishedRun) as caught:
            app.run()
        told = str(caught.value)
        assert f"run {first} was the last to append to t.one" in told
        assert "kindling run '!one'" in told
        assert job.ran == []
        app.run(["!one"])
        assert (count(app, "one"), count(app, "two")) == (1, 1)
        app.run()
        assert count(app, "one") == 2, "from here on the state knows"


def test_a_lost_state_is_passed_over_afresh(job: Job) -> None:
    job.fails("two")
    for file in job.folder.glob("lake.state.db*"):
        file.unlink()
    with job.app() as app:
        app.run(afresh=True)
        assert count(app, "one") == 2


def test_a_table_that_others_write_is_nobodys_unfinished_run(job: Job) -> None:
    with job.app() as app:
        app.start()
        app.service(EntityStore).append_to_entity("t.one", pa.table({"n": [7]}))
        app.run()
        assert count(app, "one") == 2


def test_a_state_that_is_removed_under_a_run_says_what_it_had_appended_and_what_is_safe(job: Job) -> None:
    thief, folder = Pipes(), job.folder

    @thief.pipe("thief", inputs={"after": "t.one"})
    def steal(after: object) -> None:
        for file in folder.glob("lake.state.db*"):
            file.unlink()

    with job.app() as app:
        app.mount(thief)
        with pytest.raises(RunFailed) as caught:
            app.run(["one", "thief"])
    told = caught.value.report.pipe("thief").error or ""
    assert "was removed or replaced while it was in use" in told
    assert "do not run everything again: this run has appended to t.one (pipe 'one')" in told
    assert "kindling run '!one'" in told
    with job.app() as app:
        with pytest.raises(UnfinishedRun, match="was the last to append to t.one"):
            app.run()
        assert count(app, "one") == 1


# Which run is the newest


def test_the_newest_run_is_the_one_written_down_last_whatever_the_clock_said(job: Job) -> None:
    with job.app() as app:
        app.run()
    failed = job.fails("two", unfinished="ignore")
    with sqlite3.connect(job.folder / "lake.state.db") as connection:
        # As if the clock had been set back before the run that failed.
        for table, column in (
            ("kindling_runs", "run_id"),
            ("kindling_runs", "root_run_id"),
            ("kindling_marks", "run_id"),
            ("kindling_marks", "root_run_id"),
        ):
            connection.execute(f"UPDATE {table} SET {column} = '2000' WHERE {column} = ?", (failed,))
    with job.app() as app:
        assert app.service(StateStore).runs("job", limit=1)[0].start.run_id == "2000"
        with pytest.raises(UnfinishedRun, match="kindling resume 2000"):
            app.run()
        resume_run(app)
        assert job.ran == ["two"]


# As processes


def test_the_command_line_refuses_continues_and_starts_anew(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.call("run", what="kill", status=-signal.SIGKILL)
    (killed,) = shop.data("runs")
    told = shop.call("run", status=2)
    assert f"Run {killed['run_id']} died after it had appended to t.orders, and was not finished" in told
    assert f"`kindling resume {killed['run_id']}` continues, `kindling run --afresh` starts anew" in told
    assert shop.rows("orders") == [1, 2, 3]
    assert f"run {killed['run_id']} was not finished" in shop.call("doctor")
    assert "This run continues it" in shop.call("run", "--set", "state.unfinished=resume")
    assert shop.rows("orders") == [1, 2, 3]
    assert shop.rows("report") == [1, 1, 2, 2, 3, 3]
    shop.call("run", what="kill", status=-signal.SIGKILL)
    assert "appends again" in shop.call("run", "--afresh")
    assert shop.rows("orders") == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    shop.call("run")


def test_a_run_that_died_when_only_its_end_was_left_is_resumed_to_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.call("run")
    with sqlite3.connect(tmp_path / "lake.state.db") as connection:
        connection.execute("UPDATE kindling_runs SET status = NULL, settled_by = NULL")
    (run,) = SqlStateStore(f"sqlite:///{tmp_path / 'lake.state.db'}").runs()
    assert "had only its end left to be written down" in shop.call("run", status=2)
    shop.call("resume", run.start.run_id)
    assert shop.rows("orders") == [1, 2, 3]
    shop.call("run")


# Options


class Seen:
    """A feature with an option of a run, which it looks at as the run begins."""

    def __init__(self) -> None:
        self.options: list[dict[str, object]] = []

    @hookimpl
    def kindling_run_options(self) -> list[click.Option]:
        return [click.Option(["--days"], type=int)]

    @hookimpl
    def kindling_before_run(self, run: RunInfo) -> None:
        self.options.append(dict(run.options))


@pytest.fixture
def seen(job: Job) -> Seen:
    feature = Seen()
    job.plugins.append(feature)
    return feature


def test_a_resumed_run_has_the_options_of_the_run_that_it_continues(job: Job, seen: Seen) -> None:
    first = job.fails("two", options={"days": 3, "names": ("a", "b")})
    job.broken.add("two")
    with job.app() as app, pytest.raises(RunFailed):
        resume_run(app, first)
    job.broken.clear()
    with job.app() as app:
        resume_run(app, options={"days": 5})
    kept = {"days": 3, "names": ["a", "b"]}
    assert seen.options[1:] == [kept, {**kept, "days": 5}]


def test_a_run_that_continues_another_by_itself_has_its_options_but_for_those_given_anew(job: Job, seen: Seen) -> None:
    job.fails("two", unfinished="resume", options={"days": 3, "hours": 4})
    with job.app(unfinished="resume") as app:
        report = app.run(options={"hours": 5}, option_defaults={"days": 7, "minutes": 1})
        assert seen.options[-1] == {"days": 3, "hours": 5, "minutes": 1}
        record = app.service(StateStore).run(report.run_id)
        assert record is not None
        assert record.start.options == seen.options[-1]


@pytest.mark.parametrize("unfinished", ["refuse", "resume"])
def test_an_option_that_is_a_secret_is_not_kept_and_asked_for_again(job: Job, seen: Seen, unfinished: str) -> None:
    first = job.fails("two", unfinished=unfinished, options={"api_token": "abc", "url": "db://u:word@h"})
    assert b"word" not in b"".join(path.read_bytes() for path in job.folder.rglob("*.db*"))
    with job.app(unfinished=unfinished) as app:
        with pytest.raises(PlanError, match="--api-token=... --url=...") as refused:
            resume_run(app, first) if unfinished == "refuse" else app.run()
        assert "'api_token' and 'url'" in str(refused.value)
        again = {"api_token": "abc", "url": "db://u:word@h"}
        resume_run(app, first, options=again)
    assert seen.options[-1] == again


def test_the_command_line_continues_with_the_options_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "days_job.py").write_text(
        "import click\n"
        "from kindling_core import Pipes, hookimpl\n"
        "pipes = Pipes()\n"
        "class Days:\n"
        "    @hookimpl\n"
        "    def kindling_run_options(self):\n"
        "        return [click.Option(['--days'], type=int, default=7)]\n"
        "    @hookimpl\n"
        "    def kindling_before_run(self, run):\n"
        "        print('days', run.options['days'])\n"
        "@pipes.pipe('p')\n"
        "def p():\n"
        "    raise ValueError('broken')\n"
    )
    job = '[job]\nfeatures = ["state"]\nmodules = ["days_job"]\nplugins = ["days_job:Days"]\n'
    (tmp_path / "kindling.toml").write_text(f"{job}[state]\nunfinished = 'resume'\n")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, status: int = 1) -> str:
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == status, result.output
        return result.output

    assert "days 3" in call("run", "--days", "3")
    assert "days 3" in call("resume")
    assert "days 3" in call("run")
    assert "days 5" in call("resume", "--days", "5")
    assert '{"days": 5}' in call("runs", "show", status=0)
    assert "days 7" in call("run", "--afresh")
