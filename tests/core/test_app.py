from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from kindling_core import (
    App,
    ConfigError,
    EntityInfo,
    KindlingError,
    PipeDefinitionError,
    Pipes,
    PlanError,
    PluginError,
    RunFailed,
    hookimpl,
)


def counting_pipes(count: int = 2) -> Pipes:
    pipes = Pipes()
    for number in range(count):
        pipes.pipe(f"test.p{number}", tags={"odd": str(number % 2)})(lambda: None)
    return pipes


def write_job(folder: Path, modules: dict[str, str], text: str = "") -> Path:
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    job = folder / "kindling.toml"
    job.write_text(text or f"[job]\nmodules = {list(modules)!r}\n")
    return job


def test_a_job_file_and_arguments_give_the_same_app(tmp_path: Path) -> None:
    source = "from kindling_core import Pipes\npipes = Pipes()\n@pipes.pipe('a.b')\ndef b(): ...\n"
    job = write_job(tmp_path, {"same_app_pipes": source})
    by_file = App.from_job(job, environ={})
    by_hand = App(modules=["same_app_pipes"], base_dir=tmp_path, environ={})
    assert by_file.pipes.get_pipe_ids() == by_hand.pipes.get_pipe_ids() == ["a.b"]


def test_a_run_emits_signals_to_receivers_of_its_app_alone() -> None:
    heard: list[str] = []
    with App(environ={}) as one, App(environ={}) as two:
        two.signals.on("*", lambda sender, **fields: heard.append("two"))
        one.signals.on("datapipes.after_pipe", lambda sender, pipe_id, **fields: heard.append(pipe_id))
        one.mount(counting_pipes())
        assert one.run().status == "succeeded"
    assert sorted(heard) == ["test.p0", "test.p1"]


def test_apps_on_threads_do_not_see_each_other() -> None:
    reports: dict[int, Any] = {}
    heard: dict[int, list[str]] = {number: [] for number in range(8)}
    start = threading.Barrier(8)

    def run(number: int) -> None:
        with App(name=f"job{number}", config={"execution": {"max_workers": 1 + number % 3}}, environ={}) as app:
            app.signals.on("datapipes.after_pipe", lambda sender, pipe_id, **fields: heard[number].append(pipe_id))
            app.mount(counting_pipes(number + 1))
            start.wait()
            reports[number] = app.run()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert sorted(heard[number]) == [f"test.p{index}" for index in range(number + 1)]
        assert len(reports[number].pipes) == number + 1


def test_a_module_that_does_not_import_shows_the_users_traceback_and_not_ours(tmp_path: Path) -> None:
    job = write_job(tmp_path, {"broken_module": "def helper():\n    return 1 / 0\n\nhelper()\n"})
    with pytest.raises(ConfigError) as error:
        App.from_job(job, environ={})
    text = str(error.value)
    assert "kindling.toml:2: module 'broken_module' does not import" in text
    assert "return 1 / 0" in text
    assert "ZeroDivisionError" in text
    assert "importlib" not in text
    assert "kindling_core" not in text


def test_a_missing_module_gets_near_matches(tmp_path: Path) -> None:
    write_job(tmp_path, {"orders_pipes": ""})
    with pytest.raises(ConfigError, match="no module 'order_pipes'.*Did you mean 'orders_pipes'"):
        App(modules=["order_pipes"], base_dir=tmp_path, environ={})


def test_two_jobs_with_a_module_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_job(tmp_path / name, {"namesake_pipes": ""})
    App.from_job(tmp_path / "one" / "kindling.toml", environ={})
    with pytest.raises(ConfigError, match="already loaded .*one.namesake_pipes"):
        App.from_job(tmp_path / "two" / "kindling.toml", environ={})


def test_an_unknown_section_names_its_line_and_near_matches(tmp_path: Path) -> None:
    job = write_job(tmp_path, {}, "[exection]\nmax_workers = 2\n")
    with pytest.raises(ConfigError, match=r"kindling\.toml:2: unknown section \[exection\]\. Did you mean 'execution'"):
        App.from_job(job, environ={})


def test_a_section_of_a_feature_that_is_off_names_the_feature() -> None:
    with pytest.raises(ConfigError, match="belongs to the feature 'entities'"):
        App(config={"entities": {"root": "."}}, environ={})


def test_an_option_that_no_feature_owns_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    pipes = Pipes()
    pipes.pipe("a.b", retrys=3)(lambda: None)
    with caplog.at_level(logging.WARNING):
        App(environ={}).mount(pipes)
    assert "option 'retrys' has no effect" in caplog.text


class Keeper:
    """Knows one entity, which is appended to."""

    @hookimpl
    def kindling_describe_entity(self, entity_id: str) -> EntityInfo | None:
        return EntityInfo(entity_id, write_mode="append") if entity_id == "a.b" else None


