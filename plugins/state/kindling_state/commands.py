"""``kindling runs`` and ``kindling resume``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from kindling_core.cli import CommandContext, job_options, json_option, printable, run_and_report, run_options
from kindling_core.errors import ConfigError, PlanError
from kindling_core.run.cancellation import CancelToken
from kindling_core.run.report import RunReport
from kindling_core.secrets import MASK
from kindling_core.state import AttemptRecord, RunRecord, StateStore
from kindling_core.state.resume import find_run, resumable, run_lease
from kindling_state.plugin import StatePlugin


def _store(context: CommandContext) -> StateStore:
    """The store of the job, without starting its features: no engine is needed to look at runs."""
    app = context.app()
    plugin = app.host.manager.get_plugin("state")
    if not isinstance(plugin, StatePlugin):
        raise ConfigError("This job keeps no runs. Add 'state' to the job's features.")
    return plugin.store(app)


def _status(store: StateStore, record: RunRecord) -> str:
    """What a run's end says; "died" for one that has none and whose process is gone."""
    if record.end is not None:
        return record.status
    return "running" if store.holders([run_lease(record.start.run_id)]) else "died"


def _data(store: StateStore, record: RunRecord) -> dict[str, Any]:
    start = record.start
    end = record.end
    return {
        "run_id": start.run_id,
        "job": start.job,
        "status": _status(store, record),
        "mode": start.mode,
        "started_at": start.started_at,
        "duration_seconds": end.duration_seconds if end else None,
        "pipe_count": len(start.pipe_ids),
        "success_count": end.success_count if end else None,
        "failed_count": end.failed_count if end else None,
        "skipped_count": end.skipped_count if end else None,
        "resumes": start.resumes,
        "settled_by": record.settled_by,
        "root_run_id": start.root_run_id,
        "selection": list(start.selection),
        "overrides": list(start.overrides),
        "job_hash": start.job_hash,
        "pinned_versions": dict(start.pinned_versions),
        "error": end.error if end else None,
        "error_type": end.error_type if end else None,
    }


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The newest so many.")
@click.option("--all-jobs", is_flag=True, help="Also the runs of other jobs that keep their state here.")
@json_option
@job_options
@click.pass_context
def runs(click_context: click.Context, limit: int, all_jobs: bool) -> None:
    """List the runs of the job, the newest first."""
    if click_context.invoked_subcommand is not None:
        return
    context: CommandContext = click_context.obj
    store = _store(context)
    data = [_data(store, record) for record in store.runs(None if all_jobs else context.app().name, limit)]
    rows = [
        [
            *([one["job"]] if all_jobs else []),
            one["run_id"],
            one["status"],
            one["started_at"][:19],
            _seconds(one["duration_seconds"]),
            one["pipe_count"],
            one["success_count"],
            one["failed_count"],
            one["skipped_count"],
            one["resumes"] or "",
        ]
        for one in data
    ]
    columns = ["run", "status", "started (UTC)", "seconds", "pipes", "succeeded", "failed", "skipped", "resumes"]
    if all_jobs:
        columns.insert(0, "job")
    context.emit(data, context.table(columns, rows))


@runs.command()
@click.argument("run_id", required=False)
@json_option
@job_options
@click.pass_obj
def show(context: CommandContext, run_id: str | None) -> None:
    """Show one run: its pipes, their attempts, rows, versions and errors.

    RUN_ID: the newest run of the job unless given; the beginning of an id is enough.
    """
    store = _store(context)
    record = find_run(store, context.app().name, run_id)
    shown = _data(store, record)
    attempts = _attempts(store, record, shown["status"])
    data = {**shown, "attempts": [asdict(attempt) for attempt in attempts]}

    def render(console: Console) -> None:
        for key in ("run_id", "job", "status", "mode", "started_at", "duration_seconds", "resumes", "job_hash"):
            if data[key] is not None:
                console.print(f"{key:18}{data[key]}", markup=False)
        for key in ("selection", "overrides"):
            if data[key]:
                console.print(f"{key:18}{' '.join(data[key])}", markup=False)
        if data["error"]:
            console.print(printable(f"{'error':18}{data['error_type']}: {data['error']}"), markup=False)
        context.table(
            ["pipe", "attempt", "status", "seconds", "rows", "wrote", "read", "told"],
            [_attempt_row(attempt) for attempt in attempts],
        )(console)

    context.emit(data, render)


def _attempts(store: StateStore, record: RunRecord, status: str) -> list[AttemptRecord]:
    """The attempts of a run; of one that died, with what is exactly known: what it had marked as succeeded."""
    run_id = record.start.run_id
    attempts = store.attempts(run_id)
    if status != "died":
        return attempts
    marks = {name: one for name, one in store.succeeded(record.start.root_run_id).items() if one.run_id == run_id}
    last: dict[str, AttemptRecord] = {}
    told = [replace(one, status="died") if one.status == "running" else one for one in attempts]
    for one in told:
        last[one.pipe_id] = max(one, last.get(one.pipe_id, one), key=lambda each: each.attempt)
    for pipe_id, mark in marks.items():
        known = last.get(pipe_id)
        if known is not None and known.status == "succeeded":
            continue
        if known is not None and known.status == "died":
            told[told.index(known)] = replace(known, status="succeeded", version_written=mark.version_written)
        else:
            number = known.attempt + 1 if known is not None else 1
            told.append(AttemptRecord(run_id, pipe_id, number, "succeeded", version_written=mark.version_written))
    return told


