"""``kindling watermarks verify``: the proof that increments gave what whole inputs give."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kindling_core.cli import job_options, json_option
from kindling_entities.temporary import own_folder
from kindling_watermark.commands.opened import declarations, opened
from kindling_watermark.proof import SIDES, Prover
from kindling_watermark.run.work import Works

if TYPE_CHECKING:
    from kindling_core.cli import CommandContext


@click.command()
@click.argument("selection", nargs=-1)
@json_option
@job_options
@click.pass_obj
def verify(context: CommandContext, selection: tuple[str, ...]) -> None:
    """Compute incremental outputs anew from their whole inputs, beside the real ones, and compare every row.

    Inputs are taken as far as they were read. Exit status 1 if anything differs.
    """
    app, store, manager = opened(context)
    store.engine.activate()
    with own_folder("verify") as temporary:
        prover = Prover(app, store, app.service(Works), temporary.path)
        found = [prover.prove(one, manager.records.get(one.reader_id).state) for one in declarations(app, selection)]
    rows = [
        [
            one.reader_id,
            one.entity_id,
            *one.rows,
            "; ".join([*(one.differences or _equal(one.rows)), one.note]).strip("; "),
        ]
        for one in found
    ]
    titles = ["reader", "output", *(f"rows {side}" for side in SIDES), "result"]
    context.emit([asdict(one) for one in found], context.table(titles, rows))
    different = [one.entity_id for one in found if one.differences]
    if different:
        message = (
            f"{len(different)} of {len(found)} outputs are not what their whole inputs give: {', '.join(different)}."
        )
        context.messages.print(message, markup=False)
        raise click.exceptions.Exit(1)


def _equal(rows: tuple[int | None, int | None]) -> list[str]:
    return ["equal"] if rows[0] is not None else ["not compared"]
