"""One self-contained HTML file: the graph with timings, and below it who ran when."""

from __future__ import annotations

from html import escape

from kindling_core.render._layout import HEIGHT, Box, place
from kindling_core.render._picture import GraphNode, GraphPicture

CHARACTER, PADDING, LONGEST = 7.3, 14, 34
ROW, LABEL, CHART = 22, 250, 760

STYLE = """
:root { color-scheme: light dark; --back: #fbfaf8; --ink: #22262b; --soft: #6b737c; --line: #c3c8ce; --box: #fff;
  --ok: #2f855a; --bad: #c53030; --skip: #b7791f; --hot: #dd6b20; --source: #eef1f4; }
@media (prefers-color-scheme: dark) { :root { --back: #15181c; --ink: #e6e8ea; --soft: #98a1ab; --line: #4a525b;
  --box: #1f2429; --ok: #68d391; --bad: #fc8181; --skip: #f6c453; --hot: #f6995c; --source: #1a1e23; } }
body { margin: 24px; background: var(--back); color: var(--ink); font: 14px/1.4 system-ui, sans-serif; }
h1 { font-size: 20px; margin: 0; } h2 { font-size: 15px; margin: 24px 0 4px; }
p { margin: 2px 0 12px; color: var(--soft); }
.scroll { overflow-x: auto; } svg text { fill: var(--ink); font: 12px ui-monospace, monospace; }
svg .soft { fill: var(--soft); font-size: 11px; } .edge { fill: none; stroke: var(--line); stroke-width: 1.4; }
.edge.hot { stroke: var(--hot); stroke-width: 2.6; } .box { fill: var(--box); stroke: var(--line); stroke-width: 1.2; }
.source { fill: var(--source); stroke-dasharray: 4 3; } .hot-box { stroke: var(--hot); stroke-width: 2.4; }
.succeeded { fill: var(--ok); } .failed { fill: var(--bad); } .skipped { fill: var(--skip); }
.planned { fill: var(--line); }
.grid { stroke: var(--line); stroke-width: .5; } .key { color: var(--soft); } .key b { color: var(--hot); }
.dim { opacity: .15; } g.node { cursor: default; }
"""

# Hovering a pipe fades everything that is not joined to it.
SCRIPT = """
const marked = document.querySelectorAll('[data-of]');
document.querySelectorAll('g.node').forEach(node => {
  const id = node.dataset.id;
  const near = new Set([id]);
  document.querySelectorAll('.edge').forEach(edge => {
    const [from, to] = JSON.parse(edge.dataset.of);
    if (from === id || to === id) { near.add(from); near.add(to); }
  });
  node.addEventListener('mouseenter', () => marked.forEach(one => {
    const ends = JSON.parse(one.dataset.of);
    one.classList.toggle('dim', one.matches('.edge') ? !ends.includes(id) : !near.has(ends[0]));
  }));
  node.addEventListener('mouseleave', () => marked.forEach(one => one.classList.remove('dim')));
});
"""


def render_html(picture: GraphPicture) -> str:
    """Draw the graph and, if it has run, its timeline. Nothing is loaded from elsewhere; all data is escaped."""
    hot = set(picture.critical_path())
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(picture.title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(picture.title)}</h1><p>{escape(picture.subtitle)}</p>",
        f'<div class="scroll">{_graph(picture, hot)}</div>',
    ]
    if any(node.started_seconds is not None for node in picture.nodes):
        parts.append(f"<h2>Who ran when</h2><div class='scroll'>{_timeline(picture, hot)}</div>")
    if hot:
        parts.append("<p class='key'><b>Orange</b>: the critical path, the chain that bounds the run's time.</p>")
    parts.append(f"<script>{SCRIPT}</script></body></html>\n")
    return "\n".join(parts)


def _graph(picture: GraphPicture, hot: set[str]) -> str:
    # Names of sources and pipes may be equal; the prefix keeps their boxes apart.
    sources = picture.sources()
    generations = max((node.generation for node in picture.nodes), default=-1) + 1
    columns: list[list[str]] = [[f"s:{name}" for name in sources]]
    columns += [[f"p:{node.pipe_id}" for node in picture.nodes if node.generation == g] for g in range(generations)]
    edges = [(f"s:{name}", f"p:{reader}") for name, readers in sources.items() for reader in readers]
    edges += [(f"p:{maker}", f"p:{pipe}") for pipe, makers in picture.producers().items() for maker in makers]
    nodes = {f"p:{node.pipe_id}": node for node in picture.nodes}
    widths = {key: _width(key[2:], nodes.get(key)) for column in columns for key in column}
    layout = place(columns, edges, widths)
    drawn = [_edge(start, end, layout.boxes, start[2:] in hot and end[2:] in hot) for start, end in edges]
    drawn += [_box(key, box, nodes.get(key), key[2:] in hot) for key, box in layout.boxes.items()]
    return (
        f'<svg width="{layout.width:.0f}" height="{layout.height:.0f}" role="img" '
        f'aria-label="graph of pipes">{"".join(drawn)}</svg>'
    )


