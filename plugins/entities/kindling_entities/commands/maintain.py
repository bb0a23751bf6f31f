"""``kindling maintain``: compacts, orders and vacuums tables."""

from __future__ import annotations

import click

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_entities.commands.opened_store import opened_store


@click.command()
@click.argument("selection", nargs=-1)
@click.option("--dry-run/--apply", default=True, help="Show what would be done (the default), or do it.")
@json_option
@job_options
@click.pass_obj
def maintain(context: CommandContext, selection: tuple[str, ...], dry_run: bool) -> None:
    """Compact, order and vacuum tables by their declared policy: ids, patterns or tag:x; all without any."""
    store = opened_store(context)
    data = []
    for entity_id in store.tables.ids(selection):
        if not store.check_entity_exists(entity_id):
            continue
        done = store.tables.maintain(entity_id, dry_run=dry_run)
        data.append(
            {
                "entity_id": entity_id,
                "files_compacted": done.files_compacted,
                "files_written": done.files_written,
                "files_removed": list(done.files_removed),
                "version": done.version,
            }
        )
    columns = ["entity_id", "files_compacted", "files_written", "files_removed", "version"]
    rows = [[len(row[name]) if name == "files_removed" else row[name] for name in columns] for row in data]  # type: ignore[arg-type]
    context.emit(data, context.table(columns, rows))
    if dry_run:
        context.messages.print("Nothing was changed. Run it again with --apply.")
