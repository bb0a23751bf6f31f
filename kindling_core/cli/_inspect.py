"""Commands that show what a job is, without running it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from kindling_core.cli._context import CommandContext, job_options, json_option
from kindling_core.cli._plan import explain_plan
from kindling_core.errors import PluginError
from kindling_core.graph import ExecutionMode
from kindling_core.plugins import discover
from kindling_core.render import picture_of, render_html, render_mermaid, render_text
from kindling_core.signals.catalogue import catalogue

SELECTION = click.argument("selection", nargs=-1)
MODE = click.option(
    "--mode",
    type=click.Choice([mode.value for mode in ExecutionMode]),
    default=ExecutionMode.BATCH.value,
    show_default=True,
    help="The order: producers first, consumers first, or batch and then streams.",
)


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
            for told, names in (("kept in memory for all", data["cached"]), ("read by each again", again)):
                if names:
                    console.print(f"read by several pipes, {told}: {', '.join(names)}", markup=False)
        path = data["critical_path"]
        if path:
            seconds = f", {data['critical_path_seconds']:.2f} s" if data["critical_path_seconds"] is not None else ""
            console.print(f"critical path ({len(path)} pipes{seconds}): {' -> '.join(path)}", markup=False)
        for note in data["notes"]:
            console.print(note, markup=False)

    context.emit(data, render)


@click.command()
@SELECTION
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "mermaid", "html"]),
    help="Default: by the ending of --output, else text.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@MODE
@json_option
@job_options
@click.pass_obj
def graph(
    context: CommandContext, selection: tuple[str, ...], kind: str | None, output: Path | None, mode: str
) -> None:
    """Draw the graph of the pipes: text, mermaid, or one self-contained HTML file."""
    app = context.app()
    made = app.plan(selection, mode)
    picture = picture_of(made, {pipe.pipe_id: pipe for pipe in app.all_pipes()}, title=app.name)
    if context.json:
        data = {
            "nodes": [
                {"pipe_id": node.pipe_id, "inputs": node.inputs, "output": node.output, "generation": node.generation}
                for node in picture.nodes
            ],
            "edges": [[maker, pipe_id] for pipe_id, makers in picture.producers().items() for maker in makers],
        }
        context.emit(data, lambda console: None)
        return
    kind = kind or _kind_of(output)
    text = {"text": render_text, "mermaid": render_mermaid, "html": render_html}[kind](picture)
    if output is None:
        click.echo(text)
        return
    write_file(output, text)
    context.messages.print(f"Wrote {output}")


def _kind_of(output: Path | None) -> str:
    endings = {".html": "html", ".htm": "html", ".mmd": "mermaid", ".mermaid": "mermaid"}
    return endings.get(output.suffix.lower(), "text") if output else "text"


def write_file(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        click.ClickException: the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}.") from error


@click.command()
@click.argument("pattern", required=False)
@json_option
@job_options
@click.pass_obj
def signals(context: CommandContext, pattern: str | None) -> None:
    """Show every signal of the job: its payload, its meaning, and who emits it."""
    from fnmatch import fnmatchcase

    entries = [
        entry for entry in catalogue(context.app().emitters()) if pattern is None or fnmatchcase(entry.name, pattern)
    ]

    def render(console: Console) -> None:
        for entry in entries:
            console.print(f"[bold]{entry.name}[/bold]  ({', '.join(entry.emitters)})")
            console.print(f"  {entry.doc}", markup=False)
            for field in entry.fields:
                console.print(f"    {field.name}: {field.type}  {field.doc}", markup=False)

    context.emit([entry.to_dict() for entry in entries], render)


@click.command()
@json_option
@job_options
@click.pass_obj
def plugins(context: CommandContext) -> None:
    """List the installed features, which of them this job runs with, and what is wrong with any."""
    active = context.app().features if context.job.exists() else []
    rows = []
    for name, feature in sorted(discover().items()):
        problem = ""
        requires: list[str] = []
        try:
            requires = list(getattr(feature.load(), "requires", ()))
        except PluginError as error:
            problem = str(error)
        rows.append(
            {
                "feature": name,
                "active": name in active,
                "distribution": feature.distribution,
                "version": feature.version,
                "requires": requires,
                "problem": problem,
            }
        )
    render = context.table(
        ["feature", "active", "distribution", "version", "requires", "problem"],
        [["yes" if value is True else "" if value is False else value for value in row.values()] for row in rows],
    )
    context.emit(rows, render)


@click.command()
@json_option
@job_options
@click.pass_obj
def config(context: CommandContext) -> None:
    """Show each setting, its value and where it came from; secrets are masked."""
    settings = context.app().config.settings()
    data = [{"key": setting.key, "value": setting.value, "origin": setting.origin} for setting in settings]
    context.emit(
        data,
        context.table(
            ["setting", "value", "origin"], [[setting.key, setting.value, setting.origin] for setting in settings]
        ),
    )
