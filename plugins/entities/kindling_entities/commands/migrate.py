"""``kindling migrate``: brings real tables to what is declared."""

from __future__ import annotations

import click

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_entities.commands.opened_store import opened_store


@click.command()
@click.argument("selection", nargs=-1)
@click.option("--plan/--apply", "only_plan", default=True, help="Show what would be done (the default), or do it.")
@json_option
@job_options
@click.pass_obj
def migrate(context: CommandContext, selection: tuple[str, ...], only_plan: bool) -> None:
    """Bring real tables to what is declared: ids, patterns or tag:x; all without any."""
    from kindling_entities.write.migration import to_dict

    store = opened_store(context)
    data = []
    for entity_id in store.tables.ids(selection):
        drift = store.tables.drift(entity_id)
        if drift:
            version = None if only_plan else store.tables.migrate(entity_id, drift)
            data.append({"entity_id": entity_id, **to_dict(drift), "version": version})
    rows = [[row["entity_id"], "; ".join(row["steps"]), "; ".join(row["conflicts"]), row["version"]] for row in data]
    context.emit(data, context.table(["entity_id", "would do" if only_plan else "done", "by hand", "version"], rows))
    if only_plan and any(row["steps"] for row in data):
        context.messages.print("Nothing was changed. Run it again with --apply.")
