"""The picture for Markdown: a mermaid flowchart, which GitHub and many editors draw."""

from __future__ import annotations

import itertools

from kindling_core.render._picture import GraphPicture
from kindling_core.render._words import KNOWN_STATUSES, clean, figures

# Readable on light and dark pages alike: colour on the border only.
STYLES = {"succeeded": "stroke:#2f855a", "failed": "stroke:#c53030", "skipped": "stroke:#b7791f,stroke-dasharray:4"}
CRITICAL = "stroke:#5b5bd6,stroke-width:3px"
SOURCE = "stroke-dasharray:4 3"


def render_mermaid(picture: GraphPicture) -> str:
    """Write a flowchart; a run colours its pipes and emphasises its critical path."""
    # Own names for the nodes: an id such as "end" is a word of mermaid.
    names = {node.pipe_id: f"p{number}" for number, node in enumerate(picture.nodes)}
    lines = ["flowchart LR"]
    for node in picture.nodes:
        text = " · ".join(figures(node))
        label = _quoted(node.pipe_id) + (f"<br/>{_quoted(text)}" if text else "")
        lines.append(f'    {names[node.pipe_id]}["{label}"]')
    edges: list[str] = []
    sources = sorted(picture.sources().items())
    for number, (source, readers) in enumerate(sources):
        lines.append(f'    s{number}[("{_quoted(source)}")]')
        edges += [f"    s{number} --> {names[reader]}" for reader in readers]
    path = picture.critical_path()
    steps = set(itertools.pairwise(path))
    emphasised: list[int] = []
    for pipe_id, makers in picture.producers().items():
        for maker in makers:
            if (maker, pipe_id) in steps:
                emphasised.append(len(edges))
            edges.append(f"    {names[maker]} --> {names[pipe_id]}")
    lines += edges
    for status in KNOWN_STATUSES:
        members = [names[node.pipe_id] for node in picture.nodes if node.status == status]
        if members:
            lines += [f"    classDef {status} {STYLES[status]}", f"    class {','.join(members)} {status}"]
    if sources:
        ids = ",".join(f"s{number}" for number in range(len(sources)))
        lines += [f"    classDef source {SOURCE}", f"    class {ids} source"]
    if emphasised:
        lines.append(f"    linkStyle {','.join(map(str, emphasised))} {CRITICAL}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    # mermaid reads HTML entities with # in place of &; a leading backtick would start a Markdown string
    for character, entity in (
        ("#", "#35;"),
        ('"', "#quot;"),
        ("<", "#lt;"),
        (">", "#gt;"),
        ("&", "#amp;"),
        ("`", "#96;"),
    ):
        text = text.replace(character, entity)
    return clean(text)
