"""The store of a job's entities, for commands."""

from __future__ import annotations

from kindling_core.cli import CommandContext
from kindling_entities.store import EntityStore


def opened_store(context: CommandContext) -> EntityStore:
    app = context.app()
    app.start()
    return app.service(EntityStore)
