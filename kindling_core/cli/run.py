"""``kindling run``: live progress, a report, and a clean end on Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click

from kindling_core.app import App
from kindling_core.cli.context import CommandContext
from kindling_core.cli.options import MODE, SELECTION, job_options, json_option, run_options
from kindling_core.cli.output import print_at_the_end, write_file
from kindling_core.cli.plugin_options import CommandWithPluginOptions, options_of_plugins
from kindling_core.cli.progress import progress
from kindling_core.cli.run_report import print_failures, print_report
from kindling_core.clock import Bell
from kindling_core.errors import RunFailed
from kindling_core.logs import written
from kindling_core.render import picture_of, render_html
from kindling_core.run.cancellation import CancelToken
from kindling_core.run.report import RunReport
from kindling_core.run.streams import OpenRun

# What an interrupt does not keep from stopping on, once the run has succeeded, may take so many seconds more.
LAST_SECONDS = 5.0


@click.command(cls=CommandWithPluginOptions)
@SELECTION
@MODE
@click.option("--afresh", is_flag=True, help="Start anew although an earlier run of the job was not finished.")
@run_options
@json_option
@job_options
@click.pass_obj
def run(
    context: CommandContext,
    /,
    selection: tuple[str, ...],
    mode: str,
    afresh: bool,
    wait: bool,
    picture: Path | None,
    with_traceback: bool,
    **plugin_options: Any,
) -> None:
    """Run the job, or the pipes that SELECTION names.

    SELECTION: pipe or entity ids, +gold.delays (with what it needs), bronze.flights+ (with what needs it),
    silver.*, tag:nightly, !x (without x). Exit status: 0 ok, 1 a pipe failed, 2 wrong use.
    """
    app = context.app()
    if wait and not app.host.implements("kindling_claim_run"):
        raise click.UsageError("No active feature keeps runs apart, so there is nothing to wait for.")

    given, defaults = options_of_plugins(app, plugin_options)

    def start(cancelled: CancelToken) -> RunReport:
        return app.run(
            selection, mode, wait=wait, afresh=afresh, cancelled=cancelled, options=given, option_defaults=defaults
        )

    run_and_report(context, app, start, picture, with_traceback, mode)


def run_and_report(
    context: CommandContext,
    /,
    app: App,
    start: Callable[[CancelToken], RunReport],
    picture: Path | None,
    with_traceback: bool,
    mode: str,
) -> None:
    """Run with progress, a clean end on Ctrl-C, and a report; exits with 1 if pipes failed.

    Args:
        start: runs the pipes; the token cancels the run.
        picture: where to draw the run.
    """
    failure: RunFailed | None = None
    with _stopping_cleanly(context) as cancelled, app:
        with progress(app, context.messages):
            try:
                report = start(cancelled)
                if report.open_run is not None:
                    _say_what_runs(context, report.open_run)
                    report = report.open_run.wait()
            except RunFailed as error:
                failure, report = error, error.report
        # In this order: no signal from here on may make a failure of a success.
        context.succeeded = failure is None
        # A further Ctrl-C ends the program: there is no run that could be stopped.
        cancelled.set()
        # Before the features are stopped: a feature that hangs must not keep the report from whoever waits for it.
        emit = partial(context.emit, report.to_dict(), partial(print_report, report=report))
        print_at_the_end("the report", emit)
        if picture is not None:
            pipes = {pipe.pipe_id: pipe for pipe in app.all_pipes()}
            # Pipes that features have added to the plan are added to this plan, too.
            made = app.plan([pipe.pipe_id for pipe in report.pipes if pipe.pipe_id in pipes], mode)
            write_file(picture, render_html(picture_of(made, pipes | made.pipes, report, title=app.name)))
        if failure is not None:
            print_failures(context, app, failure, with_traceback)
            raise click.exceptions.Exit(1)


def _say_what_runs(context: CommandContext, open_run: OpenRun) -> None:
    handles = open_run.streams.handles
    streams = "1 stream runs" if len(handles) == 1 else f"{len(handles)} streams run"
    context.messages.print(f"{streams}: {', '.join(handles)}. Ctrl-C stops {'it' if len(handles) == 1 else 'them'}.")


@contextmanager
def _stopping_cleanly(context: CommandContext) -> Iterator[CancelToken]:
    """Give a token that Ctrl-C and SIGTERM set; the second of them raises KeyboardInterrupt, to give up at once.

    Once a run has succeeded they end the stopping of features, and the process with it, but as a success.

    The handler takes no lock, since the interrupted thread may be holding it.
    """
    cancelled, bell = CancelToken(), Bell()
    asked = left = False

    def say() -> None:
        bell.wait()
        if asked:
            context.messages.print(
                "Stopping: running pipes are asked to stop, nothing new starts. Once more to give up at once."
            )

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if context.succeeded and context.is_program and (context.interrupted or left):
            # What was interrupted before does not end by itself, or has ended.
            written(sys.stdout, "")
            os._exit(0)
        if cancelled.is_set():
            context.interrupted = context.succeeded
            if context.interrupted and context.is_program and hasattr(signal, "setitimer"):
                # Whatever goes on with stopping has a moment for that. A thread cannot be started here: the lock which
                # that takes may be held by what was interrupted.
                signal.signal(signal.SIGALRM, stop)
                signal.setitimer(signal.ITIMER_REAL, LAST_SECONDS)
            raise KeyboardInterrupt
        asked = True
        cancelled.set()
        bell.ring()

    # On a thread of its own, since the interrupted thread may be writing to the same stream just now.
    threading.Thread(target=say, name="kindling-stopping", daemon=True).start()
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        if context.succeeded and context.is_program:
            # Up to the end of the process a signal must not make a failure of the success that was reported.
            left = True
        else:
            for number, handler in previous.items():
                signal.signal(number, handler)
        bell.ring()
