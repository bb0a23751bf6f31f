"""Runs whose plan a feature has added a pipe to are resumed with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, PipeMetadata, Pipes, PlanError, RunFailed, hookimpl, resume_run


class Tidies:
    def __init__(self, fails: bool) -> None:
        self._fails = fails

    @hookimpl
    def kindling_plan(self, plan: Any) -> None:
        fails = self._fails
        plan.add_pipe(PipeMetadata("t.tidy", "tidy", [], None, {}, lambda: 1 / 0 if fails else None))
        plan.add_edge("t.a", "t.tidy")


def job(folder: Path, *plugins: object) -> App:
    pipes = Pipes()
    pipes.pipe("t.a")(lambda: None)
    config = {"state": {"url": f"sqlite:///{folder / 'state.db'}"}}
    app = App(["state"], config, plugins=plugins, environ={})
    app.mount(pipes)
    return app


def test_an_added_pipe_that_failed_is_run_by_the_resumed_run(tmp_path: Path) -> None:
    with job(tmp_path, Tidies(True)) as app, pytest.raises(RunFailed):
        app.run()
    with job(tmp_path) as app, pytest.raises(PlanError, match="the job has no pipe 't.tidy' any more"):
        resume_run(app)
    with job(tmp_path, Tidies(False)) as app:
        report = resume_run(app, force=True)
    assert [(pipe.pipe_id, pipe.status) for pipe in report.pipes] == [("t.a", "skipped"), ("t.tidy", "succeeded")]
