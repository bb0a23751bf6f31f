"""What each command gets, and the options that commands share."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from kindling_core.app import App

Function = TypeVar("Function", bound=Callable[..., Any])


# The control characters of C0 and C1 but for tab and line feed.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class CommandContext:
    """Handed to commands by ``@click.pass_obj``.

    Attributes:
        job: path of the job file.
        overrides: ``section.key=value`` assignments.
        json: print data as JSON.
        console: for what the command was asked for (standard output).
        messages: for progress and errors (standard error).
    """

    def __init__(self, job: Path | None = None, overrides: Sequence[str] = ()) -> None:
        self.job = job or Path(os.environ.get("KINDLING_JOB", "kindling.toml"))
        self.overrides = list(overrides)
        self.json = False
        # A pipe or a file gets whole lines: nothing is wrapped at a terminal's width that is not there.
        self.console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self.messages = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
        self._app: App | None = None

    def app(self) -> App:
        """Compose the job, once.

        Raises:
            ConfigError, PluginError, PipeDefinitionError: as ``App.from_job``.
        """
        if self._app is None:
            self._app = App.from_job(self.job, self.overrides)
        return self._app

    def compose_again(self, overrides: Sequence[str]) -> None:
        """Compose the job with other assignments from here on."""
        self.close()
        self._app = None
        self.overrides = list(overrides)

    def close(self) -> None:
        """Close the App if one was composed."""
        if self._app is not None:
            self._app.close()

    def redact(self, text: str) -> str:
        """Mask what the composed job knows as secret."""
        return self._app.redact(text) if self._app is not None else text

    def emit(self, data: Any, render: Callable[[Console], None]) -> None:
        """Print ``data`` as JSON if that was asked for, else call ``render``."""
        if self.json:
            click.echo(json.dumps(data, indent=2, default=str, ensure_ascii=False))
        else:
            render(self.console)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Callable[[Console], None]:
        """Make a renderer: a rich table on a terminal, tab-separated lines elsewhere."""

        def render(console: Console) -> None:
            if console.is_terminal:
                table = Table(*columns, box=None, header_style="bold", pad_edge=False)
                for row in rows:
                    table.add_row(*(_escape(_cell(value)) for value in row))
                console.print(table)
                return
            for row in [columns, *rows]:
                click.echo("\t".join(_cell(value).replace("\n", " ") for value in row))

        return render


def printable(text: str) -> str:
    """Show what would steer a terminal, such as escape sequences in the text of somebody's error."""
    return text if text.isprintable() else _STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return printable(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


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
        help="Override one setting; may be repeated.",
    )
    return job(override(function))
