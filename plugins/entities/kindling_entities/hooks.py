"""Extension points of the entities plugin: kinds of storage, and engines. Its own are registered here, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindling_core.hooks import hookimpl, hookspec

if TYPE_CHECKING:
    from kindling_entities.kinds import EngineKinds, StorageKinds

__all__ = ["hookimpl", "hookspec", "kindling_engines", "kindling_entity_providers"]


@hookspec
def kindling_entity_providers() -> StorageKinds:
    """Called while the App is composed, and as it starts. Return your kinds of storage, or name -> factory."""
    return ()


@hookspec
def kindling_engines() -> EngineKinds:
    """Called while the App is composed, and as it starts. Return your engines, or name -> factory."""
    return ()
