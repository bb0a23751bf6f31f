"""Places boxes in columns so that few edges cross and no edge runs through a box.

Pure: boxes and edges in, coordinates out. The method is that of layers by Sugiyama, Tagawa and Toda (1981): order each
column by the mean place of its neighbours, then give each box the height nearest to its neighbours that the order
allows. An edge that passes a column gets a lane in it, shared by all edges of the same box.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HEIGHT, ROW_GAP, LANE, MARGIN = 46.0, 16.0, 6.0, 20.0
NARROWEST_GAP, WIDEST_GAP = 56.0, 150.0
ORDER_SWEEPS, PLACE_SWEEPS = 12, 14
LANES_PER_BOX = 12  # keeps the work linear; an edge that gets no lane is drawn straight across


@dataclass(frozen=True)
class Box:
    """A placed box, in pixels."""

    x: float
    y: float
    width: float
    height: float = HEIGHT

    @property
    def middle(self) -> float:
        """Where edges leave and enter."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Layout:
    """Where everything lies, and the size of the whole.

    Attributes:
        lanes: for an edge that passes columns, (left, right, y) of each lane that it takes.
        columns: (left, width) of each column.
    """

    boxes: dict[str, Box]
    lanes: dict[tuple[str, str], list[tuple[float, float, float]]]
    columns: list[tuple[float, float]]
    width: float
    height: float


@dataclass
class _Item:
    """A box or a lane."""

    name: str
    column: int
    height: float
    before: list[_Item] = field(default_factory=list)
    after: list[_Item] = field(default_factory=list)
    rank: float = 0.0
    middle: float = 0.0
    is_lane: bool = False


def place(
    columns: Sequence[Sequence[str]],
    edges: Sequence[tuple[str, str]],
    widths: Mapping[str, float],
    heights: Mapping[str, float] | None = None,
) -> Layout:
    """Order the columns, then place every box.

    Args:
        columns: names of boxes, left to right.
        edges: from a box to another; an edge that does not lead to a later column does not influence the layout.
        widths, heights: of the boxes, in pixels; a box without a height has the usual height.
    """
    heights = heights or {}
    boxes = {
        name: _Item(name, index, heights.get(name, HEIGHT)) for index, names in enumerate(columns) for name in names
    }
    items = [[boxes[name] for name in names] for names in columns]
    routes = _route(items, boxes, edges)
    _reduce_crossings(items)
    _settle(items)
    return _measure(items, routes, widths)


def _route(
    items: list[list[_Item]], boxes: Mapping[str, _Item], edges: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], list[_Item]]:
    lanes: dict[tuple[str, int], _Item] = {}
    joined: set[tuple[int, int]] = set()
    routes: dict[tuple[str, str], list[_Item]] = {}
    budget = LANES_PER_BOX * len(boxes)
    # The short edges first: they need few lanes, and a picture without them would be harder to follow.
    for start, end in sorted(edges, key=lambda edge: boxes[edge[1]].column - boxes[edge[0]].column):
        first, last = boxes[start], boxes[end]
        passed = range(first.column + 1, last.column)
        missing = [column for column in passed if (start, column) not in lanes]
        if last.column <= first.column or len(missing) > budget:
            continue
        budget -= len(missing)
        for column in missing:
            lane = lanes[start, column] = _Item(start, column, LANE, is_lane=True)
            items[column].append(lane)
        route = [lanes[start, column] for column in passed]
        stops = [first, *route, last]
        for here, other in itertools.pairwise(stops):
            if (id(here), id(other)) not in joined:
                joined.add((id(here), id(other)))
                here.after.append(other)
                other.before.append(here)
        if route:
            routes[start, end] = route
    return routes


def _reduce_crossings(items: list[list[_Item]]) -> None:
    _rank(items)
    best, fewest = [list(column) for column in items], _crossings(items)
    worse = 0
    for sweep in range(ORDER_SWEEPS):
        if fewest == 0 or worse == 4:
            break
        forward = sweep % 2 == 0
        for column in items if forward else reversed(items):
            wanted = {id(item): _mean_rank(item, item.before if forward else item.after) for item in column}
            column.sort(key=lambda item: wanted[id(item)])
            _rank([column])
        crossings = _crossings(items)
        worse += 1
        if crossings < fewest:
            best, fewest, worse = [list(column) for column in items], crossings, 0
    for column, ordered in zip(items, best, strict=True):
        column[:] = ordered
    _rank(items)


