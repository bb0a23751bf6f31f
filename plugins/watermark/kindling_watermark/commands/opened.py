"""What the commands of this plugin have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kindling_core.errors import did_you_mean
from kindling_entities import EntityStore
from kindling_watermark.declare.options import Declaration, declared
from kindling_watermark.errors import WatermarkError
from kindling_watermark.manager import WatermarkManager

if TYPE_CHECKING:
    from kindling_core import App
    from kindling_core.cli import CommandContext


def opened(context: CommandContext) -> tuple[App, EntityStore, WatermarkManager]:
    """The job of a command, started, with its tables and its watermarks."""
    app = context.app()
    app.start()
    return app, app.service(EntityStore), app.service(WatermarkManager)


def declarations(app: App, selection: Sequence[str] = ()) -> list[Declaration]:
    """The incremental pipes of a job, all or those that are selected.

    Raises:
        SelectionError: something selects no pipe.
    """
    chosen = app.select(selection)
    found = [declared(app.pipes.get_pipe_definition(pipe_id)) for pipe_id in chosen]
    return [one for one in found if one is not None]


def declaration_of(app: App, pipe_id: str) -> Declaration:
    """One incremental pipe.

    Raises:
        WatermarkError: there is none of this id.
    """
    known = {one.reader_id: one for one in declarations(app)}
    if pipe_id not in known:
        raise WatermarkError(f"{pipe_id!r} is no incremental pipe of this job.{did_you_mean(pipe_id, known)}")
    return known[pipe_id]


def source_of(declaration: Declaration, source: str) -> str:
    """A source of a pipe.

    Raises:
        WatermarkError: the pipe does not read it incrementally.
    """
    if source not in declaration.modes:
        raise WatermarkError(
            f"Pipe {declaration.reader_id!r} does not read {source!r} incrementally; it reads "
            f"{', '.join(map(repr, declaration.modes))}.{did_you_mean(source, declaration.modes)}"
        )
    return source
