"""``kindling runs compare``: two runs, pipe by pipe."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_core.state import AttemptRecord
from kindling_core.state.resume import find_run
from kindling_state.commands.described import attempts_of, data_of, statuses, store_of
from kindling_state.commands.described import seconds as seconds_of
from kindling_state.commands.runs import runs


@runs.command()
@click.argument("first")
@click.argument("second")
@json_option
@job_options
@click.pass_obj
def compare(context: CommandContext, first: str, second: str) -> None:
    """Compare two runs pipe by pipe: how they ended, how long they took, what they wrote."""
    store = store_of(context)
    records = [find_run(store, context.app().name, run_id) for run_id in (first, second)]
    known = statuses(store, records)
    runs = [data_of(record, known[record.start.run_id]) for record in records]
    ends = [_last(attempts_of(store, record, run["status"])) for record, run in zip(records, runs, strict=True)]
    pipes: list[dict[str, Any]] = []
    for pipe_id in dict.fromkeys([*ends[0], *ends[1]]):
        left, right = ends[0].get(pipe_id), ends[1].get(pipe_id)
        seconds = [end.duration_seconds if end is not None else None for end in (left, right)]
        old, new = seconds
        start = [record.start.fingerprints.get(pipe_id) for record in records]
        pipes.append(
            {
                "pipe_id": pipe_id,
                "status": [end.status if end is not None else None for end in (left, right)],
                "duration_seconds": seconds,
                "ratio": new / old if old and new is not None else None,
                "rows": [end.rows if end is not None else None for end in (left, right)],
                "version_written": [end.version_written if end is not None else None for end in (left, right)],
                "changed": start[0] != start[1],
            }
        )
    data = {"runs": runs, "pipes": pipes}

    def render(console: Console) -> None:
        for name, run in zip("AB", data["runs"], strict=True):
            console.print(
                f"{name}: {run['run_id']}  {run['status']}  {seconds_of(run['duration_seconds'])} s", markup=False
            )
        context.table(
            ["pipe", "status A", "status B", "seconds A", "seconds B", "B / A", "rows A", "rows B", "code"],
            [
                [
                    row["pipe_id"],
                    *(value or "" for value in row["status"]),
                    *map(seconds_of, row["duration_seconds"]),
                    "" if row["ratio"] is None else f"{row['ratio']:.2f}",
                    *("" if value is None else value for value in row["rows"]),
                    "changed" if row["changed"] else "",
                ]
                for row in pipes
            ],
        )(console)

    context.emit(data, render)


def _last(attempts: list[AttemptRecord]) -> dict[str, AttemptRecord]:
    return {attempt.pipe_id: attempt for attempt in sorted(attempts, key=lambda attempt: attempt.attempt)}
