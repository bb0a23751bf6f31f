"""The documentation says what the code does."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import kindling_core
import kindling_entities
from kindling_core import App, hooks
from kindling_core.cli.main import cli
from kindling_core.core_plugin import CorePlugin
from kindling_core.signals.catalogue import catalogue
from kindling_entities import StorageProvider, storage

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def hook_names() -> list[str]:
    return [name for name in vars(hooks) if name.startswith("kindling_")]


@pytest.mark.parametrize("name", hook_names())
def test_each_hook_is_documented_with_its_arguments(name: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hooks, name)).parameters)
    assert f"`{name}({arguments})`" in (DOCS / "writing-a-plugin.md").read_text()


def test_the_signal_reference_is_made_from_the_code() -> None:
    spec = importlib.util.spec_from_file_location("signal_reference", ROOT / "tools" / "signal_reference.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    message = "out of date: run `python tools/signal_reference.py`"
    assert (DOCS / "signal_quick_reference.md").read_text() == tool.reference(), message


def test_every_signal_field_has_a_meaning() -> None:
    entries = catalogue(App(features=["entities"], environ={}).emitters())
    assert [f"{entry.name}.{field.name}" for entry in entries for field in entry.fields if not field.doc] == []


def test_every_setting_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text()
    settings = App(features=["entities"], environ={}).config.settings()
    assert [setting.key for setting in settings if f"`{setting.key}`" not in text] == []


def test_every_command_is_documented() -> None:
    text = (DOCS / "command-line.md").read_text()
    own = {"heartbeat", "pulse"}
    with cli.make_context("kindling", ["plugins"]) as context:
        commands = set(cli.list_commands(context)) - own
    core = {command.name for command in CorePlugin().kindling_commands()}
    assert core <= commands
    assert {"entities", "show", "migrate", "maintain", "verify"} <= commands
    assert [name for name in sorted(core | {"entities", "show"}) if f"`kindling {name}" not in text] == []


def test_every_environment_variable_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text()
    source = "".join(path.read_text() for path in (ROOT / "kindling_core").rglob("*.py"))
    named = {name for name in re.findall(r'"(KINDLING_[A-Z_]+)"', source) if not name.endswith("_")}
    assert named == {"KINDLING_JOB", "KINDLING_LOAD_PLUGINS", "KINDLING_TRACE_PLUGINS"}
    assert [name for name in named if name not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_parse_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        ast.parse(block)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    "kind",
    [
        kindling_core.PipeMetadata,
        kindling_core.RunInfo,
        kindling_core.Continuation,
        kindling_core.ReadRequest,
        kindling_core.VersionRange,
        kindling_core.WriteRequest,
        kindling_core.WriteResult,
        kindling_core.EntityInfo,
        kindling_core.ExecutionPlan,
        kindling_core.Check,
        kindling_entities.Commit,
        kindling_entities.Transaction,
        kindling_entities.StorageKind,
        kindling_entities.EngineKind,
        kindling_entities.TableInfo,
        kindling_entities.Upkeep,
    ],
)
def test_what_hooks_and_providers_exchange_is_documented_field_by_field(kind: type[Any]) -> None:
    text = (DOCS / "writing-a-plugin.md").read_text()
    names = [field.name for field in dataclasses.fields(kind)]
    assert [name for name in (kind.__name__, *names) if f"`{name}`" not in text] == []


def test_the_methods_of_a_storage_provider_are_documented_with_their_arguments() -> None:
    text = (DOCS / "writing-a-plugin.md").read_text()
    for name in ("read", "write", "ensure", "exists", "versions"):
        parameters = inspect.signature(getattr(StorageProvider, name)).parameters.values()
        plain = [one for one in parameters if one.name != "self" and one.kind is not one.KEYWORD_ONLY]
        named = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
        told = [_told(one) for one in plain] + (["*", *map(_told, named)] if named else [])
        assert f"`{name}({', '.join(told)})`" in text


@pytest.mark.parametrize("kind", [storage.TransactionalStorage, storage.TableStorage, storage.RowStorage])
def test_what_storage_may_do_besides_is_documented_with_its_arguments(kind: type[Any]) -> None:
    text = (DOCS / "writing-a-plugin.md").read_text()
    methods = [function for name, function in inspect.getmembers(kind, inspect.isfunction) if name[0] != "_"]
    assert methods
    for function in methods:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        told = [_told(one) for one in parameters if one.kind is not one.KEYWORD_ONLY]
        named = [_told(one) for one in parameters if one.kind is one.KEYWORD_ONLY]
        assert f"`{function.__name__}({', '.join([*told, *(['*', *named] if named else [])])})`" in text


def _told(parameter: inspect.Parameter) -> str:
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"
