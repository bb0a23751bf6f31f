"""Plugins without a distribution: objects given to the App, and classes that the job file names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, ConfigError, Pipes, PluginError, Section
from kindling_core.cli.main import run_command_line
from kindling_core.hooks import hookimpl

MODULE = """
import click
from kindling_core import Section, hookimpl


class ShopSection(Section):
    closed: bool = False


@click.command()
def tills():
    "Say hello."
    click.echo("ding")


class Mine:
    name = "shop"

    @hookimpl
    def kindling_config(self):
        return {"shop": ShopSection}

    @hookimpl
    def kindling_start(self, app):
        app.provide(Mine, self)

    @hookimpl
    def kindling_commands(self):
        return [tills]


class Broken:
    def __init__(self):
        raise OSError("no till")


nothing = Mine()
"""


class Greeter:
    def __init__(self, name: str | None = None, started: list[str] | None = None, **attributes: Any) -> None:
        if name is not None:
            self.name = name
        self.started = [] if started is None else started
        for key, value in attributes.items():
            setattr(self, key, value)

    @hookimpl
    def kindling_start(self, app: App) -> None:
        self.started.append(getattr(self, "name", "Greeter"))

    @hookimpl
    def kindling_before_pipe(self, pipe: Any) -> str | None:
        if pipe.options.get("ring"):
            raise OSError("no bell")
        return None

    @hookimpl
    def kindling_pipe_options(self) -> dict[str, str]:
        return {"ring": "ring a bell"}


@pytest.fixture
def job(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, str]:
    """A job file's folder, and a module in it whose name is new, since a process imports a name once."""
    module = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    return tmp_path, module


def composed(job: tuple[Path, str], plugin: str, text: str = "") -> App:
    folder, module = job
    path = folder / "kindling.toml"
    path.write_text(f'[job]\nname = "shop"\nplugins = ["{plugin.format(module=module)}"]\n{text}')
    return App.from_job(path, environ={})


def test_an_object_has_hooks_and_is_no_feature_of_the_job() -> None:
    greeter = Greeter()
    with App(plugins=[greeter], environ={}) as app:
        assert app.features == []
        assert list(app.host.plugins) == greeter.started == ["Greeter"]


def test_objects_start_in_the_order_of_what_they_require() -> None:
    started: list[str] = []
    late = Greeter("late", started, requires=["early"])
    with App(plugins=[late, Greeter("early", started)], environ={}):
        assert started == ["early", "late"]


def test_an_object_that_requires_a_feature_says_so_with_its_class() -> None:
    with pytest.raises(PluginError, match=r"Plugin 'Greeter' \(.*test_own_plugins:Greeter\) requires 'entities'"):
        App(plugins=[Greeter(requires=["entities"])], environ={})


def test_two_objects_of_one_name_are_refused_and_of_two_names_told_apart() -> None:
    with pytest.raises(PluginError, match="Two plugins of this job are named 'Greeter'.*attribute `name`"):
        App(plugins=[Greeter(), Greeter()], environ={})
    pipes = Pipes()
    pipes.pipe("a.b", ring=True)(lambda: None)
    app = App(plugins=[Greeter("one"), Greeter("two")], environ={})
    app.mount(pipes)
    with pytest.raises(
        PluginError, match=r"Plugin 'two' \(.*test_own_plugins:Greeter\) failed in kindling_before_pipe"
    ):
        app.host.call_one("kindling_before_pipe", "two", pipe=app.all_pipes()[0], run=None)


def test_a_class_is_made_an_object_of_for_each_app() -> None:
    one, two = (App(plugins=[Greeter], environ={}).host.manager.get_plugin("Greeter") for _ in range(2))
    assert isinstance(one, Greeter)
    assert one is not two


def test_a_job_file_names_a_class_of_its_own_code(job: tuple[Path, str]) -> None:
    with composed(job, "{module}:Mine", "[shop]\nclosed = true\n") as app:
        assert app.features == []
        assert app.config.section("shop").closed is True
        (mine,) = (plugin for name, plugin in app.host.manager.list_name_plugin() if name == "shop")
        assert app.service(type(mine)) is mine


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("{module}:Mien", r"kindling\.toml:3: job\.plugins: module .* has no class 'Mien'. Did you mean 'Mine'"),
        ("{module}:nothing", "has 'nothing', which is no class"),
        ("{module}", "Write it as module:Class"),
        ("own_nowhere:Mine", r"kindling\.toml:3: no module 'own_nowhere'"),
    ],
)
def test_a_misspelt_plugin_names_its_line(job: tuple[Path, str], plugin: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed(job, plugin)


def test_a_plugin_that_cannot_be_made_is_named_with_its_class(job: tuple[Path, str]) -> None:
    with pytest.raises(PluginError, match=r"Plugin 'Broken' \(own_\d+:Broken\) cannot be set up: OSError: no till"):
        composed(job, "{module}:Broken")


def test_the_command_line_has_the_commands_of_the_jobs_plugins(
    job: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    composed(job, "{module}:Mine").close()
    monkeypatch.chdir(job[0])
    assert run_command_line(["tills"]) == 0
    assert capsys.readouterr().out == "ding\n"
    assert run_command_line(["plugins", "--json"]) == 0
    rows = {row["feature"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["shop"]["active"], rows["shop"]["distribution"]) == (True, f"{job[1]}:Mine")


class Till(Section):
    open: bool = True


class OwnsTill:
    @hookimpl
    def kindling_config(self) -> dict[str, type[Section]]:
        return {"till": Till}


class OwnsTillToo(OwnsTill):
    pass


class OwnsJob:
    @hookimpl
    def kindling_config(self) -> dict[str, type[Section]]:
        return {"job": Till}


def test_two_plugins_that_own_one_section_are_refused_and_named() -> None:
    both = r"own the section \[till\]: 'OwnsTill' \(.*test_own_plugins:OwnsTill\) and 'OwnsTillToo' \(.*:OwnsTillToo\)"
    with pytest.raises(PluginError, match=both):
        App(plugins=[OwnsTill(), OwnsTillToo()], environ={})
    with pytest.raises(PluginError, match=r"own the section \[job\]: 'kindling-core' .* and 'OwnsJob'"):
        App(plugins=[OwnsJob()], environ={})


@pytest.mark.parametrize(("command", "what"), [("nothing", "commands"), ("run", "options")])
def test_own_plugins_that_cannot_be_asked_are_warned_of_by_what_they_are_asked_for(
    command: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kindling.toml").write_text('[job]\nplugins = ["no_such_module:Mine"]\n')
    monkeypatch.chdir(tmp_path)
    run_command_line([command])
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert {line.partition(" of the job's own plugins")[0] for line in warnings} == {f"warning: the {what}"}
