"""What each command gets, and the options that commands share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import click
from rich.console import Console
from rich.table import Table

from kindling_core.app import App
from kindling_core.cli.output import printable
from kindling_core.config import Config
from kindling_core.config_layers import environment_layer, file_layer, override_layer
from kindling_core.errors import KindlingError, safe_str
from kindling_core.logs import SteadyStream
from kindling_core.secrets import Redactor, secrets_of_environment

Function = TypeVar("Function", bound=Callable[..., Any])


class CommandContext:
    """Handed to commands by ``@click.pass_obj``.

    Attributes:
        job: path of the job file.
        overrides: ``section.key=value`` assignments.
        json: print data as JSON.
        console: for what the command was asked for (standard output).
        messages: for progress and errors (standard error); printing there never fails.
        is_program: the process is this command and nothing else.
        succeeded: the run of this command has succeeded, so that a signal changes the exit status no more.
        interrupted: a signal came after that.
    """

    def __init__(self, job: Path | None = None, overrides: Sequence[str] = (), *, is_program: bool = False) -> None:
        self.job = job or Path(os.environ.get("KINDLING_JOB", "kindling.toml"))
        self.overrides = list(overrides)
        self.json = False
        # A pipe or a file gets whole lines: nothing is wrapped at a terminal's width that is not there.
        self.console = Console(highlight=False, soft_wrap=not SteadyStream("stdout").isatty())
        stream = SteadyStream("stderr")
        self.messages = Console(file=cast(TextIO, stream), highlight=False, soft_wrap=not stream.isatty())
        self.is_program = is_program
        self.succeeded = False
        self.interrupted = False
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
        """Close the App if it was composed."""
        if self._app is not None:
            self._app.close()

    def redact(self, text: str) -> str:
        """Mask the secrets of the job, or those that its settings show where it does not compose."""
        if self._app is not None:
            return self._app.redact(text)
        # Where they cannot be read, that is what the text is about; the variables are known all the same.
        with suppress(KindlingError):
            layers = [file_layer(self.job), environment_layer(os.environ), override_layer(self.overrides)]
            text = Config(layers).redact(text)
        return Redactor(secrets_of_environment(os.environ))(text)

    def emit(self, data: Any, render: Callable[[Console], None]) -> None:
        """Print ``data`` as JSON if that was asked for, else call ``render``."""
        if self.json:
            click.echo(json.dumps(data, indent=2, default=safe_str, ensure_ascii=False))
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


def _cell(value: object) -> str:
    if value is None:
        return ""
    return printable(", ".join(map(safe_str, value)) if isinstance(value, (list, tuple)) else safe_str(value))


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