def _attempt_row(attempt: AttemptRecord) -> list[object]:
    told = f"{attempt.error_type}: {attempt.error}" if attempt.error_type else attempt.reason or ""
    version = attempt.version_written
    wrote = "" if version is None else f"{attempt.output_entity_id or ''}@v{version}"
    return [
        attempt.pipe_id,
        attempt.attempt or "",
        attempt.status,
        _seconds(attempt.duration_seconds),
        "" if attempt.rows is None else attempt.rows,
        wrote,
        [f"{name}@v{version}" for name, version in attempt.versions_read.items()],
        told.partition("\n")[0],
    ]


@runs.command()
@click.argument("first")
@click.argument("second")
@json_option
@job_options
@click.pass_obj
def compare(context: CommandContext, first: str, second: str) -> None:
    """Compare two runs pipe by pipe: how they ended, how long they took, what they wrote."""
    store = _store(context)
    records = [find_run(store, context.app().name, run_id) for run_id in (first, second)]
    told = [_data(store, record) for record in records]
    ends = [_last(_attempts(store, record, one["status"])) for record, one in zip(records, told, strict=True)]
    pipes: list[dict[str, Any]] = []
    for pipe_id in dict.fromkeys([*ends[0], *ends[1]]):
        one, other = ends[0].get(pipe_id), ends[1].get(pipe_id)
        seconds = [end.duration_seconds if end is not None else None for end in (one, other)]
        old, new = seconds
        start = [record.start.fingerprints.get(pipe_id) for record in records]
        pipes.append(
            {
                "pipe_id": pipe_id,
                "status": [end.status if end is not None else None for end in (one, other)],
                "duration_seconds": seconds,
                "ratio": new / old if old and new is not None else None,
                "rows": [end.rows if end is not None else None for end in (one, other)],
                "version_written": [end.version_written if end is not None else None for end in (one, other)],
                "changed": start[0] != start[1],
            }
        )
    data = {"runs": told, "pipes": pipes}

    def render(console: Console) -> None:
        for name, one in zip("AB", data["runs"], strict=True):
            console.print(
                f"{name}: {one['run_id']}  {one['status']}  {_seconds(one['duration_seconds'])} s", markup=False
            )
        context.table(
            ["pipe", "status A", "status B", "seconds A", "seconds B", "B / A", "rows A", "rows B", "code"],
            [
                [
                    row["pipe_id"],
                    *(value or "" for value in row["status"]),
                    *map(_seconds, row["duration_seconds"]),
                    "" if row["ratio"] is None else f"{row['ratio']:.2f}",
                    *("" if value is None else value for value in row["rows"]),
                    "changed" if row["changed"] else "",
                ]
                for row in pipes
            ],
        )(console)

    context.emit(data, render)


def _last(attempts: list[AttemptRecord]) -> dict[str, AttemptRecord]:
    return {attempt.pipe_id: attempt for attempt in sorted(attempts, key=lambda one: one.attempt)}


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@click.command()
@click.argument("run_id", required=False)
@click.option("--force", is_flag=True, help="Also if what the run depends on has changed since it started.")
@run_options
@json_option
@job_options
@click.pass_obj
def resume(
    context: CommandContext, run_id: str | None, force: bool, wait: bool, picture: Path | None, with_traceback: bool
) -> None:
    """Continue a run that failed or was killed: only what has not succeeded runs.

    RUN_ID: the newest run of the job unless given; the beginning of an id is enough. The run keeps its selection, its
    --set settings, and the versions of what it reads and does not write.
    """
    # The job is composed as it was before it is compared with what it was.
    start = find_run(_store(context), context.app().name, run_id).start
    given = {override.partition("=")[0] for override in context.overrides}
    missing = [one for one in start.overrides if one.partition("=")[0] not in given]
    secret = [one.partition("=")[0] for one in missing if one.endswith(f"={MASK}")]
    if secret:
        raise PlanError(
            f"Run {start.run_id} was started with --set {' and --set '.join(secret)}, and secrets are not kept. "
            f"Give it again: kindling resume {start.run_id} --set {secret[0]}=..."
        )
    if missing:
        context.compose_again([*missing, *context.overrides])
    app = context.app()
    start = resumable(app, _store(context), run_id, force=force)

    def go_on(cancelled: CancelToken) -> RunReport:
        return app.run(wait=wait, resume=start, cancelled=cancelled)

    run_and_report(context, app, go_on, picture, with_traceback, start.mode)
