"""``kindling run``: live progress, a report, and a clean end on Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from kindling_core.app import App
from kindling_core.cli._context import CommandContext, job_options, json_option, printable
from kindling_core.cli._inspect import MODE, SELECTION, write_file
from kindling_core.errors import RunFailed
from kindling_core.render import picture_of, render_html
from kindling_core.report import RunReport

Function = TypeVar("Function", bound=Callable[..., Any])


def run_options(function: Function) -> Function:
    """Add the options that every command which runs pipes has: ``--wait``, ``--picture`` and ``--traceback``."""
    for option in (
        click.option("--traceback", "with_traceback", is_flag=True, help="Show the whole traceback of each failure."),
        click.option(
            "--picture",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write the graph with timings to this HTML file.",
        ),
        click.option("--wait", is_flag=True, help="Wait for a run that is in the way, instead of refusing this one."),
    ):
        function = option(function)
    return function


@click.command()
@SELECTION
@MODE
@click.option("--afresh", is_flag=True, help="Start anew although an earlier run of the job was not finished.")
@run_options
@json_option
@job_options
@click.pass_obj
def run(
    context: CommandContext,
    selection: tuple[str, ...],
    mode: str,
    afresh: bool,
    wait: bool,
    picture: Path | None,
    with_traceback: bool,
) -> None:
    """Run the job, or the pipes that SELECTION names.

    SELECTION: pipe or entity ids, +gold.delays (with what it needs), bronze.flights+ (with what needs it),
    silver.*, tag:nightly, !x (without x). Exit status: 0 ok, 1 a pipe failed, 2 wrong use.
    """
    app = context.app()
    if wait and not app.host.implements("kindling_before_run"):
        raise click.UsageError("No active feature keeps runs apart, so there is nothing to wait for.")

    def start(cancelled: threading.Event) -> RunReport:
        return app.run(selection, mode, wait=wait, afresh=afresh, cancelled=cancelled)

    run_and_report(context, app, start, picture, with_traceback, mode)


def run_and_report(
    context: CommandContext,
    app: App,
    start: Callable[[threading.Event], RunReport],
    picture: Path | None,
    with_traceback: bool,
    mode: str,
) -> None:
    """Run with progress, a clean end on Ctrl-C, and a report; exits with 1 if pipes failed.

    Args:
        start: runs the pipes; the event cancels the run.
        picture: where to draw the run.
    """
    failure: RunFailed | None = None
    with _stopping_cleanly(context.messages) as cancelled, app:
        with _progress(app, context.messages):
            try:
                report = start(cancelled)
            except RunFailed as error:
                failure, report = error, error.report
        # From here on a first Ctrl-C ends the program: there is no run that could be told to stop.
        cancelled.set()
        # Before the features are stopped: one that hangs must not keep the report from whoever waits for it.
        context.emit(report.to_dict(), lambda console: _print_report(console, report))
        if picture is not None:
            pipes = {pipe.pipe_id: pipe for pipe in app.all_pipes()}
            made = app.plan([pipe.pipe_id for pipe in report.pipes], mode)
            write_file(picture, render_html(picture_of(made, pipes, report, title=app.name)))
        if failure is not None:
            _print_failures(context, app, failure, with_traceback)
            raise click.exceptions.Exit(1)


@contextmanager
def _stopping_cleanly(messages: Console) -> Iterator[threading.Event]:
    """First Ctrl-C or SIGTERM: start nothing new, tell running pipes to stop. Second: give up at once."""
    cancelled = threading.Event()

    def tell() -> None:
        messages.print("Stopping: running pipes are told to stop, nothing new starts. Once more to give up at once.")

    def stop(number: int, frame: FrameType | None) -> None:
        if cancelled.is_set():
            raise KeyboardInterrupt
        cancelled.set()
        # On a thread of its own: this thread may be writing to the same stream just now.
        threading.Thread(target=tell, daemon=True).start()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _progress(app: App, messages: Console) -> Iterator[None]:
    watcher = _LiveProgress(messages) if messages.is_terminal else _PlainProgress()
    for name in ("before_run", "before_pipe", "after_pipe", "pipe_retrying", "pipe_failed", "pipe_skipped"):
        app.signals.on(f"datapipes.{name}", getattr(watcher, name))
    with watcher:
        yield


class _PlainProgress:
    """One line a pipe, for logs."""

    def __enter__(self) -> None:
        self._total = 0

    def __exit__(self, *error: object) -> None:
        return None

    def before_run(self, sender: object, *, pipe_count: int, **fields: Any) -> None:
        self._total = pipe_count

    def before_pipe(self, sender: object, **fields: Any) -> None:
        return None

    def after_pipe(self, sender: object, *, pipe_id: str, duration_seconds: float, **fields: Any) -> None:
        click.echo(f"ok      {pipe_id}  {duration_seconds:.2f} s{_rows(fields['rows_processed'])}", err=True)

    def pipe_retrying(self, sender: object, *, pipe_id: str, error: str, **fields: Any) -> None:
        click.echo(f"retry   {pipe_id}  {_again(fields)}: {_first_line(error)}", err=True)

    def pipe_failed(self, sender: object, *, pipe_id: str, error: str, **fields: Any) -> None:
        click.echo(f"failed  {pipe_id}  {_first_line(error)}", err=True)

    def pipe_skipped(self, sender: object, *, pipe_id: str, reason: str, **fields: Any) -> None:
        click.echo(f"skipped {pipe_id}  {_first_line(reason)}", err=True)


class _LiveProgress:
    """A bar for the run, and a line for each pipe that runs now."""

    def __init__(self, messages: Console) -> None:
        self._messages = messages
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=messages,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._running: dict[str, float] = {}
        self._live = Live(console=messages, get_renderable=self._draw, refresh_per_second=8, transient=True)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def _draw(self) -> Table:
        drawn = Table.grid()
        drawn.add_row(self._bar)
        now = time.monotonic()
        for pipe_id, since in list(self._running.items()):
            drawn.add_row(f"    {pipe_id}  {now - since:.1f} s")
        return drawn

    def before_run(self, sender: object, *, pipe_count: int, **fields: Any) -> None:
        self._bar.update(self._task, total=pipe_count, description="running")

    def before_pipe(self, sender: object, *, pipe_id: str, **fields: Any) -> None:
        self._running[pipe_id] = time.monotonic()

    def _ended(self, pipe_id: str) -> None:
        self._running.pop(pipe_id, None)
        self._bar.advance(self._task)

    def after_pipe(self, sender: object, *, pipe_id: str, **fields: Any) -> None:
        self._ended(pipe_id)

    def pipe_retrying(self, sender: object, *, pipe_id: str, error: str, **fields: Any) -> None:
        self._messages.print(f"{pipe_id}: {_again(fields)}: {_first_line(error)}", markup=False, style="yellow")

    def pipe_failed(self, sender: object, *, pipe_id: str, error: str, **fields: Any) -> None:
        self._ended(pipe_id)
        self._messages.print(f"failed {pipe_id}: {_first_line(error)}", markup=False, style="red")

    def pipe_skipped(self, sender: object, *, pipe_id: str, **fields: Any) -> None:
        self._ended(pipe_id)


def _rows(rows: int | None) -> str:
    return "" if rows is None else f"  {rows:,} rows"


def _again(fields: Mapping[str, Any]) -> str:
    return f"attempt {fields['attempt']} of {fields['max_attempts']} failed, again in {fields['delay_seconds']:.1f} s"


def _first_line(text: str) -> str:
    return printable(text.strip().partition("\n")[0])


def _print_report(console: Console, report: RunReport) -> None:
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
    told = f"{sum(pipe.status == 'succeeded' for pipe in report.pipes)} of {len(report.pipes)} pipes"
    style = styles.get(report.status, "white")
    console.print(f"[{style}]{report.status}[/]: {told} in {report.duration_seconds:.2f} s  (run {report.run_id})")


def _print_failures(context: CommandContext, app: App, failure: RunFailed, with_traceback: bool) -> None:
    report, cause = failure.report, failure.__cause__
    if cause is not None and not any(cause is one for one in report.exceptions.values()):
        # What failed is the run itself, and no pipe tells why.
        click.echo(printable(f"\n{app.redact(str(failure))}"), err=True)
    for pipe in report.pipes:
        if pipe.status != "failed":
            continue
        click.echo(printable(f"\npipe {pipe.pipe_id}: {pipe.error_type}: {pipe.error}"), err=True)
        error = report.exceptions.get(pipe.pipe_id)
        if error is None:
            continue
        if with_traceback:
            told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            click.echo(printable(app.redact(told)), err=True)
        elif place := _users_place(app, error):
            click.echo(f"  at {place}", err=True)


def _users_place(app: App, error: BaseException) -> str | None:
    """The innermost line of the job's own files that the error came through."""
    place = None
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).is_relative_to(app.base_dir) and "site-packages" not in frame.filename:
            place = f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
    return place
