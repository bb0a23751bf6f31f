"""The group of commands, errors and exit statuses."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from kindling_core._version import __version__
from kindling_core.cli.context import CommandContext
from kindling_core.cli.output import printable
from kindling_core.composition import own_plugins
from kindling_core.config import Config
from kindling_core.config_layers import environment_layer, file_layer
from kindling_core.errors import KindlingError, PluginError, RunFailed
from kindling_core.plugin_sources import CORE, Source, discover
from kindling_core.sections import JobSection

OK, FAILED, WRONG_USE = 0, 1, 2


class PluginGroup(click.Group):
    """The commands of the core, then those of other plugins, which are imported only when they are needed."""

    def _commands(self) -> Iterator[dict[str, click.Command]]:
        """Give the commands of the core, of the installed features, and of the job's own plugins, in this order."""
        core: Any = CORE.make()
        yield {command.name: command for command in core.kindling_commands()}
        yield _commands_of(discover().values())
        yield _commands_of(_own_plugins())

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({name for commands in self._commands() for name in commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return next((commands[cmd_name] for commands in self._commands() if cmd_name in commands), None)


def _commands_of(sources: Iterable[Source]) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for source in sources:
        try:
            plugin = source.make()
            commands = plugin.kindling_commands() if hasattr(plugin, "kindling_commands") else ()
            found.update((command.name or "", command) for command in commands)
        except PluginError as error:
            # Named, but in nobody's way: the command that was asked for may not need this plugin.
            click.echo(f"warning: {error}", err=True)
        except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
            click.echo(
                f"warning: feature {source.name!r} of {source.origin} has no commands, they fail: "
                f"{type(error).__name__}: {error}",
                err=True,
            )
    return found


def _own_plugins() -> Sequence[Source]:
    """Return the job's own plugins; ``--job`` comes after a command's name, so only the usual job file can be asked."""
    path = CommandContext().job
    if not path.exists():
        return []
    try:
        config = Config([file_layer(path), environment_layer(os.environ)])
        return own_plugins(config, config.resolve("job", JobSection).plugins, path.parent.resolve())
    except KindlingError as error:
        click.echo(f"warning: the commands of the job's own plugins are not known: {error}", err=True)
        return []


@click.group(cls=PluginGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kindling")
@click.pass_context
def cli(context: click.Context) -> None:
    """Run and explain data pipelines.

    Exit status: 0 ok, 1 a pipe failed, 2 wrong use.
    """
    context.obj = CommandContext()
    context.call_on_close(context.obj.close)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    sys.exit(run_command_line(arguments))


def run_command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        with cli.make_context("kindling", list(sys.argv[1:] if arguments is None else arguments)) as context:
            try:
                cli.invoke(context)
                sys.stdout.flush()
            except BrokenPipeError:
                # Whoever read the output has enough of it (`| head`). What the interpreter flushes at its
                # end has to go somewhere.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return OK
            except click.exceptions.Exit as leave:
                return leave.exit_code
            except click.ClickException as error:
                error.show()
                return WRONG_USE
            except RunFailed as error:
                click.echo(printable(f"error: {context.obj.redact(str(error))}"), err=True)
                return FAILED
            except KindlingError as error:
                click.echo(printable(f"error: {context.obj.redact(str(error))}"), err=True)
                return WRONG_USE
            except (KeyboardInterrupt, click.Abort):
                click.echo("interrupted", err=True)
                return FAILED
            except Exception:  # noqa: BLE001 - the last place before the interpreter; secrets are masked here
                click.echo(printable(context.obj.redact(traceback.format_exc())), err=True)
                return FAILED
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return WRONG_USE
    return OK
