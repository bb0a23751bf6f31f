"""``kindling backfill``: versions of a source through a pipe once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kindling_core.cli import job_options
from kindling_watermark.backfill import Backfill
from kindling_watermark.commands.opened import declaration_of, opened, source_of
from kindling_watermark.errors import WatermarkError
from kindling_watermark.ranges.decisions import told

if TYPE_CHECKING:
    from kindling_core.cli import CommandContext


@click.command()
@click.argument("pipe")
@click.option("--from", "first", type=click.IntRange(0), required=True, help="The first version of the source.")
@click.option("--to", "last", type=click.IntRange(0), required=True, help="The last version of the source.")
@click.option("--source", help="The source, where the pipe has several.")
@click.option("--slice", "size", type=click.IntRange(1), help="So many versions at a time, each a commit of its own.")
@job_options
@click.pass_obj
def backfill(context: CommandContext, pipe: str, first: int, last: int, source: str | None, size: int | None) -> None:
    """Run versions of a source through PIPE once more, beside its own progress. Called again, it goes on."""
    app, store, _ = opened(context)
    declaration = declaration_of(app, pipe)
    if source is None and len(declaration.modes) > 1:
        raise WatermarkError(f"Pipe {pipe!r} has several sources: give --source, of {', '.join(declaration.modes)}.")
    name = source_of(declaration, source or next(iter(declaration.modes)))
    store.engine.activate()
    written = 0
    for one in Backfill(app, declaration, name, first, last, size).run():
        written += 1
        rows = "rows" if one.rows is None else f"{one.rows} rows"
        context.console.print(f"{told(name, one.range, declaration.modes[name])}: {rows} written", markup=False)
    if not written:
        context.console.print("Nothing is left to do.", markup=False)
