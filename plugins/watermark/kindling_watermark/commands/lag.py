"""``kindling lag``: how far incremental pipes are behind, for monitors."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import click

from kindling_core.cli import job_options, json_option
from kindling_core.cli.age import Age
from kindling_watermark.commands.opened import declarations, opened
from kindling_watermark.lag import lags

if TYPE_CHECKING:
    from kindling_core.cli import CommandContext


@click.command()
@click.argument("selection", nargs=-1)
@click.option("--fail-over", type=Age(), metavar="AGE", help="Fail if a pipe is behind by more than this, such as 1h.")
@json_option
@job_options
@click.pass_obj
def lag(context: CommandContext, selection: tuple[str, ...], fail_over: timedelta | None) -> None:
    """Show how far incremental pipes are behind their sources: commits, rows, and seconds since the oldest of them."""
    app, store, manager = opened(context)
    found = lags(store, manager.records, declarations(app, selection), datetime.now(timezone.utc))
    rows = [
        [
            one.reader_id,
            one.source_entity_id,
            one.versions,
            one.rows,
            None if one.seconds is None else round(one.seconds),
            one.problem,
        ]
        for one in found
    ]
    titles = ["reader", "source", "versions", "rows", "seconds", "problem"]
    context.emit([asdict(one) for one in found], context.table(titles, rows))
    if fail_over is None:
        return
    limit = fail_over.total_seconds()
    late = [one for one in found if one.problem or (one.seconds is not None and one.seconds > limit)]
    if late:
        told = ", ".join(f"{one.reader_id} ({one.source_entity_id})" for one in late)
        message = f"{len(late)} of {len(found)} are behind by more than {limit:g} s, or cannot go on: {told}."
        context.messages.print(message, markup=False)
        raise click.exceptions.Exit(1)