def test_a_pipe_that_appends_is_refused_with_an_option_that_nobody_knows() -> None:
    pipes = Pipes()
    pipes.pipe("a.b", output="a.b", retrys=3)(lambda: None)
    with pytest.raises(PipeDefinitionError, match=r"appends to 'a\.b', and nothing heeds its option 'retrys'"):
        App(environ={}, plugins=[Keeper()]).mount(pipes)


NEEDED = """
from kindling_core import PipeDefinitionError, hookimpl
class Plugin:
    @hookimpl
    def kindling_pipe_options(self):
        return {"vital": "how much it is needed"}
    @hookimpl
    def kindling_check_without(self, pipe):
        if pipe.options["vital"]:
            raise PipeDefinitionError(f"Pipe {pipe.pipe_id!r} needs the feature 'needed'.")
"""


def test_a_feature_outside_the_job_may_refuse_a_pipe_that_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = tmp_path / "needed_feature-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: needed-feature\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[kindling]\nneeded = needed_feature:Plugin\n")
    (tmp_path / "needed_feature.py").write_text(NEEDED)
    monkeypatch.syspath_prepend(tmp_path)
    idle, vital = Pipes(), Pipes()
    idle.pipe("a.idle", vital=False)(lambda: None)
    vital.pipe("a.vital", vital=True)(lambda: None)
    App(environ={}).mount(idle)
    assert "belongs to the feature 'needed', which this job does not name" in caplog.text
    with pytest.raises(PipeDefinitionError, match=r"'a\.vital' needs the feature 'needed'"):
        App(environ={}).mount(vital)


def test_a_collection_that_no_feature_takes_is_an_error() -> None:
    with pytest.raises(ConfigError, match="No active feature takes"):
        App(environ={}).mount(object())


def test_collections_made_in_a_loop_are_all_mounted() -> None:
    app = App(environ={})
    for number in range(50):
        pipes = Pipes()
        pipes.pipe(f"test.p{number}")(lambda: None)
        app.mount(pipes)
        del pipes
    assert len(app.pipes.get_pipe_ids()) == 50


def test_a_collection_is_mounted_once_and_again_when_it_has_grown() -> None:
    app, pipes = App(environ={}), counting_pipes()
    for count in (2, 2, 3):
        if count == 3:
            pipes.pipe("test.later")(lambda: None)
        app.mount(pipes)
        assert len(app.pipes.get_pipe_ids()) == count
    with pytest.raises(PipeDefinitionError, match="Two pipes have the id 'test.p0'"):
        app.mount(counting_pipes())


def test_a_service_that_nobody_offers_is_an_error() -> None:
    with pytest.raises(PluginError, match="No active feature offers Path"):
        App(environ={}).service(Path)


def test_an_output_without_a_feature_that_writes_fails_the_pipe_and_says_what_to_add() -> None:
    pipes = Pipes()
    pipes.pipe("a.b", output="a.b")(lambda: 1)
    with App(environ={}) as app:
        app.mount(pipes)
        with pytest.raises((RunFailed, PlanError), match="a.b"):
            app.run()


def test_secrets_do_not_reach_reports_signals_or_errors() -> None:
    def leak() -> None:
        raise ValueError("cannot log in with swordfish")

    pipes = Pipes()
    pipes.pipe("a.b")(leak)
    heard: list[dict[str, Any]] = []
    app = App(config={"job": {"name": "${DB_PASSWORD}"}}, environ={"DB_PASSWORD": "swordfish"})
    app.signals.on("datapipes.*", lambda sender, **fields: heard.append(fields))
    with app:
        app.mount(pipes)
        with pytest.raises(RunFailed) as failure:
            app.run()
    assert "swordfish" not in str(failure.value)
    assert "swordfish" not in str(failure.value.report.to_dict())
    assert "swordfish" not in str(heard)


def test_a_closed_app_does_not_run() -> None:
    app = App(environ={})
    app.mount(counting_pipes())
    app.close()
    app.close()
    with pytest.raises(KindlingError, match="closed"):
        app.run()


def test_cancelling_ends_the_run_with_a_report() -> None:
    pipes = Pipes()
    app = App(config={"execution": {"max_workers": 1}}, environ={})
    pipes.pipe("a.first")(app.cancel)
    pipes.pipe("a.second")(lambda: None)
    with app:
        app.mount(pipes)
        with pytest.raises(RunFailed) as failure:
            app.run()
    assert [(pipe.pipe_id, pipe.status) for pipe in failure.value.report.pipes] == [
        ("a.first", "succeeded"),
        ("a.second", "skipped"),
    ]
    assert failure.value.report.status == "cancelled"


def test_a_selection_runs_only_what_it_names() -> None:
    with App(environ={}) as app:
        app.mount(counting_pipes(4))
        assert [pipe.pipe_id for pipe in app.run(["tag:odd=1"]).pipes] == ["test.p1", "test.p3"]
