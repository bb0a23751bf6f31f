"""A plugin of a third party, used as it is installed: every power that the framework's own plugins have."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import importlib_metadata
import pyarrow as pa
import pytest

from kindling_core import App, ConfigError, Pipes, PluginError, RunFailed
from kindling_core.cli._main import run_command_line
from kindling_entities import ConflictError, Entities, EntityProvider, Transaction, UnsupportedError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("kindling_heartbeat") is None, reason="kindling-heartbeat is not installed; make install"
)

JOB = """\
[job]
name = "beats"
modules = ["beats_job"]
features = ["heartbeat", "entities"]

[heartbeat]
pause_file = "STOP"
"""

MODULE = """\
from kindling_core import Pipes
from kindling_entities import Entities

pipes = Pipes()
entities = Entities()
entities.entity("gold.beats", provider="arrow")
"""


def make_app(folder: Path, **settings: Any) -> App:
    entities = Entities()
    entities.entity("bronze.beats", provider="arrow")
    entities.entity("silver.beats", provider="arrow", write_mode="append")
    pipes = Pipes()

    @pipes.pipe("bronze.beats", output="bronze.beats")
    def bronze() -> pa.Table:
        return pa.table({"beat": [1, 2, 3]})

    @pipes.pipe("silver.beats", inputs=["bronze.beats"], output="silver.beats")
    def silver(bronze_beats: Any) -> Any:
        return bronze_beats.where("beat > 1")

    app = App(features=["heartbeat", "entities"], config={"heartbeat": settings}, base_dir=folder)
    app.mount(entities, pipes)
    return app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with make_app(tmp_path) as made:
        yield made


def rows(app: App, entity_id: str, version: int | None = None) -> list[int]:
    frame = app.service(EntityProvider).read_entity(entity_id, version=version)  # type: ignore[type-abstract]
    return sorted(row["beat"] for row in frame.collect())


def test_it_is_discovered_by_its_entry_point() -> None:
    names = [entry.name for entry in importlib_metadata.entry_points(group="kindling")]
    assert "heartbeat" in names


def test_it_starts_after_the_feature_that_it_requires(app: App) -> None:
    assert app.features == ["entities", "heartbeat"]


def test_it_is_refused_without_the_feature_that_it_requires() -> None:
    with pytest.raises(PluginError, match="requires 'entities'"):
        App(features=["heartbeat"])


def test_it_stays_off_in_a_job_that_does_not_name_it(tmp_path: Path) -> None:
    with App(features=["entities"], base_dir=tmp_path) as other:
        assert "heartbeat.input_read" not in other.signals.names()


def test_a_run_reads_and_writes_through_its_storage(app: App, tmp_path: Path) -> None:
    report = app.run()
    assert [pipe.rows for pipe in report.pipes] == [3, 2]
    assert rows(app, "silver.beats") == [2, 3]
    assert (tmp_path / "lake/silver/beats/0.arrow").exists()


def test_its_storage_keeps_versions(app: App) -> None:
    app.run()
    app.run()
    assert rows(app, "silver.beats") == [2, 2, 3, 3]
    assert rows(app, "silver.beats", version=0) == [2, 3]


def test_its_storage_refuses_a_second_writer_of_one_version(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.run()
    provider = app.service(EntityProvider)  # type: ignore[type-abstract]
    monkeypatch.setattr("kindling_heartbeat.storage._versions", lambda location: [])
    with pytest.raises(ConflictError, match="version 0"):
        provider.write_to_entity("bronze.beats", pa.table({"beat": [9]}))
    monkeypatch.undo()
    assert rows(app, "bronze.beats") == [1, 2, 3]


def test_its_storage_refuses_what_it_would_otherwise_ignore(app: App) -> None:
    provider = app.service(EntityProvider)  # type: ignore[type-abstract]
    with pytest.raises(UnsupportedError, match="transaction"):
        provider.append_to_entity("silver.beats", pa.table({"beat": [9]}), transaction=Transaction("pipe", 1))


def test_its_signal_is_typed_and_tells_each_read(app: App) -> None:
    heard: list[tuple[str, str, int]] = []
    signal = app.signals.get_signal("heartbeat.input_read")
    assert signal is not None
    assert signal.payload_type is not None
    signal.connect(lambda sender, **told: heard.append((told["pipe_id"], told["entity_id"], told["read_count"])))
    app.run()
    assert heard == [("silver.beats", "bronze.beats", 1)]


def test_its_hook_skips_pipes_while_the_job_is_paused(app: App, tmp_path: Path) -> None:
    (tmp_path / "PAUSE").touch()
    report = app.run()
    assert [pipe.status for pipe in report.pipes] == ["skipped", "skipped"]
    assert report.pipes[0].reason == f"paused by {tmp_path / 'PAUSE'}"


def test_its_section_is_checked_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pause_file"):
        make_app(tmp_path, pause_fil="STOP")


def test_two_apps_do_not_share_its_state(tmp_path: Path) -> None:
    counts: dict[str, list[int]] = {"one": [], "two": []}
    for name, heard in counts.items():
        with make_app(tmp_path / name) as app:
            app.signals.on("heartbeat.*", lambda sender, heard=heard, **told: heard.append(told["read_count"]))
            app.run()
    assert counts == {"one": [1], "two": [1]}


def test_a_hook_of_it_that_raises_fails_the_pipe_and_is_named(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bool:
        raise OSError("no heart")

    app.start()
    monkeypatch.setattr(app.host.manager.get_plugin("heartbeat"), "_pause_file", _Raises(broken))
    with pytest.raises(RunFailed, match="Plugin 'heartbeat' \\(kindling-heartbeat\\) failed in kindling_before_pipe"):
        app.run()


class _Raises:
    def __init__(self, raises: Any) -> None:
        self.exists = raises


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "kindling.toml").write_text(JOB)
    (tmp_path / "beats_job.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "beats_job", raising=False)
    return tmp_path


def run_json(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Any:
    run_command_line([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_its_command_stands_beside_the_others(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run_json(["heartbeat"], capsys)
    assert told == {"job": "beats", "paused": False, "pause_file": str(job / "STOP")}


def test_its_finding_stands_in_doctor(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (job / "STOP").touch()
    found = [finding for finding in run_json(["doctor"], capsys) if finding["subject"] == "heartbeat"]
    assert [(finding["status"], finding["advice"]) for finding in found] == [("warning", "Remove the file.")]


def test_its_signal_stands_in_the_list_of_signals(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = {entry["name"]: entry for entry in run_json(["signals"], capsys)}
    entry = entries["heartbeat.input_read"]
    assert entry["emitters"] == ["Heart"]
    assert [field["name"] for field in entry["fields"][:2]] == ["pipe_id", "entity_id"]


def test_its_setting_stands_in_the_list_of_settings(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {setting["key"]: setting for setting in run_json(["config"], capsys)}
    assert settings["heartbeat.pause_file"]["value"] == "STOP"
    assert settings["heartbeat.pause_file"]["origin"] == "kindling.toml:7"
