"""What features add to a plan before it is scheduled: pipes, edges and notes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, ExecutionPlan, PipeMetadata, Pipes, PlanError, RunFailed
from kindling_core.cli.main import run_command_line
from kindling_core.hooks import hookimpl


class Adds:
    """Has a function add to each plan, and keeps what its hooks were given."""

    def __init__(self, add: Callable[[ExecutionPlan], Any]) -> None:
        self._add = add
        self.runs: list[Any] = []
        self.began: list[tuple[list[str], dict[str, int]]] = []

    @hookimpl
    def kindling_plan(self, plan: ExecutionPlan, run: Any) -> None:
        self.runs.append(run and (bool(run.run_id), list(run.pipe_ids)))
        self._add(plan)

    @hookimpl
    def kindling_run_begins(self, plan: ExecutionPlan, run: Any) -> None:
        self.began.append((list(run.pipe_ids), dict(plan.pinned_versions)))


def further(pipe_id: str, *inputs: str, output: str | None = None, **options: Any) -> PipeMetadata:
    names = ", ".join(name.replace(".", "_") for name in inputs)
    return PipeMetadata(pipe_id, pipe_id, list(inputs), output, {}, eval(f"lambda {names}: 1"), options=options)


def app_with(add: Callable[[ExecutionPlan], Any], *pipe_ids: str) -> tuple[App, Adds, list[str]]:
    ran: list[str] = []
    pipes = Pipes()
    for pipe_id in pipe_ids or ("t.b", "t.a"):
        pipes.pipe(pipe_id)(lambda pipe_id=pipe_id: ran.append(pipe_id))
    plugin = Adds(add)
    app = App(config={"execution": {"max_workers": 1}}, plugins=[plugin], environ={})
    app.mount(pipes)
    return app, plugin, ran


def test_an_edge_orders_pipes_that_read_nothing_from_each_other() -> None:
    app, plugin, ran = app_with(lambda plan: plan.add_edge("t.a", "t.b"))
    with app:
        report = app.run()
    assert ran == ["t.a", "t.b"]
    assert [pipe.generation for pipe in report.pipes] == [0, 1]
    assert plugin.runs == [(True, ["t.b", "t.a"])]
    assert plugin.began == [(["t.a", "t.b"], {})]


def test_a_failure_skips_what_an_edge_leads_to() -> None:
    pipes = Pipes()
    pipes.pipe("t.a")(lambda: 1 / 0)
    pipes.pipe("t.b")(lambda: None)
    with App(plugins=[Adds(lambda plan: plan.add_edge("t.a", "t.b"))], environ={}) as app:
        app.mount(pipes)
        with pytest.raises(RunFailed) as failure:
            app.run()
    assert failure.value.report.pipe("t.b").caused_by == "t.a"


def test_an_added_pipe_runs_and_is_in_the_report() -> None:
    app, _, _ = app_with(lambda plan: (plan.add_pipe(further("t.after")), plan.add_edge("t.a", "t.after")), "t.a")
    with app:
        report = app.run(["t.a"])
        assert app.run().status == "succeeded"
    assert [(pipe.pipe_id, pipe.status) for pipe in report.pipes] == [("t.a", "succeeded"), ("t.after", "succeeded")]
    assert app.pipes.get_pipe_ids() == ["t.a"]


def test_an_added_pipe_has_its_place_by_what_it_reads_and_writes() -> None:
    def add(plan: ExecutionPlan) -> None:
        plan.add_pipe(further("t.reader", "x.y"))
        plan.add_pipe(further("t.writer", output="x.y"))

    plan = app_with(add)[0].plan()
    assert plan.generations == [["t.b", "t.a", "t.writer"], ["t.reader"]]
    assert (plan.total_pipes, plan.max_parallelism) == (4, 3)
    assert ("t.writer", "t.reader") in plan.dependency_graph.edges


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (lambda plan: plan.add_edge("t.a", "t.x"), "the plan has no pipe 't.x'"),
        (lambda plan: (plan.add_edge("t.a", "t.b"), plan.add_edge("t.b", "t.a")), "t.b -> t.a"),
        (lambda plan: plan.add_pipe(further("t.a")), "'t.a' cannot be added to the plan"),
        (lambda plan: plan.add_pipe(further("t.c", retry=-1)), "'t.c'.*retry"),
    ],
)
def test_what_cannot_be_added_is_refused_before_a_pipe_runs(add: Callable[[ExecutionPlan], Any], message: str) -> None:
    app, _, ran = app_with(add)
    with app, pytest.raises(PlanError, match=message):
        app.run()
    assert ran == []


def test_a_pipe_of_the_job_that_was_not_selected_keeps_its_id() -> None:
    app, _, _ = app_with(lambda plan: plan.add_pipe(further("t.b")))
    with pytest.raises(PlanError, match="the job has a pipe of this id"):
        app.plan(["t.a"])
    chosen, _, ran = app_with(lambda plan: plan.add_pipe(chosen.pipes.get_pipe_definition("t.b")))
    with chosen:
        chosen.run(["t.a"])
    assert sorted(ran) == ["t.a", "t.b"]


PLUGIN = """
from kindling_core import PipeMetadata, Pipes, hookimpl

pipes = Pipes()


@pipes.pipe("t.a")
def a(): ...


class Tidy:
    @hookimpl
    def kindling_plan(self, plan, run):
        plan.add_pipe(PipeMetadata("t.tidy", "tidy", [], None, {}, lambda: None))
        plan.add_edge("t.a", "t.tidy")
        plan.notes.append(f"Tidied, run {run}.")
"""


def test_kindling_plan_shows_what_features_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tidy_job.py").write_text(PLUGIN)
    (tmp_path / "kindling.toml").write_text('[job]\nmodules = ["tidy_job"]\nplugins = ["tidy_job:Tidy"]\n')
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["plan"]) == 0
    told = capsys.readouterr().out
    assert "1\tt.tidy\t\ta feature added it\tt.a (a feature put it before this pipe)" in told
    assert "Tidied, run None." in told
    assert run_command_line(["graph"]) == 0
    assert "t.tidy" in capsys.readouterr().out
    assert run_command_line(["run", "--picture", "out.html"]) == 0
    assert "t.tidy" in (tmp_path / "out.html").read_text()
