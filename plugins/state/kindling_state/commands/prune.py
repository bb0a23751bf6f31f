"""``kindling runs prune``: forget runs."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import click
from rich.console import Console

from kindling_core.cli import Age, CommandContext, job_options, json_option
from kindling_core.state import StateStore
from kindling_state.commands.described import store_of
from kindling_state.commands.options import before_now
from kindling_state.commands.runs import runs

_PAGE = 500


@runs.command()
@click.option("--keep", type=Age(), help="Keep runs that are younger, such as 30d, 12h or 4w.")
@click.option("--keep-last", type=click.IntRange(1), help="Keep so many of the newest runs of each job.")
@click.option("--all-jobs", is_flag=True, help="Also the runs of other jobs that keep their state here.")
@click.option("--dry-run", is_flag=True, help="Only say which runs would be forgotten.")
@json_option
@job_options
@click.pass_obj
def prune(
    context: CommandContext, keep: timedelta | None, keep_last: int | None, all_jobs: bool, dry_run: bool
) -> None:
    """Forget old runs, with their attempts.

    A run is kept if --keep or --keep-last says so. Runs that still run, or have still to be finished, are kept in any
    case, and the newest of each job.
    """
    if keep is None and keep_last is None:
        raise click.UsageError("Say what is kept: --keep 30d, --keep-last 100, or both.")
    store = store_of(context)
    until = before_now(keep) if keep is not None else None
    old = _older(store, None if all_jobs else context.app().name, until, keep_last or 0)
    gone = store.forget(old, dry_run=dry_run)
    data = {"forgotten": gone, "kept": [run_id for run_id in old if run_id not in set(gone)], "dry_run": dry_run}

    def render(console: Console) -> None:
        for run_id in gone:
            console.print(run_id, markup=False)
        what = "would be forgotten" if dry_run else "forgotten"
        kept = len(old) - len(gone)
        still = f"; {kept} more are kept, since they run, have still to be finished, or are needed for those"
        console.print(f"{len(gone)} {'run' if len(gone) == 1 else 'runs'} {what}{still if kept else ''}.", markup=False)

    context.emit(data, render)


def _older(store: StateStore, job: str | None, until: datetime | None, keep_last: int) -> list[str]:
    """Return the runs that neither the time nor the number keeps."""
    found: list[str] = []
    newest: Counter[str] = Counter()
    after: str | None = None
    while page := store.runs(job, _PAGE, after=after):
        for record in page:
            start = record.start
            newest[start.job] += 1
            young = until is not None and datetime.fromisoformat(start.started_at) >= until
            if not young and newest[start.job] > keep_last:
                found.append(start.run_id)
        after = page[-1].start.run_id
    return found
