"""``kindling config``: each setting and where it came from."""

from __future__ import annotations

import click

from kindling_core.cli.context import CommandContext
from kindling_core.cli.options import job_options, json_option


@click.command()
@json_option
@job_options
@click.pass_obj
def config(context: CommandContext) -> None:
    """Show each setting, its value and where it came from; secrets are masked."""
    settings = context.app().config.settings()
    data = [{"key": setting.key, "value": setting.value, "origin": setting.origin} for setting in settings]
    context.emit(
        data,
        context.table(
            ["setting", "value", "origin"], [[setting.key, setting.value, setting.origin] for setting in settings]
        ),
    )
