from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from kindling_core import (
    BatchExecutionStrategy,
    DataPipesRegistry,
    ExecutionPlan,
    PipeGraphBuilder,
    PipeReport,
    RunReport,
    StreamingExecutionStrategy,
)
from kindling_core.render import GraphNode, GraphPicture, picture_of, render_html, render_mermaid, render_text

HOSTILE = '</title></style><script>alert("x")</script><img src=x onerror=alert(1)>'


def node(pipe_id: str, inputs: tuple[str, ...], generation: int, seconds: float | None = None) -> GraphNode:
    started = None if seconds is None else float(generation)
    status = None if seconds is None else "succeeded"
    return GraphNode(
        pipe_id, inputs, pipe_id, generation, status, started, seconds, rows=None if seconds is None else 3
    )


def diamond() -> GraphPicture:
    nodes = (
        node("a.a", ("raw.x",), 0, 1.0),
        node("b.fast", ("a.a",), 1, 0.1),
        node("b.slow", ("a.a",), 1, 5.0),
        node("c.c", ("b.fast", "b.slow"), 2, 1.0),
    )
    return GraphPicture("diamond", nodes, "4 pipes", 7.0)


def registry_of_a_chain() -> DataPipesRegistry:
    registry = DataPipesRegistry()
    registry.pipe("a.a", inputs=["raw.x", "b.b@v3"], output="a.a")(lambda raw_x, b_b: raw_x)
    registry.pipe("b.b", inputs=["a.a"], output="b.b")(lambda a_a: a_a)
    return registry


def picture_of_a_chain(
    strategy: type[BatchExecutionStrategy] | type[StreamingExecutionStrategy] = BatchExecutionStrategy,
    report: RunReport | None = None,
) -> GraphPicture:
    registry = registry_of_a_chain()
    pipes = {pipe_id: registry.get_pipe_definition(pipe_id) for pipe_id in registry.get_pipe_ids()}
    graph = PipeGraphBuilder(registry).build_graph(list(pipes))
    return picture_of(strategy().create_plan(graph, list(pipes.values())), pipes, report)


def svg_of(html: str) -> ElementTree.Element:
    found = re.search(r"<svg.*?</svg>", html, re.DOTALL)
    assert found is not None
    return ElementTree.fromstring(found[0])


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_critical_path_is_the_slowest_chain() -> None:
    assert diamond().critical_path() == ["a.a", "b.slow", "c.c"]


def test_without_durations_there_is_no_critical_path() -> None:
    assert GraphPicture("plan", (node("a.a", (), 0),)).critical_path() == []


def test_a_cycle_in_a_picture_does_not_hang() -> None:
    picture = GraphPicture("cycle", (node("a.a", ("b.b",), 0, 1.0), node("b.b", ("a.a",), 0, 1.0)))
    assert "a.a" in render_html(picture)
    assert "a.a" in render_text(picture)


def test_a_picture_of_a_report_carries_its_figures() -> None:
    ended = PipeReport("a.a", "a.a", "failed", duration_seconds=0.5, started_seconds=0.0, error="broken")
    picture = picture_of_a_chain(report=RunReport("r1", "batch", "failed", "2026-01-01T00:00:00+00:00", 0.5, [ended]))
    assert (picture.nodes[0].status, picture.nodes[0].error) == ("failed", "broken")
    assert "broken" in render_html(picture)


def test_a_fixed_version_is_a_source_of_its_own() -> None:
    assert set(picture_of_a_chain().sources()) == {"raw.x", "b.b@v3"}


def test_a_streaming_plan_is_still_drawn_the_way_the_data_flows() -> None:
    picture = picture_of_a_chain(StreamingExecutionStrategy)
    assert [one.pipe_id for one in picture.nodes] == ["b.b", "a.a"]
    assert picture.levels() == {"a.a": 0, "b.b": 1}


def test_a_plan_without_a_graph_shows_its_pipes_one_after_the_other() -> None:
    registry = registry_of_a_chain()
    pipes = {pipe_id: registry.get_pipe_definition(pipe_id) for pipe_id in ("a.a", "b.b")}
    plan = ExecutionPlan([], 2, 1, BatchExecutionStrategy.mode, pipes=pipes)
    picture = picture_of(plan, pipes)
    assert [(one.pipe_id, one.generation) for one in picture.nodes] == [("a.a", 0), ("b.b", 1)]
    assert "one after the other" in picture.subtitle


def test_text_names_each_pipe_with_its_figures_and_what_it_reads() -> None:
    lines = render_text(diamond()).splitlines()
    assert "generation 1" in lines
    assert "  * b.slow  [5.00 s, 3 rows]  <- a.a" in lines
    assert "    b.fast  [0.10 s, 3 rows]  <- a.a" in lines


def test_text_wraps_a_long_list_of_inputs() -> None:
    inputs = tuple(f"silver.table_{number}" for number in range(60))
    text = render_text(GraphPicture("wide", (node("gold.all", inputs, 0),)))
    assert max(map(len, text.splitlines())) <= 120
    assert all(name in text for name in inputs)


