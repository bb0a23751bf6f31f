"""``kindling runs cancel``: ask a run of another process to end."""

from __future__ import annotations

import getpass
import os
import socket

import click
from rich.console import Console

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_core.errors import PlanError
from kindling_core.state.resume import find_run
from kindling_state.commands.described import statuses, store_of
from kindling_state.commands.runs import runs
from kindling_state.run_leases import LOOK_SECONDS


@runs.command()
@click.argument("run_id")
@json_option
@job_options
@click.pass_obj
def cancel(context: CommandContext, run_id: str) -> None:
    """Ask a run to end, as Ctrl-C in its own terminal would, wherever its process is.

    RUN_ID: the beginning of an id is enough.
    """
    store = store_of(context)
    record = find_run(store, context.app().name, run_id)
    found = record.start.run_id
    status = statuses(store, [record])[found]
    if status == "died":
        raise PlanError(f"Run {found} has no process any more, so that nobody could cancel it. See `kindling resume`.")
    if status != "running" or not store.request_cancel(found, by=_who()):
        ended = store.run(found)
        raise PlanError(f"Run {found} has ended ({ended.status if ended else 'forgotten'}): nothing to cancel.")
    asked = store.cancel_request(found)
    by = asked.by if asked is not None else _who()

    def render(console: Console) -> None:
        console.print(
            f"Run {found} was asked to end by {by}. Its process looks every {LOOK_SECONDS:g} s; "
            f"`kindling runs show {found}` shows how it ended.",
            markup=False,
        )

    context.emit({"run_id": found, "cancel_by": by, "cancel_at": asked.at if asked is not None else None}, render)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # In a container a user may have a number and no name.
        user = f"user {os.getuid()}"
    return f"{user} on {socket.gethostname()}, process {os.getpid()}"
