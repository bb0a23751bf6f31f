"""``kindling runs show``: one run."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console

from kindling_core.cli import CommandContext, job_options, json_option, printable
from kindling_core.state import AttemptRecord
from kindling_core.state.resume import find_run
from kindling_state.commands.described import attempts_of, data_of, seconds, statuses, store_of
from kindling_state.commands.runs import runs


@runs.command()
@click.argument("run_id", required=False)
@json_option
@job_options
@click.pass_obj
def show(context: CommandContext, run_id: str | None) -> None:
    """Show a run: its pipes, their attempts, rows, versions and errors.

    RUN_ID: the newest run of the job unless given; the beginning of an id is enough.
    """
    store = store_of(context)
    record = find_run(store, context.app().name, run_id)
    status = statuses(store, [record])[record.start.run_id]
    attempts = attempts_of(store, record, status)
    edges = {"inputs": dict(record.start.inputs), "outputs": dict(record.start.outputs)}
    data = {**data_of(record, status), **edges, "attempts": [asdict(attempt) for attempt in attempts]}

    def render(console: Console) -> None:
        for key in ("run_id", "job", "status", "mode", "started_at", "duration_seconds", "resumes", "job_hash"):
            if data[key] is not None:
                console.print(f"{key:18}{data[key]}", markup=False)
        for key in ("selection", "overrides"):
            if data[key]:
                console.print(f"{key:18}{' '.join(data[key])}", markup=False)
        if data["options"]:
            console.print(printable(f"{'options':18}{json.dumps(data['options'], ensure_ascii=False)}"), markup=False)
        if data["cancel_by"]:
            console.print(printable(f"{'cancel asked by':18}{data['cancel_by']} at {data['cancel_at']}"), markup=False)
        if data["error"]:
            console.print(printable(f"{'error':18}{data['error_type']}: {data['error']}"), markup=False)
        context.table(
            ["pipe", "attempt", "status", "seconds", "rows", "wrote", "read", "message"],
            [_attempt_row(attempt) for attempt in attempts],
        )(console)

    context.emit(data, render)


def _attempt_row(attempt: AttemptRecord) -> list[object]:
    message = f"{attempt.error_type}: {attempt.error}" if attempt.error_type else attempt.reason or attempt.note or ""
    version = attempt.version_written
    wrote = "" if version is None else f"{attempt.output_entity_id or ''}@v{version}"
    return [
        attempt.pipe_id,
        attempt.attempt or "",
        attempt.status,
        seconds(attempt.duration_seconds),
        "" if attempt.rows is None else attempt.rows,
        wrote,
        [_read(attempt, name, version) for name, version in attempt.versions_read.items()],
        message.partition("\n")[0],
    ]


def _read(attempt: AttemptRecord, entity_id: str, version: int) -> str:
    changes = attempt.ranges_read.get(entity_id)
    return f"{entity_id}@v{version}" if changes is None else f"{entity_id}@v{changes[0]}..v{changes[1]}"
