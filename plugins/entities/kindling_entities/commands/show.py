"""``kindling show``: rows of an entity."""

from __future__ import annotations

import click

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_entities.commands.opened_store import opened_store


@click.command()
@click.argument("entity")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="At most this many rows.")
@click.option("--version", type=click.IntRange(0), help="The table as of this version.")
@json_option
@job_options
@click.pass_obj
def show(context: CommandContext, entity: str, limit: int, version: int | None) -> None:
    """Print rows of an entity."""
    store = opened_store(context)
    frame = store.read_entity(entity, version=version).limit(limit)
    table = store.engine.to_reader(frame).read_all()
    rows = table.to_pylist()
    context.emit(rows, context.table(table.column_names, [list(row.values()) for row in rows]))