def _width(name: str, node: GraphNode | None) -> float:
    longest = max(len(_short(name)), len(_told(node)) * 0.92 if node else 6)
    return longest * CHARACTER + 2 * PADDING


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _told(node: GraphNode) -> str:
    told = [] if node.status in (None, "succeeded") else [str(node.status)]
    if node.duration_seconds is not None:
        told.append(f"{node.duration_seconds:.2f} s")
    if node.rows is not None and node.status == "succeeded":
        told.append(f"{node.rows:,} rows")
    return " · ".join(told)


def _edge(start: str, end: str, boxes: dict[str, Box], hot: bool) -> str:
    a, b = boxes[start], boxes[end]
    x1, y1, x2, y2 = a.x + a.width, a.y + a.height / 2, b.x, b.y + b.height / 2
    bend = (x2 - x1) / 2
    path = f"M{x1:.1f},{y1:.1f} C{x1 + bend:.1f},{y1:.1f} {x2 - bend:.1f},{y2:.1f} {x2:.1f},{y2:.1f}"
    return f'<path class="edge{" hot" if hot else ""}" data-of="{_json([start, end])}" d="{path}"/>'


def _box(key: str, box: Box, node: GraphNode | None, hot: bool) -> str:
    name = key[2:]
    kind = "box source" if node is None else f"box{' hot-box' if hot else ''}"
    hint = name if node is None else f"{name}\n{_told(node)}" + (f"\n{node.error}" if node.error else "")
    text_y = box.y + (HEIGHT / 2 + 4 if node is None or not _told(node) else 19)
    parts = [
        f'<g class="node" data-id="{escape(key)}" data-of="{_json([key])}"><title>{escape(hint)}</title>',
        f'<rect class="{kind}" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{HEIGHT}" rx="7"/>',
    ]
    if node is not None:
        status = node.status if node.status in ("succeeded", "failed", "skipped") else "planned"
        parts.append(f'<rect class="{status}" x="{box.x:.1f}" y="{box.y + 8:.1f}" width="4" height="{HEIGHT - 16}"/>')
    parts.append(f'<text x="{box.x + PADDING:.1f}" y="{text_y:.1f}">{escape(_short(name))}</text>')
    if node is not None and _told(node):
        parts.append(f'<text class="soft" x="{box.x + PADDING:.1f}" y="{box.y + 36:.1f}">{escape(_told(node))}</text>')
    parts.append("</g>")
    return "".join(parts)


def _timeline(picture: GraphPicture, hot: set[str]) -> str:
    ran = [node for node in picture.nodes if node.started_seconds is not None]
    ran.sort(key=lambda node: node.started_seconds or 0.0)
    ends = [(node.started_seconds or 0.0) + (node.duration_seconds or 0.0) for node in ran]
    total = max([picture.total_seconds or 0.0, *ends]) or 1.0
    height = len(ran) * ROW + 26
    parts = [f'<svg width="{LABEL + CHART + 90}" height="{height}" role="img" aria-label="timeline of the run">']
    for tick in range(6):
        x = LABEL + CHART * tick / 5
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height - 22}"/>')
        anchor = f'text-anchor="middle" x="{x:.1f}" y="{height - 6}"'
        parts.append(f'<text class="soft" {anchor}>{total * tick / 5:.2f} s</text>')
    for row, node in enumerate(ran):
        y = row * ROW
        x = LABEL + CHART * (node.started_seconds or 0.0) / total
        width = max(2.0, CHART * (node.duration_seconds or 0.0) / total)
        status = node.status if node.status in ("succeeded", "failed", "skipped") else "planned"
        border = ' class="hot-box"' if node.pipe_id in hot else ""
        bar = f'x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}" rx="3"'
        key = f"p:{node.pipe_id}"
        parts.append(
            f'<g data-of="{_json([key])}"><title>{escape(node.pipe_id)}</title>'
            f'<text text-anchor="end" x="{LABEL - 10}" y="{y + 15}">{escape(_short(node.pipe_id))}</text>'
            f'<g{border}><rect class="{status}" {bar}/></g>'
            f'<text class="soft" x="{x + width + 6:.1f}" y="{y + 15}">{node.duration_seconds or 0.0:.2f} s</text></g>'
        )
    parts.append("</svg>")
    return "".join(parts)


def _json(values: list[str]) -> str:
    import json

    return escape(json.dumps(values))
