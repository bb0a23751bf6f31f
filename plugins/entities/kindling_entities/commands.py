"""The commands ``kindling entities`` and ``kindling show``."""

from __future__ import annotations

import click

from kindling_core.cli import CommandContext
from kindling_core.cli._context import job_options, json_option
from kindling_entities.store import EntityStore


@click.command()
@json_option
@job_options
@click.pass_obj
def entities(context: CommandContext) -> None:
    """List the entities of the job: how they are kept, and whether they exist."""
    app = context.app()
    app.start()
    store = app.service(EntityStore)
    ids = store.manager.get_entity_ids()
    versions = store.get_entity_versions(ids)
    data = []
    for entity_id in ids:
        entity = store.manager.get_entity_definition(entity_id)
        version = versions[entity_id]
        data.append(
            {
                "entity_id": entity_id,
                "provider": entity.provider,
                "mode": "read only" if entity.read_only else entity.write_mode,
                "keys": list(entity.keys),
                "exists": store.check_entity_exists(entity_id),
                "version": version if isinstance(version, int) else None,
                "location": store.location(entity_id),
            }
        )
    columns = ["entity_id", "provider", "mode", "keys", "exists", "version", "location"]
    context.emit(data, context.table(columns, [[row[name] for name in columns] for row in data]))


@click.command()
@click.argument("entity")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="At most this many rows.")
@click.option("--version", type=click.IntRange(0), help="The table as of this version.")
@json_option
@job_options
@click.pass_obj
def show(context: CommandContext, entity: str, limit: int, version: int | None) -> None:
    """Print rows of an entity."""
    app = context.app()
    app.start()
    store = app.service(EntityStore)
    frame = store.read_entity(entity, version=version).limit(limit)
    table = store.engine.to_reader(frame).read_all()
    rows = table.to_pylist()
    context.emit(rows, context.table(table.column_names, [list(row.values()) for row in rows]))
