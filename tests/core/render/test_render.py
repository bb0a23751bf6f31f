from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from kindling_core import BatchExecutionStrategy, DataPipesRegistry, PipeGraphBuilder, PipeReport, RunReport
from kindling_core.render import GraphNode, GraphPicture, picture_of, render_html, render_mermaid, render_text
from kindling_core.render._layout import place


def node(pipe_id: str, inputs: tuple[str, ...], generation: int, seconds: float | None = None) -> GraphNode:
    started = None if seconds is None else float(generation)
    status = None if seconds is None else "succeeded"
    return GraphNode(pipe_id, inputs, pipe_id, generation, status, started, seconds, rows=3)


def diamond() -> GraphPicture:
    nodes = (
        node("a.a", ("raw.x",), 0, 1.0),
        node("b.fast", ("a.a",), 1, 0.1),
        node("b.slow", ("a.a",), 1, 5.0),
        node("c.c", ("b.fast", "b.slow"), 2, 1.0),
    )
    return GraphPicture("diamond", nodes, "4 pipes", 7.0)


def test_the_critical_path_is_the_slowest_chain() -> None:
    assert diamond().critical_path() == ["a.a", "b.slow", "c.c"]


def test_without_durations_there_is_no_critical_path() -> None:
    assert GraphPicture("plan", (node("a.a", (), 0),)).critical_path() == []


def test_text_names_each_pipe_with_what_it_reads() -> None:
    text = render_text(diamond())
    assert "generation 1" in text
    assert "b.slow  [5.00 s, 3 rows]  <- a.a" in text


def test_mermaid_has_an_edge_for_each_dependency() -> None:
    lines = render_mermaid(diamond()).splitlines()
    assert lines[0] == "flowchart LR"
    assert {"    p0 --> p1", "    p0 --> p2", "    p1 --> p3", "    p2 --> p3", "    s0 --> p0"} <= set(lines)


def test_html_loads_nothing_from_elsewhere_and_shows_every_pipe() -> None:
    html = render_html(diamond())
    assert all(name in html for name in ("a.a", "b.fast", "b.slow", "c.c", "raw.x", "Who ran when"))
    assert not any(word in html for word in ("http://", "https://", "src=", "@import", "url("))


def test_a_hostile_name_does_no_harm() -> None:
    hostile = '<script>alert("x")</script>'
    picture = GraphPicture(hostile, (node(hostile, (f"raw.{hostile}",), 0, 1.0),), hostile)
    assert hostile not in render_html(picture)
    assert hostile not in render_mermaid(picture)


def test_a_picture_of_a_report_carries_its_figures() -> None:
    registry = DataPipesRegistry()
    registry.pipe("a.a", inputs=["raw.x", "b.b@v3"], output="a.a")(lambda raw_x, b_b: raw_x)
    registry.pipe("b.b", inputs=["a.a"], output="b.b")(lambda a_a: a_a)
    pipes = {pipe_id: registry.get_pipe_definition(pipe_id) for pipe_id in registry.get_pipe_ids()}
    graph = PipeGraphBuilder(registry).build_graph(list(pipes))
    plan = BatchExecutionStrategy().create_plan(graph, list(pipes.values()))
    ended = PipeReport("a.a", "a.a", "failed", duration_seconds=0.5, started_seconds=0.0, error="broken")
    report = RunReport("r1", "batch", "failed", "2026-01-01T00:00:00+00:00", 0.5, [ended])
    picture = picture_of(plan, pipes, report)
    assert (picture.nodes[0].status, picture.nodes[0].error) == ("failed", "broken")
    assert "b.b@v3" in picture.sources()
    assert "broken" in render_html(picture)


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=5))
def test_boxes_never_overlap(shape: list[list[int]]) -> None:
    columns = [[f"{c}.{r}" for r in range(len(column))] for c, column in enumerate(shape)]
    edges = [
        (f"{c - 1}.{target}", f"{c}.{r}")
        for c, column in enumerate(shape)
        for r, target in enumerate(column)
        if c and target < len(columns[c - 1])
    ]
    layout = place(columns, edges, {name: 40.0 + 10 * len(name) for column in columns for name in column})
    for one, other in combinations(layout.boxes.values(), 2):
        apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
        apart_y = one.y + one.height <= other.y or other.y + other.height <= one.y
        assert apart_x or apart_y
