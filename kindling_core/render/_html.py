"""A self-contained HTML file: the graph with its figures, and below it who ran when."""

from __future__ import annotations

from html import escape

from kindling_core.render._page import POLICY, SCRIPT, STYLE
from kindling_core.render._picture import GraphPicture
from kindling_core.render._svg import graph_svg
from kindling_core.render._timeline import timeline_html
from kindling_core.render._words import KNOWN_STATUSES, clean, seconds_text

TOOLS = (
    '<div class="tools"><input id="find" type="search" placeholder="Find a pipe" aria-label="Find a pipe">'
    '<button id="out" title="Smaller">−</button><button id="in" title="Larger">+</button>'
    '<button id="full">100%</button><button id="fit">Fit</button></div>'
)


def render_html(picture: GraphPicture) -> str:
    """Draw the graph and, if it has run, its timeline. Nothing is loaded from elsewhere; all data is escaped."""
    title = escape(clean(picture.title))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        f"<h1>{title}</h1><p>{escape(clean(picture.subtitle))}</p>",
        _tiles(picture),
        f'<section><header><h2>Pipes</h2>{_key(picture)}{TOOLS}</header><div class="scroll">{graph_svg(picture)}</div>'
        "</section>",
        _errors(picture),
    ]
    timeline = timeline_html(picture)
    if timeline:
        parts.append(f"<section><header><h2>Who ran when</h2></header>{timeline}</section>")
    parts.append(f"<script>{SCRIPT}</script></body></html>\n")
    return "\n".join(part for part in parts if part)


def _tiles(picture: GraphPicture) -> str:
    """Sum the run up in a few figures; a plan that has not run has none."""
    ran = [node for node in picture.nodes if node.duration_seconds is not None]
    if not any(node.status for node in picture.nodes):
        return ""
    counts = {status: sum(node.status == status for node in picture.nodes) for status in KNOWN_STATUSES}
    figures = [(status, f"{counts[status]:,}", status) for status in KNOWN_STATUSES if counts[status]]
    if picture.total_seconds is not None:
        figures.append(("took", seconds_text(picture.total_seconds), ""))
    work = sum(node.duration_seconds or 0.0 for node in ran)
    if work and picture.total_seconds:
        figures.append(("pipes at once, on average", f"{work / picture.total_seconds:.1f}", ""))
    durations = {node.pipe_id: node.duration_seconds or 0.0 for node in ran}
    path = sum(durations.get(pipe_id, 0.0) for pipe_id in picture.critical_path())
    if path:
        figures.append(("critical path", seconds_text(path), ""))
    rows = sum(node.rows or 0 for node in picture.nodes if node.status == "succeeded")
    if rows:
        figures.append(("rows written", f"{rows:,}", ""))
    items = (f'<li><span>{label}</span><b class="{style}">{figure}</b></li>' for label, figure, style in figures)
    return f'<ul class="tiles">{"".join(items)}</ul>'


def _key(picture: GraphPicture) -> str:
    entries = []
    if picture.sources():
        entries.append(("background:var(--source);border:1px dashed var(--edge)", "read, not made here"))
    if picture.critical_path():
        entries.append(("background:var(--hot)", "critical path: the slowest chain of pipes that wait for each other"))
    shown = "".join(f'<span><i style="{style}"></i>{text}</span>' for style, text in entries)
    return f'<div class="key">{shown}</div>'


def _errors(picture: GraphPicture) -> str:
    failed = [node for node in picture.nodes if node.error]
    if not failed:
        return ""
    items = "".join(
        f'<li><b class="mono">{escape(clean(node.pipe_id))}</b>'
        f'<pre class="mono">{escape(chr(10).join(map(clean, (node.error or "").splitlines())))}</pre></li>'
        for node in failed
    )
    return f'<section><header><h2>What went wrong</h2></header><ul class="errors">{items}</ul></section>'
