"""The group of commands, errors and exit statuses."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO, cast

import click

from kindling_core._version import __version__
from kindling_core.cli.context import CommandContext
from kindling_core.cli.output import discard_output, printable
from kindling_core.cli.own_plugins import contributions, own_sources
from kindling_core.errors import KindlingError, RunFailed, text_of
from kindling_core.logs import SteadyStream, say
from kindling_core.plugin_sources import CORE, Source, discover

OK, FAILED, WRONG_USE = 0, 1, 2


class PluginGroup(click.Group):
    """The commands of the core, then those of other plugins, which are imported only when they are needed."""

    def _commands(self) -> Iterator[dict[str, click.Command]]:
        """Give the commands of the core, of the installed features, and of the job's own plugins, in this order."""
        core: Any = CORE.make()
        yield {command.name: command for command in core.kindling_commands()}
        yield _commands_of(discover().values())
        yield _commands_of(own_sources("commands"))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({name for commands in self._commands() for name in commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return next((commands[cmd_name] for commands in self._commands() if cmd_name in commands), None)


def _commands_of(sources: Iterable[Source]) -> dict[str, click.Command]:
    asked = contributions(sources, "kindling_commands", "commands")
    return {command.name or "": command for _, commands in asked for command in commands}


@click.group(cls=PluginGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kindling")
@click.pass_context
def cli(context: click.Context) -> None:
    """Run and explain data pipelines.

    Exit status: 0 ok, 1 a pipe failed, 2 wrong use.
    """
    context.obj = context.obj or CommandContext()
    context.call_on_close(context.obj.close)


def main(arguments: Sequence[str] | None = None, *, is_program: bool = False) -> None:
    """Run the command line and exit with its status.

    Args:
        is_program: the process is this command and nothing else, and ends with it.
    """
    sys.exit(run_command_line(arguments, is_program=is_program))


def run_command_line(arguments: Sequence[str] | None = None, *, is_program: bool = False) -> int:
    """Run the command line and return its exit status."""
    command = CommandContext(is_program=is_program)
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments), command)
    except (KeyboardInterrupt, click.Abort):
        if command.succeeded:
            say("interrupted after the run had succeeded")
            status = OK
        else:
            say("interrupted")
            status = FAILED
    discard_output()
    # What was interrupted while it stopped may have ended with any error.
    return OK if command.succeeded and command.interrupted else status


def _run(arguments: list[str], command: CommandContext) -> int:
    """Run the command line; an interrupt is left to the caller."""
    try:
        with cli.make_context("kindling", arguments, obj=command) as context:
            try:
                cli.invoke(context)
                if sys.stdout is not None and not command.succeeded:
                    sys.stdout.flush()
            except BrokenPipeError:
                # Whoever read the output has enough of it (`| head`).
                return OK
            except (KeyboardInterrupt, click.Abort, click.exceptions.Exit, click.ClickException):
                raise
            except RunFailed as error:
                say(printable(f"error: {text_of(error, command.redact)}"))
                return FAILED
            except KindlingError as error:
                say(printable(f"error: {text_of(error, command.redact)}"))
                return WRONG_USE
            except Exception:  # noqa: BLE001 - the last place before the interpreter; secrets are masked here
                say(printable(command.redact(traceback.format_exc())))
                return FAILED
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show(cast(TextIO, SteadyStream()))
        return WRONG_USE
    return OK
