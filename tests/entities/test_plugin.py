"""What the feature refuses when a job is composed, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, ConfigError, Pipes
from kindling_core.hooks import hookimpl
from kindling_entities import Entities, EntityDefinitionError, EntityStore


def mounted(entities: Entities, **settings: Any) -> App:
    app = App(["entities"], {"entities": {"root": "lake", **settings}}, environ={})
    app.mount(entities)
    return app


def test_an_unknown_provider_is_refused_with_its_line_and_near_matches() -> None:
    entities = Entities()
    entities.entity("a.b", provider="delt")
    with pytest.raises(EntityDefinitionError, match=r"test_plugin:\d+: entity 'a.b': unknown provider 'delt'.*'delta'"):
        mounted(entities)


def test_an_unknown_column_type_is_refused_with_its_line_and_column() -> None:
    entities = Entities()
    entities.entity("a.b", columns={"n": "bigin"})
    with pytest.raises(EntityDefinitionError, match=r"test_plugin:\d+: entity 'a.b': Column 'n': 'bigin' is not a"):
        mounted(entities)


@pytest.mark.parametrize("provider", ["parquet", "csv", "json", "memory"])
def test_partitions_of_a_provider_that_keeps_none_are_refused(provider: str) -> None:
    entities = Entities()
    entities.entity("a.b", provider=provider, partition_columns=["day"], overwrite_scope="partitions")
    with pytest.raises(
        EntityDefinitionError, match=rf"test_plugin:\d+: entity 'a.b': provider '{provider}' keeps no par"
    ):
        mounted(entities)


def test_an_unknown_engine_is_refused_before_the_app_starts(tmp_path: Path) -> None:
    entities = Entities()
    entities.entity("a.b")
    with pytest.raises(ConfigError, match=r"unknown engine 'embeded'.*'embedded'"):
        mounted(entities, engine="embeded")


def test_options_of_a_contributed_provider_are_checked_if_it_names_them() -> None:
    class Vault:
        options = frozenset({"key"})

    class Contributes:
        @hookimpl
        def kindling_entity_providers(self) -> dict[str, Any]:
            return {"vault": Vault}

    entities = Entities()
    entities.entity("a.b", provider="vault", options={"kee": 1})
    app = App(["entities"], {"entities": {"root": "lake"}}, environ={})
    app.host.manager.register(Contributes())
    with pytest.raises(EntityDefinitionError, match="has no option 'kee'.*'key'"):
        app.mount(entities)


def test_collections_made_in_a_loop_are_all_mounted() -> None:
    app = App(["entities"], environ={})
    for number in range(50):
        entities = Entities()
        entities.entity(f"test.e{number}")
        app.mount(entities)
        del entities
    assert len([one for ids in app.host.results("kindling_entity_ids") for one in ids]) == 50


def test_a_collection_that_has_grown_is_mounted_again_and_another_of_its_ids_refused() -> None:
    app, entities = App(["entities"], environ={}), Entities()
    entities.entity("test.a")
    for _ in range(2):
        app.mount(entities)
    entities.entity("test.b")
    app.mount(entities)
    assert [one for ids in app.host.results("kindling_entity_ids") for one in ids] == ["test.a", "test.b"]
    other = Entities()
    other.entity("test.a")
    with pytest.raises(EntityDefinitionError, match="Two entities have the id 'test.a'"):
        app.mount(other)


class WritesFirst:
    """Adds a row before each run."""

    requires = ("entities",)

    @hookimpl
    def kindling_start(self, app: App) -> None:
        self.store = app.service(EntityStore)

    @hookimpl
    def kindling_before_run(self) -> None:
        self.store.append_to_entity("t.source", pa.table({"id": [1]}))


def test_versions_are_pinned_after_every_feature_has_prepared_the_run(tmp_path: Path) -> None:
    entities, pipes, counts = Entities(), Pipes(), []
    entities.entity("t.source", write_mode="append")
    pipes.pipe("t.count", inputs=["t.source"])(lambda t_source: counts.append(t_source.count()))
    config = {"entities": {"root": str(tmp_path)}}
    with App(["entities"], config, plugins=[WritesFirst()], environ={}) as app:
        app.mount(entities, pipes)
        versions = [dict(app.run().pipe("t.count").versions_read) for _ in range(2)]
    assert counts == [1, 2]
    assert versions == [{"t.source": 0}, {"t.source": 1}]
