"""``kindling verify``: the job on both engines, in roots of their own, every output compared."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from kindling_core.cli import CommandContext, job_options, json_option
from kindling_core.errors import KindlingError
from kindling_core.pipes import PipeMetadata
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX
from kindling_entities.declare.reserved import QUARANTINED_AT, VALID_FROM, VALID_TO
from kindling_entities.errors import UnsupportedError
from kindling_entities.store import EntityStore
from kindling_entities.temporary import OwnFolder, own_folder, sweep
from kindling_entities.verify.comparison import Comparison

ENGINES = ("embedded", "spark")


class EnginesDiffer(KindlingError):
    """The engines gave different tables, or one of them failed."""


@click.command()
@click.argument("selection", nargs=-1)
@click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="Share of the keys to compare, with all their rows, the same on both engines; of a table without keys, the "
    "share of its different rows.",
)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep both lakes in this folder.")
@json_option
@job_options
@click.pass_obj
def verify(context: CommandContext, selection: tuple[str, ...], sample: float, keep: Path | None) -> None:
    """Run the job on both engines in roots of their own and compare every table, row by row.

    Types and values are compared, and both with the declared columns. Exit status 2 if anything differs.
    """
    from kindling_entities.engines.embedded import EmbeddedEngine

    app = context.app()
    app.start()
    store = app.service(EntityStore)
    sweep()
    with own_folder("verify") as temporary:
        folder = (keep or Path(temporary.path)).resolve()
        plan = app.plan(selection)
        outputs, left_out = _outputs(plan, store)
        _refuse_outside(outputs, store)
        _refuse_used(folder)
        for name in ENGINES:
            root = folder / name
            _link_inputs(plan, store, root)
            context.messages.print(f"Running on {name} ...")
            _run(context, name, root, selection, temporary)
        engine = EmbeddedEngine()
        try:
            sides = [store.elsewhere(engine, folder / name) for name in ENGINES]
            results = [found for name in outputs if (found := _compared(name, sides, sample)) is not None]
        finally:
            engine.stop()
    for name, reason in left_out.items():
        context.messages.print(f"Not compared: {name} ({reason}).")
    data = [
        {
            "entity_id": result.entity_id,
            "rows": result.rows,
            "compared": result.compared,
            "differences": result.differences,
            "note": result.note,
        }
        for result in results
    ]
    rows = [
        [
            result.entity_id,
            *("none" if count is None else count for count in result.rows),
            max(result.compared),
            "; ".join([*(result.differences or ["equal"]), *([result.note] if result.note else [])]),
        ]
        for result in results
    ]
    titles = ["entity_id", *(f"rows on {name}" for name in ENGINES), "compared", "result"]
    context.emit(data, context.table(titles, rows))
    different = [result.entity_id for result in results if not result.equal]
    if different:
        raise EnginesDiffer(f"{len(different)} of {len(results)} tables differ: {', '.join(different)}.")


def _outputs(plan: ExecutionPlan, store: EntityStore) -> tuple[list[str], dict[str, str]]:
    """The entities to compare, their quarantines among them, and why others are not."""
    compared: dict[str, None] = {}
    left_out: dict[str, str] = {}
    for name in (plan.pipes[pipe_id].output_entity_id for pipe_id in plan.pipe_ids):
        if name is None:
            continue
        entity = store.manager.get_entity_definition(name)
        kind = store.kind(name)
        if not kind.durable:
            kept = f"kept in {kind.name}, gone with the run"
            left_out[name] = "a view, computed whenever it is read" if name in store.views else kept
            continue
        compared[name] = None
        if entity.quarantine is not None:
            compared[entity.quarantine.entity_id] = None
    return list(compared), left_out


def _compared(entity_id: str, sides: Sequence[EntityStore], sample: float) -> Comparison | None:
    """Compare an entity; None for a quarantine that neither engine had a row for."""
    from kindling_entities.verify.comparison import compare

    here = [side.check_entity_exists(entity_id) for side in sides]
    entity = sides[0].manager.get_entity_definition(entity_id)
    quarantine = entity_id.endswith(QUARANTINE_SUFFIX)
    if not all(here):
        if not any(here):
            return (
                None if quarantine else Comparison(entity_id, (None, None), note="no pipe wrote it, on either engine")
            )
        found, lacking = (ENGINES[here.index(state)] for state in (True, False))
        return Comparison(entity_id, (None, None), [f"written on {found} and not on {lacking}"])
    readers = [side.engine.to_reader(side.read_entity(entity_id)) for side in sides]
    ignored: tuple[str, ...] = ()
    keys: tuple[str, ...] = entity.keys
    if quarantine:
        # Its key is made of the row's values, which are compared themselves.
        keys, ignored = (), (QUARANTINED_AT,)
    elif entity.scd == 2:
        if entity.sequence_by:
            keys = (*keys, VALID_FROM)
        else:
            ignored = (VALID_FROM, VALID_TO, *([entity.surrogate_key] if entity.surrogate_key else []))
    return compare(entity_id, readers[0], readers[1], keys, ENGINES, sample, declared=entity.columns, ignored=ignored)


def _refuse_used(folder: Path) -> None:
    """A lake of an earlier call would be added to, and its rows compared as if they were new."""
    used = [str(folder / name) for name in ENGINES if (folder / name).is_dir() and any((folder / name).iterdir())]
    if used:
        raise UnsupportedError(f"{', '.join(used)}: not empty. Remove it, or name another folder with --keep.")


def _refuse_outside(outputs: Sequence[str], store: EntityStore) -> None:
    """A table with a place of its own would be written there by both engines, in place of a root of theirs."""
    fixed = [name for name in outputs if store.manager.get_entity_definition(name).path is not None]
    if fixed:
        raise UnsupportedError(
            f"{', '.join(map(repr, fixed))}: declared with path=..., so no engine can write it to a root of its own. "
            "Leave these out of the selection."
        )


def _link_inputs(plan: ExecutionPlan, store: EntityStore, root: Path) -> None:
    """Let the selected pipes read, in the new root, the tables of the real root that they do not write."""
    pipes = [plan.pipes[pipe_id] for pipe_id in plan.pipe_ids]
    made = {pipe.output_entity_id for pipe in pipes}
    for pipe in pipes:
        for name in _read_by(pipe, store):
            if name in made:
                continue
            entity = store.manager.get_entity_definition(name)
            if store.catalog is not None and store.kind(name).catalogs and store.catalog.names(entity):
                raise UnsupportedError(
                    f"{name!r} is read from the catalog, which only Spark can. Select the pipe that writes it, too."
                )
            real = Path(entity.resolve(store.root, store.base_dir))
            link = Path(entity.resolve(root, store.base_dir))
            if real != link and real.exists() and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                os.symlink(real, link)


def _read_by(pipe: PipeMetadata, store: EntityStore) -> list[str]:
    """What a pipe reads, and what its output's expectations look into."""
    names = []
    for entity_id in pipe.parameters.values():
        name = entity_id.partition("@")[0]
        # A view is computed by whoever reads it.
        names += _read_by(store.views.pipe(name), store) if name in store.views else [name]
    if pipe.output_entity_id is not None:
        output = store.manager.get_entity_definition(pipe.output_entity_id)
        names += [expectation.references for expectation in output.expectations if expectation.references]
    return names


def _run(context: CommandContext, engine: str, root: Path, selection: Sequence[str], temporary: OwnFolder) -> None:
    # A process an engine: pyspark allows one kind of session in each.
    command = [sys.executable, "-m", "kindling_core", "run", "--job", str(context.job)]
    # As a job of its own: where runs are recorded, this job neither continues nor repeats those of the real job.
    mine = (f"job.name={context.app().name} (verify)", f"entities.engine={engine}", f"entities.root={root}")
    for assignment in (*context.overrides, *mine, "entities.catalog="):
        command += ["--set", assignment]
    # The folder stays as long as any process uses it, also where this process is killed.
    keeping = temporary.lock_files
    done = subprocess.run([*command, "--", *selection], capture_output=True, text=True, check=False, pass_fds=keeping)
    if done.returncode != 0:
        reasons = [line for line in done.stderr.splitlines() if line.startswith(("error:", "pipe "))]
        reason = reasons[-1] if reasons else done.stderr.strip()[-500:]
        raise EnginesDiffer(f"The job failed on {engine}: {reason}")
