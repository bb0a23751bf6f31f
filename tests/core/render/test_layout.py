from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from kindling_core.render._layout import Layout, place

Shape = list[list[tuple[int, int]]]


def laid_out(shape: Shape) -> tuple[list[list[str]], list[tuple[str, str]], Layout]:
    """Each box of the shape names a box that it follows: (columns back, index), where there is one."""
    columns = [[f"{c}.{r}" for r in range(len(column))] for c, column in enumerate(shape)]
    edges = [
        (f"{c - back}.{index}", f"{c}.{r}")
        for c, column in enumerate(shape)
        for r, (back, index) in enumerate(column)
        if c - back >= 0 and index < len(columns[c - back])
    ]
    widths = {name: 40.0 + 10 * len(name) for column in columns for name in column}
    return columns, edges, place(columns, edges, widths)


shapes = st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5)), max_size=6), min_size=1, max_size=6)


@given(shapes)
def test_boxes_never_overlap(shape: Shape) -> None:
    _, _, layout = laid_out(shape)
    for one, other in combinations(layout.boxes.values(), 2):
        apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
        apart_y = one.y + one.height <= other.y + 1e-6 or other.y + other.height <= one.y + 1e-6
        assert apart_x or apart_y


@given(shapes)
def test_every_box_lies_within_the_picture(shape: Shape) -> None:
    columns, _, layout = laid_out(shape)
    assert len(layout.boxes) == sum(map(len, columns))
    for box in layout.boxes.values():
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= layout.width
        assert box.y + box.height <= layout.height


@given(shapes)
def test_an_edge_that_passes_a_column_runs_through_no_box(shape: Shape) -> None:
    _, _, layout = laid_out(shape)
    for lanes in layout.lanes.values():
        for left, right, y in lanes:
            for box in layout.boxes.values():
                beside = box.x + box.width <= left or right <= box.x
                assert beside or y <= box.y or box.y + box.height <= y


@given(shapes)
def test_an_edge_has_a_lane_in_each_column_that_it_passes(shape: Shape) -> None:
    _, edges, layout = laid_out(shape)
    for start, end in edges:
        passed = int(end.split(".")[0]) - int(start.split(".")[0]) - 1
        assert len(layout.lanes.get((start, end), [])) == passed


def test_crossed_edges_are_uncrossed() -> None:
    layout = place([["a", "b"], ["c", "d"]], [("a", "d"), ("b", "c")], dict.fromkeys("abcd", 50.0))
    above = layout.boxes["a"].y < layout.boxes["b"].y
    assert above == (layout.boxes["d"].y < layout.boxes["c"].y)


def test_a_chain_is_a_straight_line() -> None:
    layout = place([["a"], ["b"], ["c"]], [("a", "b"), ("b", "c")], dict.fromkeys("abc", 50.0))
    assert len({box.y for box in layout.boxes.values()}) == 1


def test_a_parent_lies_amid_its_children() -> None:
    layout = place([["p"], ["a", "b", "c"]], [("p", "a"), ("p", "b"), ("p", "c")], dict.fromkeys("pabc", 50.0))
    assert layout.boxes["p"].middle == layout.boxes["b"].middle


def test_an_edge_back_does_not_disturb_the_layout() -> None:
    layout = place([["a"], ["b"]], [("b", "a"), ("a", "a")], {"a": 50.0, "b": 50.0})
    assert layout.boxes["a"].x < layout.boxes["b"].x
