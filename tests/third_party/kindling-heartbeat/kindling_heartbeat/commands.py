"""The command ``kindling heartbeat``."""

from __future__ import annotations

import click

from kindling_core.cli import CommandContext, job_options, json_option


@click.command()
@json_option
@job_options
@click.pass_obj
def heartbeat(context: CommandContext) -> None:
    """Tell whether the job is paused, and by which file."""
    app = context.app()
    pause_file = app.base_dir / app.config.section("heartbeat").pause_file
    paused = pause_file.exists()
    told = f"{app.name} is paused by {pause_file}" if paused else f"{app.name} beats; {pause_file} would pause it"
    context.emit(
        {"job": app.name, "paused": paused, "pause_file": str(pause_file)},
        lambda console: console.print(told, markup=False),
    )
