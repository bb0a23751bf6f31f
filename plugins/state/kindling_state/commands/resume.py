"""``kindling resume``: continue a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kindling_core.cli import (
    CommandContext,
    CommandWithPluginOptions,
    job_options,
    json_option,
    options_of_plugins,
    run_and_report,
    run_options,
)
from kindling_core.errors import PlanError
from kindling_core.run.cancellation import CancelToken
from kindling_core.run.report import RunReport
from kindling_core.secrets import MASK
from kindling_core.state.resume import find_run, resumable
from kindling_state.commands.described import store_of


@click.command(cls=CommandWithPluginOptions)
@click.argument("run_id", required=False)
@click.option("--force", is_flag=True, help="Also if what the run depends on has changed since it started.")
@run_options
@json_option
@job_options
@click.pass_obj
def resume(
    context: CommandContext,
    /,
    run_id: str | None,
    force: bool,
    wait: bool,
    picture: Path | None,
    with_traceback: bool,
    **plugin_options: Any,
) -> None:
    """Continue a run that failed or was killed: only what has not succeeded runs.

    RUN_ID: the newest run of the job unless given; the beginning of an id is enough. The run keeps its selection, its
    --set settings, the versions of what it reads and does not write, and those options of features that are not given
    anew.
    """
    # The job is composed as it was before it is compared with what it was.
    start = find_run(store_of(context), context.app().name, run_id).start
    given = {override.partition("=")[0] for override in context.overrides}
    missing = [override for override in start.overrides if override.partition("=")[0] not in given]
    secret = [override.partition("=")[0] for override in missing if override.endswith(f"={MASK}")]
    if secret:
        raise PlanError(
            f"Run {start.run_id} was started with --set {' and --set '.join(secret)}, and secrets are not kept. "
            f"Give it again: kindling resume {start.run_id} --set {secret[0]}=..."
        )
    if missing:
        context.compose_again([*missing, *context.overrides])
    app = context.app()
    options, defaults = options_of_plugins(app, plugin_options)
    start = resumable(app, store_of(context), run_id, force=force)

    def go_on(cancelled: CancelToken) -> RunReport:
        return app.run(wait=wait, resume=start, cancelled=cancelled, options=options, option_defaults=defaults)

    run_and_report(context, app, go_on, picture, with_traceback, start.mode)
