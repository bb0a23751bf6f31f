"""``kindling doctor`` speaks of the job's own engine and kinds of storage, by what they say of themselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, Check, ConfigError
from kindling_core.hooks import hookimpl
from kindling_entities import EngineKind, Entities, StorageKind


def found(app: App) -> dict[str, Check]:
    return {one.subject: one for checks in app.host.results("kindling_checks", app=app) for one in checks}


def app_of(tmp_path: Path, plugin: object | None = None, **settings: Any) -> App:
    app = App(["entities"], {"entities": {"root": str(tmp_path / "lake"), **settings}}, environ={})
    if plugin is not None:
        app.host.manager.register(plugin)
    return app


class Offers:
    """An engine and a kind of storage of a third party."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    @hookimpl
    def kindling_engines(self) -> Iterable[EngineKind]:
        def checks(app: App | None) -> Iterable[Check]:
            self.asked.append(app)
            return [Check("warning", "steam", "the boiler is cold", "Light it.")]

        return [EngineKind("steam", self.make, checks=checks)]

    @hookimpl
    def kindling_entity_providers(self) -> Iterable[StorageKind]:
        return [StorageKind("vault", self.make, checks=lambda places: [Check("ok", "vault", ", ".join(places))])]

    def make(self, *arguments: object) -> Any:
        raise AssertionError("doctor starts nothing")


def test_java_is_asked_for_where_the_job_uses_spark_and_nowhere_else(tmp_path: Path) -> None:
    embedded, spark = found(app_of(tmp_path)), found(app_of(tmp_path, engine="spark"))
    assert {"pysail", "deltalake", "pyarrow"} <= set(embedded)
    assert not {"java", "delta-spark", "delta jar"} & set(embedded)
    assert {"java", "delta-spark", "pyarrow"} <= set(spark)
    assert "pysail" not in spark
    remote = found(app_of(tmp_path, engine="spark", spark={"remote": "sc://cluster:15002"}))
    assert "delta-spark" in remote
    assert "java" not in remote


def test_auto_is_asked_as_the_engine_that_it_would_take(tmp_path: Path) -> None:
    assert "pysail" in found(app_of(tmp_path, engine="auto"))


def test_an_engine_and_a_kind_of_storage_of_others_are_asked(tmp_path: Path) -> None:
    plugin, entities = Offers(), Entities()
    app = app_of(tmp_path, plugin, engine="steam")
    entities.entity("t.a", provider="vault")
    entities.entity("t.b")
    app.mount(entities)
    checks = found(app)
    assert checks["steam"].advice == "Light it."
    assert plugin.asked == [app]
    assert checks["vault"].message == "t.a"
    assert "pysail" not in checks


def test_without_a_job_the_engine_of_a_job_that_names_none_is_asked() -> None:
    from kindling_entities.plugin import EntitiesPlugin

    assert "pysail" in [one.subject for one in EntitiesPlugin().kindling_checks(app=None)]


def test_an_engine_of_others_that_knows_no_catalogs_is_refused_one(tmp_path: Path) -> None:
    entities = Entities()
    entities.entity("t.a")
    with pytest.raises(ConfigError, match="the steam engine knows no catalogs; set engine to 'spark' or 'auto'"):
        app_of(tmp_path, Offers(), engine="steam", catalog="main").mount(entities)
