"""The graph as SVG: a box for each pipe and each source, a curve for each dependency."""

from __future__ import annotations

import itertools
from html import escape

from kindling_core.render._layout import HEIGHT, Box, Layout, place
from kindling_core.render._picture import GraphNode, GraphPicture
from kindling_core.render._words import KNOWN_STATUSES, clean, columns_of, figures, rows_text, seconds_text, shortened

CHARACTER, SMALL, PADDING, LONGEST = 7.3, 6.7, 14.0, 44
SOURCE_HEIGHT, HEAD = 26.0, 26.0
ARROW = 7.0

Edge = tuple[str, str]


def numbers_of(picture: GraphPicture) -> dict[str, int]:
    """Pipe id -> the number under which the script knows it."""
    return {node.pipe_id: number for number, node in enumerate(picture.nodes)}


def status_class(node: GraphNode) -> str:
    """Return the class that colours the pipe; a status that the page does not know has none."""
    return f" {node.status}" if node.status in KNOWN_STATUSES else ""


def hint(node: GraphNode) -> str:
    """Return everything that is known of a pipe, for its tooltip. The first line is its id alone."""
    lines = [clean(node.pipe_id)]
    if node.status is not None:
        lines.append(clean(node.status))
    if node.duration_seconds is not None:
        started = f", started at {seconds_text(node.started_seconds)}" if node.started_seconds else ""
        lines.append(f"took {seconds_text(node.duration_seconds)}{started}")
    if node.rows is not None and node.status in (None, "succeeded"):
        lines.append(rows_text(node.rows))
    lines += [f"reads {clean(name)}" for name in node.inputs]
    if node.output is not None:
        lines.append(f"writes {clean(node.output)}")
    if node.tags:
        tags = (f"{name}={value}" if value else name for name, value in node.tags.items())
        lines.append(clean(f"tags {', '.join(tags)}"))
    if node.error:
        lines += map(clean, node.error.strip().splitlines()[:6])
    return "\n".join(lines)


def graph_svg(picture: GraphPicture) -> str:
    """Draw the graph: columns are generations, and a source lies just left of the first pipe that reads it."""
    # A source may be named like a pipe; the prefix keeps their boxes apart.
    nodes = {f"p:{node.pipe_id}": node for node in picture.nodes}
    columns = _columns(picture)
    sources = picture.sources()
    edges = [(f"s:{name}", f"p:{reader}") for name, readers in sources.items() for reader in dict.fromkeys(readers)]
    edges += [
        (f"p:{maker}", f"p:{pipe_id}")
        for pipe_id, makers in picture.producers().items()
        for maker in dict.fromkeys(makers)
    ]
    heights = {f"s:{name}": SOURCE_HEIGHT for name in sources}
    layout = place(columns, edges, _widths(columns, nodes), heights)
    keys = {f"p:{pipe_id}": str(number) for pipe_id, number in numbers_of(picture).items()}
    keys |= {f"s:{name}": f"s{number}" for number, name in enumerate(sources)}
    path = picture.critical_path()
    hot_edges = {(f"p:{maker}", f"p:{pipe_id}") for maker, pipe_id in itertools.pairwise(path)}
    hot_boxes = {f"p:{pipe_id}" for pipe_id in path}
    longest = max((node.duration_seconds or 0.0 for node in picture.nodes), default=0.0)
    drawn = _heads(columns, nodes, layout)
    # The critical path last, so that nothing covers it.
    drawn += [_edge(edge, layout, keys, edge in hot_edges) for edge in sorted(edges, key=hot_edges.__contains__)]
    drawn += _tips(edges, layout, hot_edges)
    for key, box in layout.boxes.items():
        if key in nodes:
            drawn.append(_pipe(nodes[key], box, keys[key], key in hot_boxes, longest))
        else:
            drawn.append(_source(key[2:], box, keys[key]))
    width, height = f"{layout.width:.0f}", f"{layout.height + HEAD:.0f}"
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 {-HEAD:.0f} {width} {height}" role="img" '
        f'aria-label="graph of pipes">{"".join(drawn)}</svg>'
    )


def _columns(picture: GraphPicture) -> list[list[str]]:
    levels = picture.levels()
    # Column 0 is for the sources of the first pipes; later sources share the column of the level before.
    columns: list[list[str]] = [[] for _ in range(max(levels.values(), default=-1) + 2)]
    for node in picture.nodes:
        columns[levels[node.pipe_id] + 1].append(f"p:{node.pipe_id}")
    for name, readers in picture.sources().items():
        columns[min(levels[reader] for reader in readers)].append(f"s:{name}")
    return columns


