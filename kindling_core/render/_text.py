"""The picture for a terminal. ASCII but for what the names bring along, so that any terminal can show it."""

from __future__ import annotations

import textwrap

from kindling_core.render._picture import GraphNode, GraphPicture
from kindling_core.render._words import clean, columns_of, figures

LINE = 120


def render_text(picture: GraphPicture) -> str:
    """Draw the generations as levels; each pipe has its figures, what it reads and what it writes.

    A star marks the critical path.
    """
    critical = set(picture.critical_path())
    lines = [clean(f"{picture.title}: {picture.subtitle}".rstrip(": "))]
    sources = picture.sources()
    if sources:
        lines += ["", "sources", *(f"    {clean(name)}" for name in sorted(sources))]
    name_width = max((columns_of(clean(node.pipe_id)) for node in picture.nodes), default=0)
    columns = {node.pipe_id: _padded(node) for node in picture.nodes}
    width = max(map(len, columns.values()), default=0)
    level = None
    for node in picture.nodes:
        if node.generation != level:
            level = node.generation
            lines += ["", f"generation {level}"]
        name = clean(node.pipe_id)
        head = f"  {'*' if node.pipe_id in critical else ' '} {name}{' ' * (name_width - columns_of(name))}"
        if width:
            head += f"  {columns[node.pipe_id]:<{width}}"
        lines += _wrapped(head, _flow(node))
        if node.error:
            lines += [f"      {clean(line)}" for line in node.error.strip().splitlines()[:1]]
    if critical:
        lines += ["", "* critical path: the slowest chain of pipes that wait for each other"]
    return "\n".join(lines)


def _padded(node: GraphNode) -> str:
    shown = figures(node)
    return "" if not shown else f"[{', '.join(shown)}]"


def _flow(node: GraphNode) -> str:
    reads = f"<- {', '.join(map(clean, node.inputs))}" if node.inputs else ""
    writes = f"-> {clean(node.output)}" if node.output not in (None, node.pipe_id) and node.output else ""
    return f"{reads}  {writes}".strip()


def _wrapped(head: str, flow: str) -> list[str]:
    """Break a long list of inputs under its own beginning, or under the name where there is no room."""
    indent = columns_of(head) + 2
    if not flow:
        return [head.rstrip()]
    if indent + len(flow) <= LINE:
        return [f"{head}  {flow}"]
    left = indent if indent < LINE * 2 // 3 else 8
    broken = textwrap.wrap(flow, LINE - left, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)
    if left != indent:
        return [head.rstrip(), *(" " * left + line for line in broken)]
    return [f"{head}  {broken[0]}", *(" " * left + line for line in broken[1:])]
