"""Extension points of the entities plugin: further kinds of storage, further engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from kindling_core.hooks import hookimpl, hookspec

if TYPE_CHECKING:
    from kindling_core.app import App
    from kindling_entities.protocols import Engine, StorageProvider

__all__ = ["hookimpl", "hookspec", "kindling_engines", "kindling_entity_providers"]


@hookspec
def kindling_entity_providers() -> Mapping[str, Callable[[Engine], StorageProvider]]:
    """Called once per App. Return your kinds of storage: provider name -> factory."""
    return {}


@hookspec
def kindling_engines() -> Mapping[str, Callable[[App], Engine]]:
    """Called once per App. Return your engines: name in ``[entities] engine`` -> factory."""
    return {}
