"""Places boxes in columns so that few edges cross. Pure: boxes and edges in, coordinates out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COLUMN_GAP, ROW_GAP, HEIGHT, MARGIN = 70, 14, 46, 20
SWEEPS = 6


@dataclass(frozen=True)
class Box:
    """A placed box, in pixels."""

    x: float
    y: float
    width: float
    height: float = HEIGHT


@dataclass(frozen=True)
class Layout:
    """Where everything lies, and the size of the whole."""

    boxes: dict[str, Box]
    width: float
    height: float


def place(columns: Sequence[Sequence[str]], edges: Sequence[tuple[str, str]], widths: Mapping[str, float]) -> Layout:
    """Order each column by the mean place of its neighbours (the barycenter method of Sugiyama), then place it.

    Args:
        columns: names of boxes, left to right.
        edges: from a box to one in a later column.
        widths: of each box, in pixels.
    """
    neighbours: dict[str, list[str]] = {name: [] for column in columns for name in column}
    for start, end in edges:
        neighbours[start].append(end)
        neighbours[end].append(start)
    ordered = [list(column) for column in columns]
    for sweep in range(SWEEPS):
        centre = _centres(ordered)
        for column in ordered if sweep % 2 == 0 else reversed(ordered):
            column.sort(key=lambda name: _mean([centre[other] for other in neighbours[name]], centre[name]))
            centre.update({name: index / max(1, len(column)) for index, name in enumerate(column)})
    tallest = max((len(column) for column in ordered), default=0)
    height = 2 * MARGIN + tallest * (HEIGHT + ROW_GAP)
    boxes: dict[str, Box] = {}
    x = float(MARGIN)
    for column in ordered:
        if not column:
            continue
        widest = max(widths[name] for name in column)
        step = (height - 2 * MARGIN) / len(column)
        for index, name in enumerate(column):
            boxes[name] = Box(x, MARGIN + step * (index + 0.5) - HEIGHT / 2, widest)
        x += widest + COLUMN_GAP
    return Layout(boxes, x - COLUMN_GAP + MARGIN, height)


def _centres(columns: Sequence[Sequence[str]]) -> dict[str, float]:
    return {name: index / max(1, len(column)) for column in columns for index, name in enumerate(column)}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
