"""``kindling verify``: the job on both engines, in roots of their own, every output compared."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from kindling_core.cli import CommandContext
from kindling_core.cli._context import job_options, json_option
from kindling_core.errors import KindlingError
from kindling_core.pipes import PipeMetadata
from kindling_core.plan import ExecutionPlan
from kindling_entities.errors import UnsupportedError
from kindling_entities.store import EntityStore

ENGINES = ("embedded", "spark")


class EnginesDiffer(KindlingError):
    """The engines gave different tables, or one of them failed."""


@click.command()
@click.argument("selection", nargs=-1)
@click.option("--sample", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Share of the keys to compare.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep both lakes in this folder.")
@json_option
@job_options
@click.pass_obj
def verify(context: CommandContext, selection: tuple[str, ...], sample: float, keep: Path | None) -> None:
    """Run the job on both engines in roots of their own and compare every table, row by row."""
    from kindling_entities.engines.embedded import EmbeddedEngine
    from kindling_entities.protocols import Table
    from kindling_entities.verification import compare

    app = context.app()
    app.start()
    store = app.service(EntityStore)
    with tempfile.TemporaryDirectory(prefix="kindling-verify-") as temporary:
        folder = keep or Path(temporary)
        plan = app.plan(selection)
        outputs = _outputs(plan, store)
        _refuse_outside(outputs, store)
        for name in ENGINES:
            root = (folder / name).resolve()
            _link_inputs(plan, store, root)
            context.messages.print(f"Running on {name} ...")
            _run(context, name, root, selection)
        results = []
        engine = EmbeddedEngine()
        try:
            for entity_id in outputs:
                entity = store.manager.get_entity_definition(entity_id)
                sides = []
                for name in ENGINES:
                    table = Table(entity_id, entity.resolve((folder / name).resolve(), app.base_dir))
                    sides.append(engine.to_reader(engine.read(table)).read_all())
                results.append(compare(entity_id, sides[0], sides[1], entity.keys, ENGINES, sample))
        finally:
            engine.stop()
    data = [{"entity_id": one.entity_id, "rows": one.rows, "differences": one.differences} for one in results]
    rows = [[one.entity_id, one.rows[0], one.rows[1], "; ".join(one.differences) or "equal"] for one in results]
    context.emit(data, context.table(["entity_id", *(f"rows on {name}" for name in ENGINES), "result"], rows))
    different = [one.entity_id for one in results if not one.equal]
    if different:
        raise EnginesDiffer(f"{len(different)} of {len(results)} tables differ: {', '.join(different)}.")


def _outputs(plan: ExecutionPlan, store: EntityStore) -> list[str]:
    tables = set(store.tables())
    made = (plan.pipes[pipe_id].output_entity_id for pipe_id in plan.pipe_ids)
    return [entity_id for entity_id in dict.fromkeys(made) if entity_id is not None and entity_id in tables]


def _refuse_outside(outputs: Sequence[str], store: EntityStore) -> None:
    """A table with a place of its own would be written there by both engines, in place of a root of theirs."""
    fixed = [name for name in outputs if store.manager.get_entity_definition(name).path is not None]
    if fixed:
        raise UnsupportedError(
            f"{', '.join(map(repr, fixed))}: declared with path=..., so no engine can write it to a root of its own. "
            "Leave these out of the selection."
        )


def _link_inputs(plan: ExecutionPlan, store: EntityStore, root: Path) -> None:
    """Let the selected pipes read, in the new root, the tables of the real one that they do not make."""
    pipes = [plan.pipes[pipe_id] for pipe_id in plan.pipe_ids]
    made = {pipe.output_entity_id for pipe in pipes}
    for pipe in pipes:
        for name in _read_by(pipe, store):
            if name in made:
                continue
            entity = store.manager.get_entity_definition(name)
            if store.catalog is not None and store.catalog.names(entity):
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
        names += [one.references for one in output.expectations if one.references]
    return names


def _run(context: CommandContext, engine: str, root: Path, selection: Sequence[str]) -> None:
    # A process an engine: pyspark allows one kind of session in each.
    command = [sys.executable, "-m", "kindling_core", "run", "--job", str(context.job)]
    for assignment in (*context.overrides, f"entities.engine={engine}", f"entities.root={root}", "entities.catalog="):
        command += ["--set", assignment]
    done = subprocess.run([*command, "--", *selection], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reasons = [line for line in done.stderr.splitlines() if line.startswith(("error:", "pipe "))]
        told = reasons[-1] if reasons else done.stderr.strip()[-500:]
        raise EnginesDiffer(f"The job failed on {engine}: {told}")
