"""``kindling graph``: draws the pipes."""

from __future__ import annotations

from pathlib import Path

import click

from kindling_core.cli.context import CommandContext
from kindling_core.cli.options import MODE, SELECTION, job_options, json_option
from kindling_core.cli.output import write_file
from kindling_core.render import picture_of, render_html, render_mermaid, render_text


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
    """Draw the graph of the pipes: text, mermaid, or a self-contained HTML file."""
    app = context.app()
    made = app.plan(selection, mode)
    picture = picture_of(made, {pipe.pipe_id: pipe for pipe in app.all_pipes()} | made.pipes, title=app.name)
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
