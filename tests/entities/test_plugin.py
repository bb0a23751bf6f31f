"""What the feature refuses when a job is composed, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, ConfigError, Pipes
from kindling_core.hooks import hookimpl
from kindling_entities import Entities, EntityDefinitionError, EntityStore, StorageKind
from kindling_entities.providers.memory import MemoryProvider


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


def test_the_built_in_kinds_come_through_the_hooks_and_can_be_replaced(tmp_path: Path) -> None:
    class Replaces:
        @hookimpl
        def kindling_entity_providers(self) -> Any:
            return [StorageKind("json", MemoryProvider, durable=False, located=False)]

    entities = Entities()
    entities.entity("a.b", provider="json", write_mode="merge", keys=["n"])
    app = App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={})
    offered = [kind.name for kinds in app.host.results("kindling_entity_providers") for kind in kinds]
    assert offered == ["delta", "parquet", "csv", "json", "memory"]
    offered = [kind.name for kinds in app.host.results("kindling_engines") for kind in kinds]
    assert offered == ["embedded", "spark", "auto"]
    app.host.manager.register(Replaces())
    app.mount(entities)
    with app:
        store = app.service(EntityStore)
        store.merge_to_entity("a.b", pa.table({"n": [1]}))
        assert store.get_entity_version("a.b") == 0
        assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("provider", ["parquet", "csv", "json"])
def test_a_write_mode_that_a_provider_lacks_is_refused_with_what_it_has(provider: str) -> None:
    entities = Entities()
    entities.entity("a.b", provider=provider, write_mode="merge", keys=["n"])
    told = (
        rf"provider '{provider}' cannot merge. Use write_mode 'overwrite' or 'append', or provider 'delta' or 'memory'"
    )
    with pytest.raises(EntityDefinitionError, match=told):
        mounted(entities)


def test_a_source_needs_a_path_unless_its_kind_has_no_places() -> None:
    entities = Entities()
    entities.source("a.b", provider="memory")
    mounted(entities)
    entities.source("a.c", provider="csv")
    with pytest.raises(EntityDefinitionError, match=r"test_plugin:\d+: entity 'a.c': a source needs path="):
        mounted(entities)
