"""The group of commands, errors and exit statuses."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from kindling_core._version import __version__
from kindling_core.cli.config import config
from kindling_core.cli.context import CommandContext
from kindling_core.cli.doctor import doctor
from kindling_core.cli.graph import graph
from kindling_core.cli.init import init
from kindling_core.cli.output import printable
from kindling_core.cli.plan import plan
from kindling_core.cli.plugins import plugins
from kindling_core.cli.run import run
from kindling_core.cli.signals import signals
from kindling_core.errors import KindlingError, PluginError, RunFailed
from kindling_core.plugins import discover
from kindling_core.secrets import Redactor, secrets_of_environment

OK, FAILED, WRONG_USE = 0, 1, 2


class PluginGroup(click.Group):
    """The core's commands, and those of installed plugins, which are imported only when they are needed."""

    def _plugin_commands(self, context: click.Context) -> dict[str, click.Command]:
        found: dict[str, click.Command] = {}
        # No job is composed while commands are looked for.
        redact = Redactor(secrets_of_environment(os.environ))
        for name, feature in discover().items():
            try:
                plugin = feature.load()()
                commands = plugin.kindling_commands() if hasattr(plugin, "kindling_commands") else ()
                found.update((command.name or "", command) for command in commands)
            except PluginError as error:
                # Named, but in nobody's way: the command that was asked for may not need this plugin.
                click.echo(redact(f"warning: {error}"), err=True)
            except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
                click.echo(
                    redact(
                        f"warning: feature {name!r} of {feature.distribution} has no commands, they fail: "
                        f"{type(error).__name__}: {error}"
                    ),
                    err=True,
                )
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._plugin_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or self._plugin_commands(ctx).get(cmd_name)


@click.group(cls=PluginGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kindling")
@click.pass_context
def cli(context: click.Context) -> None:
    """Run and explain data pipelines.

    Exit status: 0 ok, 1 a pipe failed, 2 wrong use.
    """
    context.obj = CommandContext()
    context.call_on_close(context.obj.close)


for _command in (init, run, plan, graph, signals, plugins, config, doctor):
    cli.add_command(_command)


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