@pytest.mark.parametrize("render", [render_text, render_mermaid, render_html])
def test_an_empty_picture_can_be_drawn(render: object) -> None:
    assert callable(render)
    assert render(GraphPicture("nothing", ()))


def test_text_lets_no_escape_sequence_through() -> None:
    name = "a\x1b[31m\nb"
    assert not set("\x1b") & set(render_text(GraphPicture(name, (node(name, (name,), 0),), name)))


def test_mermaid_has_an_edge_for_each_dependency() -> None:
    lines = render_mermaid(diamond()).splitlines()
    assert lines[0] == "flowchart LR"
    assert {"    p0 --> p1", "    p0 --> p2", "    p1 --> p3", "    p2 --> p3", "    s0 --> p0"} <= set(lines)


def test_mermaid_emphasises_the_edges_of_the_critical_path() -> None:
    lines = render_mermaid(diamond()).splitlines()
    edges = [line.strip() for line in lines if " --> " in line]
    style = next(line for line in lines if "linkStyle" in line)
    emphasised = [edges[int(number)] for number in style.split()[1].split(",")]
    assert emphasised == ["p0 --> p2", "p2 --> p3"]


def test_a_name_cannot_end_its_label_in_mermaid() -> None:
    labels = re.findall(r'\["(.*?)"\]', render_mermaid(GraphPicture("x", (node('a"] --> b', (), 0),))))
    assert labels == ["a#quot;] --#gt; b"]


def test_html_loads_nothing_from_elsewhere_and_shows_every_pipe() -> None:
    html = render_html(diamond())
    assert all(name in html for name in ("a.a", "b.fast", "b.slow", "c.c", "raw.x", "Who ran when"))
    assert not any(word in html for word in ("http://", "https://", "src=", "@import", "url("))


def test_html_forbids_the_browser_to_load_anything() -> None:
    assert "default-src 'none'" in render_html(diamond())


def test_a_hostile_name_does_no_harm() -> None:
    harmless = Tags(render_html(diamond())).seen
    picture = GraphPicture(
        HOSTILE,
        (GraphNode(HOSTILE, (f"raw.{HOSTILE}",), HOSTILE, 0, HOSTILE, 0.0, 1.0, 3, HOSTILE, {HOSTILE: HOSTILE}),),
        HOSTILE,
    )
    html = render_html(picture)
    seen = Tags(html).seen
    assert HOSTILE not in html
    assert HOSTILE not in render_mermaid(picture)
    assert {tag for tag, _ in seen} <= {tag for tag, _ in harmless} | {"pre"}
    assert [tag for tag, _ in seen].count("script") == 1
    assert not any(name.startswith("on") for _, attributes in seen for name in attributes)


def test_html_can_be_written_whatever_a_name_holds() -> None:
    name = "a\ud800\x00\u202eb"
    html = render_html(GraphPicture(name, (GraphNode(name, (name,), None, 0, error=name),), name))
    assert html.encode("utf-8")
    svg_of(html)


def test_a_plan_that_has_not_run_has_no_timeline() -> None:
    assert "Who ran when" not in render_html(GraphPicture("plan", (node("a.a", (), 0),)))


def test_the_edges_of_the_critical_path_are_marked_in_html() -> None:
    edges = [one for one in svg_of(render_html(diamond())) if "edge" in one.get("class", "").split()]
    hot = {one.get("data-e") for one in edges if "hot" in one.get("class", "").split()}
    assert (len(edges), hot) == (5, {"0 2", "2 3"})


def test_a_long_name_is_shortened_in_its_box_and_whole_in_its_tooltip() -> None:
    name = "gold." + "very_" * 20 + "long"
    svg = svg_of(render_html(GraphPicture("long", (node(name, (), 0),))))
    title, text = svg.find(".//g/title"), svg.find(".//g/text")
    assert title is not None
    assert text is not None
    assert (title.text or "").splitlines()[0] == name
    assert re.fullmatch(r"gold\.very_.*….*_long", text.text or "")


@pytest.mark.parametrize("name", ["a", "silver.flights_enriched", "x" * 200, "金.航班" * 9])
def test_no_text_is_wider_than_its_box(name: str) -> None:
    svg = svg_of(render_html(GraphPicture("x", (node(name, (f"raw.{name}",), 0, 1.0),))))
    for group in svg.findall("g"):
        box, texts = group.find("rect"), group.findall("text")
        assert box is not None
        right = float(box.get("x", "")) + float(box.get("width", ""))
        for text in texts:
            wide = sum(12 if ord(one) > 0x2E80 else 6.6 for one in text.text or "")
            assert float(text.get("x", "")) + wide <= right


def test_bars_of_the_timeline_stay_within_it() -> None:
    html = render_html(diamond())
    bars = re.findall(r'class="bar[^"]*" style="left:([\d.]+)%;width:([\d.]+)%"', html)
    assert len(bars) == 4
    assert all(float(left) + float(width) <= 100.01 for left, width in bars)
