"""What a run prints at its end: the table of its pipes, and each failure."""

from __future__ import annotations

import traceback
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from kindling_core.app import App
from kindling_core.cli.context import CommandContext
from kindling_core.cli.output import printable
from kindling_core.errors import RunFailed, text_of
from kindling_core.logs import say
from kindling_core.run.report import RunReport


def print_report(console: Console, report: RunReport) -> None:
    if not console.is_terminal:
        click.echo(printable(str(report)))
        return
    styles = {"succeeded": "green", "failed": "red", "skipped": "yellow", "cancelled": "yellow"}
    table = Table("pipe", "status", "rows", "seconds", box=None, header_style="bold", pad_edge=False)
    table.columns[2].justify = table.columns[3].justify = "right"
    for pipe in report.pipes:
        status = f"[{styles.get(pipe.status, 'white')}]{pipe.status}[/]"
        seconds = "" if pipe.duration_seconds is None else f"{pipe.duration_seconds:.2f}"
        table.add_row(pipe.pipe_id, status, "" if pipe.rows is None else f"{pipe.rows:,}", seconds)
    console.print(table)
    for pipe in report.pipes:
        if pipe.note:
            console.print(printable(f"{pipe.pipe_id}: {pipe.note}"), markup=False)
    counts = f"{sum(pipe.status == 'succeeded' for pipe in report.pipes)} of {len(report.pipes)} pipes"
    style = styles.get(report.status, "white")
    console.print(f"[{style}]{report.status}[/]: {counts} in {report.duration_seconds:.2f} s  (run {report.run_id})")


def print_failures(context: CommandContext, app: App, failure: RunFailed, with_traceback: bool) -> None:
    report, cause = failure.report, failure.__cause__
    if cause is not None and not any(cause is error for error in report.exceptions.values()):
        # What failed is the run itself, and no pipe says why.
        say(printable(f"\n{text_of(failure, app.redact)}"))
    for pipe in report.pipes:
        if pipe.status != "failed":
            continue
        say(printable(f"\npipe {pipe.pipe_id}: {pipe.error_type}: {pipe.error}"))
        error = report.exceptions.get(pipe.pipe_id)
        if error is None:
            continue
        if with_traceback:
            trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            say(printable(app.redact(trace)))
        elif place := _users_place(app, error):
            say(app.redact(f"  at {place}"))


def _users_place(app: App, error: BaseException) -> str | None:
    """The innermost line of the job's own files that the error came through."""
    place = None
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).is_relative_to(app.base_dir) and "site-packages" not in frame.filename:
            place = f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
    return place