def _rank(items: Sequence[Sequence[_Item]]) -> None:
    for column in items:
        for index, item in enumerate(column):
            item.rank = (index + 0.5) / len(column)


def _mean_rank(item: _Item, neighbours: Sequence[_Item]) -> float:
    return sum(other.rank for other in neighbours) / len(neighbours) if neighbours else item.rank


def _crossings(items: Sequence[Sequence[_Item]]) -> int:
    total = 0
    for column in items:
        ends: list[float] = []
        for item in column:
            found = sorted(other.rank for other in item.after)
            total += sum(len(ends) - bisect_right(ends, rank) for rank in found)
            for rank in found:
                insort(ends, rank)
    return total


def _settle(items: Sequence[list[_Item]]) -> None:
    for column in items:
        _put(column, [0.0] * len(column), [1.0] * len(column))
    for sweep in range(PLACE_SWEEPS):
        both = sweep >= PLACE_SWEEPS - 6
        for column in items if sweep % 2 == 0 else reversed(items):
            wishes, weights = [], []
            for item in column:
                near = [] if not both and sweep % 2 else [(other, len(other.after)) for other in item.before]
                near += [(other, len(other.before)) for other in item.after] if both or sweep % 2 else []
                # Among neighbours those with few edges count most: they can lie straight beside this box.
                share = sum(1 / count**2 for _, count in near)
                wish = sum(other.middle / count**2 for other, count in near) / share if near else item.middle
                wishes.append(wish)
                # A lane that bends for a box is harder to follow than a box that makes room for a lane.
                weights.append(0.1 if not near else 4.0 if item.is_lane else 1.0)
            _put(column, wishes, weights)


def _put(column: Sequence[_Item], wishes: Sequence[float], weights: Sequence[float]) -> None:
    """Give each item the place nearest to its wish (least squares) that keeps order and distances.

    Pool adjacent violators: items whose wishes collide become one block that lies at the mean of their wishes.
    """
    offsets = [0.0]
    for above, below in itertools.pairwise(column):
        offsets.append(offsets[-1] + (above.height + below.height) / 2 + _gap(above, below))
    blocks: list[tuple[float, float, int]] = []  # sum of wishes, sum of weights, items
    for wish, weight, offset in zip(wishes, weights, offsets, strict=False):
        total, mass, count = (wish - offset) * weight, weight, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / mass:
            before = blocks.pop()
            total, mass, count = total + before[0], mass + before[1], count + before[2]
        blocks.append((total, mass, count))
    index = 0
    for total, mass, count in blocks:
        for item, offset in zip(column[index : index + count], offsets[index : index + count], strict=True):
            item.middle = total / mass + offset
        index += count


def _gap(above: _Item, below: _Item) -> float:
    return ROW_GAP / 2 if above.is_lane or below.is_lane else ROW_GAP


def _measure(
    items: Sequence[Sequence[_Item]],
    routes: Mapping[tuple[str, str], Sequence[_Item]],
    widths: Mapping[str, float],
) -> Layout:
    every = [item for column in items for item in column]
    top = min((item.middle - item.height / 2 for item in every), default=0.0) - MARGIN
    bottom = max((item.middle + item.height / 2 for item in every), default=0.0) + MARGIN
    boxes: dict[str, Box] = {}
    spans: list[tuple[float, float]] = []
    x = MARGIN
    for column in items:
        widest = max((widths[item.name] for item in column if not item.is_lane), default=0.0)
        spans.append((x, widest))
        for item in column:
            if not item.is_lane:
                left = x + widest - widths[item.name]
                boxes[item.name] = Box(left, item.middle - item.height / 2 - top, widths[item.name], item.height)
        if column:
            x += widest + _gap_after(column)
    right = max((left + width for left, width in spans), default=MARGIN)
    lanes = {
        edge: [(spans[lane.column][0], sum(spans[lane.column]), lane.middle - top) for lane in route]
        for edge, route in routes.items()
    }
    return Layout(boxes, lanes, spans, right + MARGIN, bottom - top)


def _gap_after(column: Sequence[_Item]) -> float:
    """Steep edges need room: the more and the longer the rises, the wider the gap."""
    rises = [abs(item.middle - other.middle) for item in column for other in item.after]
    steepest = max(rises, default=0.0)
    return min(WIDEST_GAP, NARROWEST_GAP + 0.08 * steepest + len(rises))
