"""The commands ``kindling entities``, ``show``, ``migrate`` and ``maintain``."""

from __future__ import annotations

from typing import Any

import click

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_entities.errors import CorruptTableError
from kindling_entities.expectations import QUARANTINE_SUFFIX
from kindling_entities.store import EntityStore


def _store(context: CommandContext) -> EntityStore:
    app = context.app()
    app.start()
    return app.service(EntityStore)


@click.command()
@json_option
@job_options
@click.pass_obj
def entities(context: CommandContext) -> None:
    """List the entities of the job: declared against actual."""
    store = _store(context)
    ids = [*store.manager.get_entity_ids(), *store.left_quarantines()]
    versions = store.get_entity_versions(ids)
    tables = set(store.tables())
    data = [_row(store, entity_id, versions[entity_id], entity_id in tables) for entity_id in ids]
    for row in data:
        row["damage"] = [context.redact(found) for found in row["damage"]]
    rows = {row["entity_id"]: row["rows"] for row in data}
    for row in data:
        row["quarantined"] = rows.get(row["entity_id"] + QUARANTINE_SUFFIX)
    columns = ["entity_id", "provider", "mode", "keys", "exists", "version", "rows", "quarantined", "size_bytes"]
    columns += ["columns", "drift"]
    columns += ["damage"] if any(row["damage"] for row in data) else []
    shown = [[len(row[name]) if name == "columns" else row[name] for name in columns] for row in data]
    context.emit(data, context.table(columns, shown))


def _row(store: EntityStore, entity_id: str, version: int | Exception, is_table: bool) -> dict[str, Any]:
    from kindling_entities.migration import compare
    from kindling_entities.schema import type_name

    entity = store.manager.get_entity_definition(entity_id)
    damaged = store.damage(entity_id)
    readable = isinstance(version, int) or not damaged
    exists = store.check_entity_exists(entity_id) if readable else True
    actual = None
    if exists and readable:
        try:
            actual = store.describe(entity_id)
        except CorruptTableError as error:
            damaged = damaged or [str(error)]
    drift = compare(entity, actual) if is_table and actual is not None else None
    return {
        "entity_id": entity_id,
        "provider": store.kind(entity),
        "mode": "read only" if entity.read_only else entity.write_mode,
        "keys": list(entity.keys),
        "exists": exists,
        "version": version if isinstance(version, int) else None,
        "rows": actual.rows if actual else None,
        "size_bytes": actual.size_bytes if actual else None,
        "columns": {one.name: type_name(one.type) for one in actual.schema} if actual else dict(entity.columns),
        "drift": [*drift.steps, *drift.conflicts] if drift else [],
        "location": store.location(entity_id),
        "damage": damaged,
    }


@click.command()
@click.argument("entity")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="At most this many rows.")
@click.option("--version", type=click.IntRange(0), help="The table as of this version.")
@json_option
@job_options
@click.pass_obj
def show(context: CommandContext, entity: str, limit: int, version: int | None) -> None:
    """Print rows of an entity."""
    store = _store(context)
    frame = store.read_entity(entity, version=version).limit(limit)
    table = store.engine.to_reader(frame).read_all()
    rows = table.to_pylist()
    context.emit(rows, context.table(table.column_names, [list(row.values()) for row in rows]))


@click.command()
@click.argument("selection", nargs=-1)
@click.option("--plan/--apply", "only_plan", default=True, help="Show what would be done (the default), or do it.")
@json_option
@job_options
@click.pass_obj
def migrate(context: CommandContext, selection: tuple[str, ...], only_plan: bool) -> None:
    """Bring real tables to what is declared: ids, patterns or tag:x; all without any."""
    from kindling_entities.migration import to_dict

    store = _store(context)
    data = []
    for entity_id in store.tables(selection):
        drift = store.drift(entity_id)
        if drift:
            version = None if only_plan else store.migrate(entity_id, drift)
            data.append({"entity_id": entity_id, **to_dict(drift), "version": version})
    rows = [[row["entity_id"], "; ".join(row["steps"]), "; ".join(row["conflicts"]), row["version"]] for row in data]
    context.emit(data, context.table(["entity_id", "would do" if only_plan else "done", "by hand", "version"], rows))
    if only_plan and any(row["steps"] for row in data):
        context.messages.print("Nothing was changed. Run it again with --apply.")


@click.command()
@click.argument("selection", nargs=-1)
@click.option("--dry-run/--apply", default=True, help="Show what would be done (the default), or do it.")
@json_option
@job_options
@click.pass_obj
def maintain(context: CommandContext, selection: tuple[str, ...], dry_run: bool) -> None:
    """Compact, order and vacuum tables by their declared policy: ids, patterns or tag:x; all without any."""
    store = _store(context)
    data = []
    for entity_id in store.tables(selection):
        if not store.check_entity_exists(entity_id):
            continue
        done = store.maintain(entity_id, dry_run=dry_run)
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
