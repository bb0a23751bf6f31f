"""``kindling signals``: every signal of the job, its payload and who emits it."""

from __future__ import annotations

import click
from rich.console import Console

from kindling_core.cli.context import CommandContext
from kindling_core.cli.options import job_options, json_option
from kindling_core.signals.catalogue import catalogue


@click.command()
@click.argument("pattern", required=False)
@json_option
@job_options
@click.pass_obj
def signals(context: CommandContext, pattern: str | None) -> None:
    """Show every signal of the job: its payload, its meaning, and who emits it."""
    from fnmatch import fnmatchcase

    entries = [
        entry for entry in catalogue(context.app().emitters()) if pattern is None or fnmatchcase(entry.name, pattern)
    ]

    def render(console: Console) -> None:
        for entry in entries:
            console.print(f"[bold]{entry.name}[/bold]  ({', '.join(entry.emitters)})")
            console.print(f"  {entry.doc}", markup=False)
            for field in entry.fields:
                console.print(f"    {field.name}: {field.type}  {field.doc}", markup=False)

    context.emit([entry.to_dict() for entry in entries], render)
