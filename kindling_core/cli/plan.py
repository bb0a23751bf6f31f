"""``kindling plan``: which pipes would run, in which order, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from kindling_core.app import App
from kindling_core.cli.context import CommandContext
from kindling_core.cli.options import MODE, SELECTION, job_options, json_option
from kindling_core.pipes import PipeMetadata, split_version
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plan.graph import ExecutionMode
from kindling_core.plan.schedule import Schedule
from kindling_core.plan.selection import reasons


def explain_plan(app: App, selection: Sequence[str], mode: str) -> dict[str, Any]:
    """Return a plan with, for each pipe, why it runs, what it waits for, and what it is expected to take."""
    made = app.plan(selection, mode)
    schedule, expected = app.schedule(made), app.expected_seconds(made.pipe_ids)
    why = reasons(selection, app.all_pipes())
    settings = app.config.section("execution")
    cached = _kept(app, made, settings.cache)
    place = {pipe_id: index for index, generation in enumerate(made.generations) for pipe_id in generation}
    pipes = []
    for pipe_id in made.pipe_ids:
        pipe = made.pipes[pipe_id]
        pipes.append(
            {
                "generation": place.get(pipe_id),
                "pipe_id": pipe_id,
                "inputs": list(pipe.input_entity_ids),
                "output": pipe.output_entity_id,
                "waits_for": sorted(schedule.waits_for.get(pipe_id, ())),
                "runs_because": "a feature added it"
                if pipe_id in made.added_pipes
                else why.get(pipe_id, "it was named"),
                "waits_because": _waits(app, made, schedule, pipe, settings.schedule),
                "pool": pipe.options.get("pool"),
                "expected_seconds": expected.get(pipe_id),
                "cached_inputs": [name for name in pipe.input_entity_ids if name in cached],
            }
        )
    path = schedule.critical_path() if made.total_pipes else []
    known = bool(path) and all(pipe_id in expected for pipe_id in path)
    return {
        "mode": ExecutionMode(made.mode).value,
        "total_pipes": made.total_pipes,
        "max_parallelism": made.max_parallelism,
        "schedule": settings.schedule,
        "generations": made.generations,
        "cache": settings.cache,
        "cache_recommendations": made.cache_recommendations,
        "cached": cached,
        "critical_path": path,
        "critical_path_seconds": sum(expected[pipe_id] for pipe_id in path) if known else None,
        "notes": list(made.notes),
        "pipes": pipes,
    }


def _kept(app: App, plan: ExecutionPlan, cache: str) -> list[str]:
    """Return which of the inputs that several pipes read are kept in memory between them."""
    if cache == "never":
        return []
    kept = []
    for name in plan.cache_recommendations:
        info = app.describe_entity(split_version(name)[0]) if cache == "auto" else None
        if cache == "always" or (info is not None and info.read_once):
            kept.append(name)
    return kept


def _waits(app: App, plan: ExecutionPlan, schedule: Schedule, pipe: PipeMetadata, kind: str) -> list[str]:
    """Say of each pipe that a pipe waits for why it waits, and what else may keep it."""
    read = {name for written in pipe.input_entity_ids for name in (written, split_version(written)[0])}
    waits = []
    for other in sorted(schedule.waits_for.get(pipe.pipe_id, ())):
        maker = plan.pipes[other]
        if maker.output_entity_id in read:
            same = maker.output_entity_id == other
            waits.append(other if same else f"{other} (writes {maker.output_entity_id})")
        elif (other, pipe.pipe_id) in plan.added_edges:
            waits.append(f"{other} (a feature put it before this pipe)")
        elif pipe.output_entity_id in maker.input_entity_ids:
            waits.append(f"{other} (reads {pipe.output_entity_id}, and its stream starts first)")
        elif pipe.mode == "streaming" and maker.mode != "streaming":
            waits.append(f"{other} (batch pipes run before streams)")
        else:
            waits.append(f"{other} ({_why(app, maker, pipe)})")
    place = next((index for index, ids in enumerate(plan.generations) if pipe.pipe_id in ids), 0)
    if kind == "generation" and place:
        waits.append(f"all of generation {place - 1}")
    if pipe.options.get("pool"):
        waits.append(f"a place in the pool {pipe.options['pool']}")
    return waits


def _why(app: App, maker: PipeMetadata, pipe: PipeMetadata) -> str:
    """Say how a pipe depends on another whose output it does not read."""
    for name in pipe.input_entity_ids:
        info = app.describe_entity(split_version(name)[0])
        if info is None:
            continue
        if info.written_with is not None and info.written_with == maker.output_entity_id:
            return f"writes {info.written_with}, and {info.entity_id} with it"
        if info.filled_by_reading is not None and _reads(app, maker, info.filled_by_reading):
            return f"reads {info.filled_by_reading}, which fills {info.entity_id}"
    return f"writes {maker.output_entity_id}, which {pipe.output_entity_id} refers to"


def _reads(app: App, pipe: PipeMetadata, entity_id: str) -> bool:
    """Whether a pipe reads an entity, also because its output refers to it."""
    output = None if pipe.output_entity_id is None else app.describe_entity(pipe.output_entity_id)
    return entity_id in pipe.input_entity_ids or (output is not None and entity_id in output.references)


@click.command()
@SELECTION
@MODE
@json_option
@job_options
@click.pass_obj
def plan(context: CommandContext, selection: tuple[str, ...], mode: str) -> None:
    """Show what would run and why, what each pipe waits for, and what the run cannot be shorter than."""
    app = context.app()
    data = explain_plan(app, selection, mode)

    def render(console: Console) -> None:
        console.print(
            f"{data['total_pipes']} pipes in {len(data['generations'])} generations, "
            f"at most {data['max_parallelism']} at the same time"
        )
        context.table(
            ["generation", "pipe", "output", "runs because", "waits for", "seconds", "kept in memory"],
            [
                [
                    row["generation"],
                    row["pipe_id"],
                    row["output"],
                    row["runs_because"],
                    row["waits_because"],
                    "" if row["expected_seconds"] is None else f"{row['expected_seconds']:.2f}",
                    row["cached_inputs"],
                ]
                for row in data["pipes"]
            ],
        )(console)
        if data["cache_recommendations"]:
            again = [name for name in data["cache_recommendations"] if name not in data["cached"]]
            for how, names in (("kept in memory for all", data["cached"]), ("read by each again", again)):
                if names:
                    console.print(f"read by several pipes, {how}: {', '.join(names)}", markup=False)
        path = data["critical_path"]
        if path:
            seconds = f", {data['critical_path_seconds']:.2f} s" if data["critical_path_seconds"] is not None else ""
            console.print(f"critical path ({len(path)} pipes{seconds}): {' -> '.join(path)}", markup=False)
        for note in data["notes"]:
            console.print(note, markup=False)

    context.emit(data, render)
