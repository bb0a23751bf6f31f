"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kindling_core.cli.context import CommandContext
from kindling_core.plan.graph import ExecutionMode


def json_option(function: Function) -> Function:
    """Add ``--json``, which sets ``CommandContext.json``."""

    def remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.find_object(CommandContext).json = True  # type: ignore[union-attr]

    return click.option("--json", is_flag=True, expose_value=False, callback=remember, help="Print the data as JSON.")(
        function
    )


def job_options(function: Function) -> Function:
    """Add ``--job FILE`` and ``--set SECTION.KEY=VALUE`` after the command's name, where people write them."""

    def remember_job(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
        if value is not None:
            context.find_object(CommandContext).job = value  # type: ignore[union-attr]

    def remember_set(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> None:
        context.find_object(CommandContext).overrides.extend(value)  # type: ignore[union-attr]

    job = click.option(
        "-j",
        "--job",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=remember_job,
        help="The job file (default: kindling.toml, or $KINDLING_JOB).",
    )
    override = click.option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        multiple=True,
        expose_value=False,
        callback=remember_set,
        help="Override a setting; may be repeated.",
    )
    return job(override(function))


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
        click.option("--wait", is_flag=True, help="Wait for a run that is in the way, instead of refusing this run."),
    ):
        function = option(function)
    return function


SELECTION = click.argument("selection", nargs=-1)


MODE = click.option(
    "--mode",
    type=click.Choice([mode.value for mode in ExecutionMode]),
    default=ExecutionMode.BATCH.value,
    show_default=True,
    help="The order: producers first, consumers first, or batch and then streams.",
)
