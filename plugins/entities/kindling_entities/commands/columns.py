"""The command ``kindling columns``: the types that a source could declare."""

from __future__ import annotations

import click

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_entities.store import EntityStore


@click.command()
@click.argument("source")
@json_option
@job_options
@click.pass_obj
def columns(context: CommandContext, source: str) -> None:
    """Print the columns={...} of a csv or json source, to paste into its declaration.

    Reads the whole source. A type is chosen only if every value prints back as it came; all else is string. Declared
    types stay.
    """
    app = context.app()
    app.start()
    found = _found(app.service(EntityStore), source)
    width = 88
    line = "columns={" + ", ".join(f'"{_escaped(name)}": "{kind}"' for name, kind in found.items()) + "},"
    if len(line) > width:
        rows = "".join(f'    "{_escaped(name)}": "{kind}",\n' for name, kind in found.items())
        line = "columns={\n" + rows + "},"
    context.emit(found, lambda console: click.echo(line))


def _found(store: EntityStore, entity_id: str) -> dict[str, str]:
    from kindling_entities.declare.types import type_name

    schema = store.infer(entity_id)
    return {field.name: type_name(field.type) for field in schema}


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
