"""Pictures for a terminal and for Markdown."""

from __future__ import annotations

from kindling_core.render._picture import GraphNode, GraphPicture


def render_text(picture: GraphPicture) -> str:
    """Draw the generations as levels; each pipe names what it reads."""
    lines = [f"{picture.title}: {picture.subtitle}".rstrip(": ")]
    sources = picture.sources()
    if sources:
        lines += ["", "sources", *(f"  {name}" for name in sorted(sources))]
    width = max((len(node.pipe_id) for node in picture.nodes), default=0)
    level = -1
    for node in picture.nodes:
        if node.generation != level:
            level = node.generation
            lines += ["", f"generation {level}"]
        reads = f"  <- {', '.join(node.inputs)}" if node.inputs else ""
        writes = f"  -> {node.output}" if node.output not in (None, node.pipe_id) else ""
        lines.append(f"  {node.pipe_id:<{width}}{figures(node)}{reads}{writes}".rstrip())
    return "\n".join(lines)


def render_mermaid(picture: GraphPicture) -> str:
    """Write a mermaid flowchart."""
    names = {node.pipe_id: f"p{number}" for number, node in enumerate(picture.nodes)}
    lines = ["flowchart LR"]
    lines += [f'    {names[node.pipe_id]}["{_quoted(node.pipe_id)}"]' for node in picture.nodes]
    for number, (source, readers) in enumerate(sorted(picture.sources().items())):
        lines.append(f'    s{number}[("{_quoted(source)}")]')
        lines += [f"    s{number} --> {names[reader]}" for reader in readers]
    for pipe_id, makers in picture.producers().items():
        lines += [f"    {names[maker]} --> {names[pipe_id]}" for maker in makers]
    return "\n".join(lines)


def figures(node: GraphNode) -> str:
    """Status, rows and seconds of a pipe that has run, as a short text."""
    told = [] if node.status in (None, "succeeded") else [str(node.status)]
    if node.duration_seconds is not None:
        told.append(f"{node.duration_seconds:.2f} s")
    if node.rows:
        told.append(f"{node.rows:,} rows")
    return f"  [{', '.join(told)}]" if told else ""


def _quoted(text: str) -> str:
    # mermaid reads HTML entities with # in place of &
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
