"""``kindling runs``: the runs of the job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_core.state import RunRecord, StateStore
from kindling_state.commands.described import data_of, seconds, statuses, store_of
from kindling_state.commands.options import Moment

_STATUS = ("running", "died", "succeeded", "failed", "cancelled")


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The newest so many.")
@click.option("--all-jobs", is_flag=True, help="Also the runs of other jobs that keep their state here.")
@click.option("--status", type=click.Choice(_STATUS), multiple=True, help="Only runs that ended so; may be repeated.")
@click.option("--since", type=Moment(), help="Only runs that started at or after this day, time or age (7d).")
@click.option("--until", type=Moment(), help="Only runs that started before this day, time or age.")
@click.option("--pipe", "pipe_id", metavar="PIPE", help="Only runs with this pipe.")
@click.option("--after", metavar="RUN", help="Go on after this run, the last of the page before.")
@json_option
@job_options
@click.pass_context
def runs(
    click_context: click.Context,
    limit: int,
    all_jobs: bool,
    status: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    pipe_id: str | None,
    after: str | None,
) -> None:
    """List the runs of the job, the newest first."""
    if click_context.invoked_subcommand is not None:
        return
    context: CommandContext = click_context.obj
    job = None if all_jobs else context.app().name
    chosen = {"since": since, "until": until, "pipe_id": pipe_id}
    data = _page(store_of(context), job, limit, set(status), after, chosen)
    rows = [
        [
            *([run["job"]] if all_jobs else []),
            run["run_id"],
            run["status"],
            run["started_at"][:19],
            seconds(run["duration_seconds"]),
            run["pipe_count"],
            run["success_count"],
            run["failed_count"],
            run["skipped_count"],
            run["resumes"] or "",
        ]
        for run in data
    ]
    columns = ["run", "status", "started (UTC)", "seconds", "pipes", "succeeded", "failed", "skipped", "resumes"]
    if all_jobs:
        columns.insert(0, "job")
    context.emit(data, context.table(columns, rows))


def _page(
    store: StateStore, job: str | None, limit: int, wanted: set[str], after: str | None, chosen: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return a page. Whether a run without an end still runs its lease says, so that these are distinguished here."""
    kept = {"running" if status == "died" else status for status in wanted}
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        page: list[RunRecord] = store.runs(job, limit, status=sorted(kept), after=after, **chosen)
        known = statuses(store, page)
        for record in page:
            status = known[record.start.run_id]
            if not wanted or status in wanted:
                found.append(data_of(record, status))
        if len(page) < limit:
            break
        after = page[-1].start.run_id
    return found[:limit]
