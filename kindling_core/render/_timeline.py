"""Who ran when: one row for each pipe that started, in the order of their starts."""

from __future__ import annotations

import math
from html import escape

from kindling_core.render._picture import GraphNode, GraphPicture
from kindling_core.render._svg import LONGEST, hint, numbers_of, status_class
from kindling_core.render._words import columns_of, seconds_text, shortened


def timeline_html(picture: GraphPicture) -> str:
    """Draw the run as bars over time; empty if nothing has started."""
    ran = sorted(
        (node for node in picture.nodes if node.started_seconds is not None),
        key=lambda node: (node.started_seconds or 0.0, node.generation),
    )
    if not ran:
        return ""
    ends = [(node.started_seconds or 0.0) + (node.duration_seconds or 0.0) for node in ran]
    total = max([picture.total_seconds or 0.0, *ends]) or 1.0
    tick = _tick(total)
    names = max(columns_of(shortened(node.pipe_id, LONGEST)) for node in ran)
    numbers, hot = numbers_of(picture), set(picture.critical_path())
    rows = []
    for before, node in zip([None, *ran], ran, strict=False):
        step = before is not None and before.generation != node.generation
        rows.append(_row(node, numbers[node.pipe_id], total, node.pipe_id in hot, step))
    marks = "".join(
        f'<span style="left:{100 * index * tick / total:.3f}%">{_at(index * tick, tick)}</span>'
        for index in range(math.floor(total / tick * 0.94) + 1)
    )
    return (
        f'<div class="times" style="--names:{names + 1}ch;--tick:{100 * tick / total:.4f}%;">'
        f'<div class="axis"><div></div><div class="ticks">{marks}</div></div>{"".join(rows)}</div>'
    )


def _tick(total: float) -> float:
    """Return the step of the axis: 1, 2 or 5 times a power of ten, four to ten of them in the whole."""
    power = 10.0 ** math.floor(math.log10(total / 5))
    return next(step * power for step in (1, 2, 5, 10) if total / (step * power) <= 10)


def _at(seconds: float, tick: float) -> str:
    digits = max(0, -math.floor(math.log10(tick)))
    return f"{seconds:.{digits}f} s"


def _row(node: GraphNode, number: int, total: float, hot: bool, step: bool) -> str:
    start = 100 * (node.started_seconds or 0.0) / total
    width = 100 * (node.duration_seconds or 0.0) / total
    took = seconds_text(node.duration_seconds or 0.0)
    # After the bar where there is room, else before it, else in it.
    if start + width < 88:
        place, inside = f"left:{start + width:.3f}%", ""
    elif start > 12:
        place, inside = f"right:{100 - start:.3f}%", ""
    else:
        place, inside = f"left:{start:.3f}%", " inside"
    colour = status_class(node) if node.status == "failed" or not hot else " hot"
    return (
        f'<div class="row{" step" if step else ""}" data-n="{number}" title="{escape(hint(node))}">'
        f'<div class="name">{escape(shortened(node.pipe_id, LONGEST))}</div><div class="track">'
        f'<div class="bar{colour}" style="left:{start:.3f}%;width:{width:.3f}%"></div>'
        f'<div class="took{inside}" style="{place}">{escape(took)}</div></div></div>'
    )
