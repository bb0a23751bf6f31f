"""Runs the installed third-party plugin, whose author had only the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, ConfigError, Pipes, PluginError
from kindling_core.cli.main import run_command_line
from kindling_entities import Entities, EntityStore
from kindling_heartbeat import plugin as heartbeat


def job(root: Path, **config: Any) -> App:
    entities, pipes = Entities(), Pipes()
    entities.entity("a.beats", provider="arrow")
    entities.entity("b.copy", provider="memory")
    pipes.pipe("a.beats", output="a.beats")(lambda: pa.table({"n": [1, 2, 3]}))
    pipes.pipe("b.copy", inputs=["a.beats"], output="b.copy", quiet=True)(lambda a_beats: a_beats)
    app = App(["entities", "heartbeat"], {"entities": {"root": str(root)}, **config}, environ={})
    app.mount(entities, pipes)
    return app


def test_its_provider_keeps_a_table_and_its_wrapper_sends_its_signal(tmp_path: Path) -> None:
    with job(tmp_path) as app:
        heard: list[tuple[str, int]] = []
        app.signals.on("heartbeat.*", lambda sender, pipe_id, beat, **fields: heard.append((pipe_id, beat)))
        report = app.run()
        assert [pipe.rows for pipe in report.pipes] == [3, 3]
        assert heard == [("a.beats", 1)]
        assert app.service(heartbeat.Heart).beats == 1
        assert app.service(EntityStore).read_entity("a.beats").count() == 3


def test_its_hook_skips_a_pipe_with_its_reason(tmp_path: Path) -> None:
    with job(tmp_path, heartbeat={"refuse": ["a.beats"]}) as app:
        report = app.run(["a.beats"])
    assert (report.pipes[0].status, report.pipes[0].reason) == ("skipped", "its heart is stopped")


def test_installed_but_not_named_it_stays_off() -> None:
    app = App(["entities"], environ={})
    assert "heartbeat" not in app.features
    with pytest.raises(ConfigError, match="feature 'heartbeat'"):
        App(["entities"], {"heartbeat": {"refuse": []}}, environ={})


def test_it_needs_the_feature_that_it_requires() -> None:
    with pytest.raises(PluginError, match="requires 'entities'"):
        App(["heartbeat"], environ={})


def test_its_option_is_reported_when_it_is_off(caplog: pytest.LogCaptureFixture) -> None:
    pipes = Pipes()
    pipes.pipe("a.b", quiet=True)(lambda: None)
    App(environ={}).mount(pipes)
    assert "It belongs to the feature 'heartbeat'" in caplog.text


def test_its_command_and_its_check_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kindling.toml").write_text(
        '[job]\nfeatures = ["entities", "heartbeat"]\n[heartbeat]\nrefuse = ["x"]\n'
    )
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["pulse"]) == 0
    assert "refused: x" in capsys.readouterr().out
    run_command_line(["doctor", "--json"])
    assert "the heart can beat" in [check["message"] for check in json.loads(capsys.readouterr().out)]
    assert run_command_line(["signals", "heartbeat.*"]) == 0
    assert "heartbeat.beat_sent" in capsys.readouterr().out
