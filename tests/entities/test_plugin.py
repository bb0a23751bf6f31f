"""What the feature refuses when a job is composed, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, ConfigError
from kindling_core.hooks import hookimpl
from kindling_entities import Entities, EntityDefinitionError


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
