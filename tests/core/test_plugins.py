from __future__ import annotations

from typing import Any

import pytest
from importlib_metadata import EntryPoint

from kindling_core.errors import PluginError
from kindling_core.hooks import hookimpl
from kindling_core.plugins import Feature, PluginHost


class Base:
    @hookimpl
    def kindling_start(self, app: Any) -> None:
        app.append("base")


class Dependent:
    requires = ("base",)

    @hookimpl
    def kindling_start(self, app: Any) -> None:
        app.append("dependent")

    @hookimpl
    def kindling_stop(self, app: Any) -> None:
        raise ValueError("cannot stop")


class Circular:
    requires = ("circular_too",)


class CircularToo:
    requires = ("circular",)


class Misspelt:
    @hookimpl
    def kindling_strat(self, app: Any) -> None:
        raise AssertionError("never called")


def feature(name: str, value: str) -> Feature:
    return Feature(name, f"dist-{name}", "1.0", EntryPoint(name=name, value=value, group="kindling"))


@pytest.fixture
def available() -> dict[str, Feature]:
    module = __name__
    pairs = {
        "base": "Base",
        "dependent": "Dependent",
        "circular": "Circular",
        "circular_too": "CircularToo",
        "misspelt": "Misspelt",
    }
    found = {name: feature(name, f"{module}:{attribute}") for name, attribute in pairs.items()}
    found["broken"] = feature("broken", "no_such_module_anywhere:Plugin")
    return found


def test_required_features_start_first_whatever_the_job_order(available: dict[str, Feature]) -> None:
    host = PluginHost.compose(["dependent", "base"], available)
    started: list[str] = []
    for name in host.features:
        host.call_one("kindling_start", name, app=started)
    assert list(host.features) == started == ["base", "dependent"]


def test_a_feature_that_is_not_installed_says_how_to_install_it(available: dict[str, Feature]) -> None:
    with pytest.raises(PluginError, match=r"'water_mark' is not installed.*pip install kindling-water-mark"):
        PluginHost.compose(["water_mark"], available)


def test_a_misspelt_feature_gets_near_matches(available: dict[str, Feature]) -> None:
    with pytest.raises(PluginError, match="Did you mean 'base'"):
        PluginHost.compose(["bsae"], available)


def test_a_requirement_that_the_job_does_not_name_is_an_error(available: dict[str, Feature]) -> None:
    with pytest.raises(PluginError, match="'dependent' requires 'base'. Add 'base' to the job's features"):
        PluginHost.compose(["dependent"], available)


def test_a_requirement_that_is_not_installed_says_how_to_install_it(available: dict[str, Feature]) -> None:
    del available["base"]
    with pytest.raises(PluginError, match="pip install kindling-base"):
        PluginHost.compose(["dependent"], available)


def test_a_feature_named_twice_is_an_error(available: dict[str, Feature]) -> None:
    with pytest.raises(PluginError, match="named twice"):
        PluginHost.compose(["base", "base"], available)


def test_circular_requirements_are_named(available: dict[str, Feature]) -> None:
    with pytest.raises(PluginError, match="circular, circular_too"):
        PluginHost.compose(["circular", "circular_too"], available)


def test_a_plugin_that_does_not_import_is_named_with_its_distribution(available: dict[str, Feature]) -> None:
    with pytest.raises(PluginError, match="'broken' of dist-broken 1.0 does not import"):
        PluginHost.compose(["broken"], available)


def test_a_hook_that_does_not_exist_is_an_error(available: dict[str, Feature]) -> None:
    with pytest.raises(PluginError, match="kindling_strat"):
        PluginHost.compose(["misspelt"], available)


def test_a_hook_that_raises_names_the_plugin(available: dict[str, Feature]) -> None:
    host = PluginHost.compose(["base", "dependent"], available)
    with pytest.raises(PluginError, match=r"'dependent' \(dist-dependent\) failed in kindling_stop: ValueError"):
        host.call("kindling_stop", app=None)


def test_each_host_has_plugin_objects_of_its_own(available: dict[str, Feature]) -> None:
    one, two = (PluginHost.compose(["base"], available) for _ in range(2))
    assert one.manager.get_plugin("base") is not two.manager.get_plugin("base")


def test_the_trace_variable_prints_each_hook_call(
    available: dict[str, Feature], capsys: pytest.CaptureFixture[str]
) -> None:
    host = PluginHost.compose(["base"], available, {"KINDLING_TRACE_PLUGINS": "1"})
    host.call("kindling_start", app=[])
    assert "kindling: kindling_start(app=<list>) -> base" in capsys.readouterr().err
