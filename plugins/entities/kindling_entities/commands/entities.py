"""The commands ``kindling entities``, ``show``, ``migrate`` and ``maintain``."""

from __future__ import annotations

from typing import Any

import click

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_entities.commands.opened_store import opened_store
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX
from kindling_entities.errors import CorruptTableError, StorageError
from kindling_entities.store import EntityStore


@click.command()
@json_option
@job_options
@click.pass_obj
def entities(context: CommandContext) -> None:
    """List the entities of the job: declared against actual."""
    store = opened_store(context)
    ids = [*store.manager.get_entity_ids(), *store.tables.left_quarantines()]
    versions = store.get_entity_versions(ids)
    tables = set(store.tables.ids())
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
    from kindling_entities.declare.types import type_name
    from kindling_entities.write.migration import compare

    entity = store.manager.get_entity_definition(entity_id)
    damaged = store.tables.damage(entity_id)
    readable = isinstance(version, int) or not damaged
    exists = store.check_entity_exists(entity_id) if readable else True
    actual = None
    if exists and readable:
        try:
            actual = store.tables.describe(entity_id)
        except (CorruptTableError, StorageError) as error:
            damaged = damaged or [str(error)]
    drift = compare(entity, actual) if is_table and actual is not None else None
    return {
        "entity_id": entity_id,
        "provider": store.kind(entity_id).name,
        "mode": "read only" if entity.read_only else entity.write_mode,
        "keys": list(entity.keys),
        "exists": exists,
        "version": version if isinstance(version, int) else None,
        "rows": actual.rows if actual else None,
        "size_bytes": actual.size_bytes if actual else None,
        "columns": {field.name: type_name(field.type) for field in actual.schema} if actual else dict(entity.columns),
        "drift": [*drift.steps, *drift.conflicts] if drift else [],
        "location": store.location(entity_id),
        "damage": damaged,
    }