def _widths(columns: list[list[str]], nodes: dict[str, GraphNode]) -> dict[str, float]:
    widths: dict[str, float] = {}
    for column in columns:
        pipes = [key for key in column if key in nodes]
        widest = max((_pipe_width(nodes[key]) for key in pipes), default=0.0)
        widths |= dict.fromkeys(pipes, widest)
        widths |= {
            key: columns_of(shortened(key[2:], LONGEST)) * SMALL + 2 * PADDING for key in column if key not in nodes
        }
    return widths


def _pipe_width(node: GraphNode) -> float:
    name = columns_of(shortened(node.pipe_id, LONGEST)) * CHARACTER
    return max(name, len(" · ".join(figures(node))) * SMALL, 70.0) + 2 * PADDING


def _heads(columns: list[list[str]], nodes: dict[str, GraphNode], layout: Layout) -> list[str]:
    drawn = []
    for column, (left, _) in zip(columns, layout.columns, strict=True):
        pipes = [key for key in column if key in nodes]
        generations = {nodes[key].generation for key in pipes}
        if len(generations) == 1:
            text = f"generation {generations.pop()}" + (f" · {len(pipes)} pipes" if len(pipes) > 1 else "")
            # Boxes are set flush right, so a wide source may leave the pipes narrower than their column.
            x = layout.boxes[pipes[0]].x
        elif column and not pipes:
            text, x = "sources", min(layout.boxes[key].x for key in column)
        else:
            continue
        drawn.append(f'<text class="head" x="{max(x, left):.1f}" y="-4">{text}</text>')
    return drawn


def _edge(edge: Edge, layout: Layout, keys: dict[str, str], hot: bool) -> str:
    start, end = (layout.boxes[key] for key in edge)
    x, y = start.x + start.width, start.middle
    path = [f"M{x:.1f},{y:.1f}"]
    stops = [*layout.lanes.get(edge, ()), (end.x - ARROW + 1, end.x, end.middle)]
    for left, right, lane in stops:
        bend = (left - x) / 2
        path.append(f"C{x + bend:.1f},{y:.1f} {left - bend:.1f},{lane:.1f} {left:.1f},{lane:.1f}")
        if right != end.x:
            path.append(f"H{right:.1f}")
        x, y = right, lane
    numbers = f"{keys[edge[0]]} {keys[edge[1]]}"
    return f'<path class="edge{" hot" if hot else ""}" data-e="{numbers}" d="{" ".join(path)}"/>'


def _tips(edges: list[Edge], layout: Layout, hot_edges: set[Edge]) -> list[str]:
    hot_ends = {end for _, end in hot_edges}
    tips = []
    for end in dict.fromkeys(end for _, end in edges):
        box = layout.boxes[end]
        corners = f"M{box.x:.1f},{box.middle:.1f} l-{ARROW},-4 v8 z"
        tips.append(f'<path class="tip{" hot" if end in hot_ends else ""}" d="{corners}"/>')
    return tips


def _pipe(node: GraphNode, box: Box, number: str, hot: bool, longest: float) -> str:
    status, shown = status_class(node), figures(node)
    x, y, left = f"{box.x:.1f}", f"{box.y:.1f}", f"{box.x + PADDING:.1f}"
    name_y, figures_y = f"{box.middle + (-4 if shown else 4):.1f}", f"{box.middle + 12:.1f}"
    colour = {"failed": "bad", "skipped": "warn"}.get(node.status or "", "soft")
    parts = [
        f'<g class="node" data-n="{number}"><title>{escape(hint(node))}</title>',
        f'<rect class="box{status}{" hot" if hot and node.status != "failed" else ""}" x="{x}" y="{y}" '
        f'width="{box.width:.1f}" height="{HEIGHT:.0f}" rx="7"/>',
        f'<rect class="mark{status}" x="{box.x + 5:.1f}" y="{box.y + 9:.1f}" width="3" height="{HEIGHT - 18:.0f}" '
        'rx="1.5"/>',
        f'<text x="{left}" y="{name_y}">{escape(shortened(node.pipe_id, LONGEST))}</text>',
    ]
    if shown:
        parts.append(f'<text class="soft {colour}" x="{left}" y="{figures_y}">{escape(" · ".join(shown))}</text>')
    if longest and node.duration_seconds:
        share = (box.width - 2 * PADDING) * node.duration_seconds / longest
        parts.append(
            f'<rect class="meter{" hot" if hot else ""}" x="{left}" y="{box.y + HEIGHT - 6:.1f}" width="{share:.1f}" '
            'height="2" rx="1"/>'
        )
    return "".join([*parts, "</g>"])


def _source(name: str, box: Box, number: str) -> str:
    return (
        f'<g class="node" data-n="{number}"><title>{escape(clean(name))}\nsource: no pipe of this run makes it</title>'
        f'<rect class="box source" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.0f}" '
        f'rx="{box.height / 2:.0f}"/><text class="source-name" x="{box.x + PADDING:.1f}" y="{box.middle + 4:.1f}">'
        f"{escape(shortened(name, LONGEST))}</text></g>"
    )
