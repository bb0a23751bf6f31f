"""``kindling watermarks``: how far each pipe has read each source, and how to change that."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from kindling_core.cli import job_options, json_option
from kindling_entities import EntityNotFoundError
from kindling_watermark.commands.opened import declaration_of, declarations, opened, source_of
from kindling_watermark.commands.verify import verify
from kindling_watermark.errors import WatermarkError
from kindling_watermark.lag import lags
from kindling_watermark.reconciling import Reconciler
from kindling_watermark.sources import Sources
from kindling_watermark.trace import look_at

if TYPE_CHECKING:
    from kindling_core.cli import CommandContext


@click.group(invoke_without_command=True)
@json_option
@job_options
@click.pass_context
def watermarks(click_context: click.Context) -> None:
    """List how far each incremental pipe has read each of its sources, and how far it is behind."""
    if click_context.invoked_subcommand is not None:
        return
    context: CommandContext = click_context.obj
    app, store, manager = opened(context)
    found = lags(store, manager.records, declarations(app), datetime.now(timezone.utc))
    rows = [
        [
            one.reader_id,
            one.source_entity_id,
            one.version,
            one.saved_at[:19],
            one.versions,
            one.rows,
            None if one.seconds is None else round(one.seconds),
            one.problem or ("begun, not done" if one.begun else ""),
        ]
        for one in found
    ]
    columns = ["reader", "source", "version", "when (UTC)", "versions behind", "rows", "seconds", "problem"]
    context.emit([asdict(one) for one in found], context.table(columns, rows))


@watermarks.command()
@click.argument("pipe")
@click.argument("source", required=False)
@job_options
@click.pass_obj
def reset(context: CommandContext, pipe: str, source: str | None) -> None:
    """Have PIPE read SOURCE (or all its sources) from the beginning again. An output that is appended to gets the rows
    once more: use `kindling run --full-refresh` to replace them."""
    app, store, manager = opened(context)
    declaration = declaration_of(app, pipe)
    Reconciler(store, manager).reconciled(declaration, anew=True)
    for name in [source_of(declaration, source)] if source else declaration.modes:
        manager.reset_watermark(name, pipe, reason="kindling watermarks reset")
        context.console.print(f"{pipe} reads {name} from the beginning.", markup=False)


@watermarks.command(name="set")
@click.argument("pipe")
@click.argument("source")
@click.argument("version", type=click.IntRange(0))
@job_options
@click.pass_obj
def set_(context: CommandContext, pipe: str, source: str, version: int) -> None:
    """Say that PIPE has read SOURCE up to VERSION."""
    app, store, manager = opened(context)
    declaration = declaration_of(app, pipe)
    source_of(declaration, source)
    newest = store.get_entity_version(source)
    if version > newest:
        raise WatermarkError(f"{source!r} has no version {version}; the newest is {newest}.")
    looks = Sources(store)
    found = look_at(store, declaration.output, pipe, None)
    kept = manager.records.get(pipe)
    if found.newest is not None and found.newest.sequence > kept.state.sequence:
        # Whatever is written next must have a number that the table does not know.
        ahead = replace(kept.state, sequence=found.newest.sequence, committed=found.newest.committed, intent=None)
        manager.records.put(pipe, ahead, kept.version)
    old = manager.records.get(pipe).state.watermarks.get(source)
    manager.save_watermark(source, pipe, version, table_id=looks.table_id(source), mark=looks.mark(source, version))
    manager.tell_reset(source, pipe, old, version, "kindling watermarks set")
    context.console.print(f"{pipe} has read {source} up to version {version}.", markup=False)


@watermarks.command()
@click.argument("selection", nargs=-1)
@job_options
@click.pass_obj
def rebuild(context: CommandContext, selection: tuple[str, ...]) -> None:
    """Read the watermarks of pipes back from the logs of their outputs."""
    app, store, manager = opened(context)
    reconciler = Reconciler(store, manager)
    for declaration in declarations(app, selection):
        reader = declaration.reader_id
        try:
            found = look_at(store, declaration.output, reader, None)
        except EntityNotFoundError:
            continue
        if found.newest is None:
            context.console.print(f"{reader}: {declaration.output} says nothing of it.", markup=False)
            continue
        kept = manager.records.get(reader)
        state = replace(found.newest.state(), sequence=max(found.newest.sequence, kept.state.sequence))
        reconciler.save(declaration, kept, state, f"read back from the log of {declaration.output}")
        told = ", ".join(f"{name} up to version {one.version}" for name, one in state.watermarks.items())
        context.console.print(f"{reader} has read {told}.", markup=False)


watermarks.add_command(verify)
