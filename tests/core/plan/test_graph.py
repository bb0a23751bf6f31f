"""The graph of a run, its generations, and what is refused at planning time."""

from __future__ import annotations

import sys

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindling_core.errors import CycleError, PlanError
from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.plan.entity_info import EntityInfo
from kindling_core.plan.graph import ExecutionMode, PipeGraphBuilder, forward_generations, generations_in_mode


def registry_of(*declared):
    """Each is (pipe id, inputs, output) or with a mode as fourth."""
    registry = DataPipesRegistry()
    for pipe_id, inputs, output, *mode in declared:
        registry.register(PipeMetadata(pipe_id, pipe_id, list(inputs), output, {}, lambda **inputs: None, *mode))
    return registry


DIAMOND = [
    ("top", ["raw"], "t"),
    ("left", ["t"], "l"),
    ("right", ["t"], "r"),
    ("bottom", ["l", "r"], "b"),
]


@st.composite
def dags(draw):
    """Producers of up to 12 pipes; edges go from lower to higher numbers, and the pipes come shuffled."""
    size = draw(st.integers(0, 12))
    producers = {f"p{node}": {f"p{other}" for other in range(node) if draw(st.booleans())} for node in range(size)}
    return {pipe_id: producers[pipe_id] for pipe_id in draw(st.permutations(list(producers)))}


@given(dags())
def test_generations_hold_each_pipe_once_and_as_early_as_its_producers_allow(producers):
    generations = forward_generations(producers)
    place = {pipe_id: index for index, ids in enumerate(generations) for pipe_id in ids}
    assert sorted(place) == sorted(producers)
    assert sum(map(len, generations)) == len(producers)
    for pipe_id, before in producers.items():
        assert place[pipe_id] == max((place[other] + 1 for other in before), default=0)


@given(dags())
def test_generations_equal_those_of_networkx(producers):
    graph = nx.DiGraph()
    graph.add_nodes_from(producers)
    graph.add_edges_from((other, pipe_id) for pipe_id, before in producers.items() for other in before)
    expected = [sorted(ids) for ids in nx.topological_generations(graph)]
    assert [sorted(ids) for ids in forward_generations(producers)] == expected


@given(dags())
def test_within_a_generation_pipes_keep_the_order_of_registration(producers):
    order = list(producers)
    for generation in forward_generations(producers):
        assert generation == sorted(generation, key=order.index)


@given(dags(), st.sets(st.integers(0, 11)))
def test_a_hybrid_order_runs_batch_forward_and_then_streams_in_reverse(producers, numbers):
    streaming = {f"p{number}" for number in numbers} & set(producers)
    generations = generations_in_mode(producers, ExecutionMode.HYBRID, streaming)
    place = {pipe_id: index for index, ids in enumerate(generations) for pipe_id in ids}
    assert sorted(place) == sorted(producers)
    for pipe_id, before in producers.items():
        for other in before:
            if pipe_id in streaming and other in streaming:
                assert place[pipe_id] < place[other]
            elif pipe_id not in streaming and other not in streaming:
                assert place[other] < place[pipe_id]
    assert all(place[b] < place[s] for s in streaming for b in set(producers) - streaming)


def test_the_graph_has_edges_from_producer_to_consumer_and_carries_the_metadata():
    registry = registry_of(*DIAMOND)
    graph = PipeGraphBuilder(registry).build_graph(["bottom", "top", "left", "right"])
    assert isinstance(graph, nx.DiGraph)
    assert set(graph.edges) == {("top", "left"), ("top", "right"), ("left", "bottom"), ("right", "bottom")}
    assert list(graph.nodes) == ["top", "left", "right", "bottom"]
    assert graph.nodes["left"]["metadata"] is registry.get_pipe_definition("left")
    assert graph.edges["top", "left"]["entity_id"] == "t"


def test_a_batch_order_puts_producers_first_and_a_streaming_order_consumers():
    builder = PipeGraphBuilder(registry_of(*DIAMOND))
    graph = builder.build_graph(["top", "left", "right", "bottom"])
    assert builder.get_generations(graph) == [["top"], ["left", "right"], ["bottom"]]
    assert builder.get_generations(graph, ExecutionMode.STREAMING) == [["bottom"], ["left", "right"], ["top"]]


def test_a_hybrid_order_knows_the_streaming_pipes_from_their_declaration():
    builder = PipeGraphBuilder(
        registry_of(("s1", [], "a", "streaming"), ("s2", ["a"], "b", "streaming"), ("batch", ["b"], "c"))
    )
    graph = builder.build_graph(["s1", "s2", "batch"])
    assert builder.get_generations(graph, "hybrid") == [["batch"], ["s2"], ["s1"]]


def test_a_fixed_version_is_external():
    builder = PipeGraphBuilder(registry_of(("make", [], "t"), ("use", ["t@v3"], "u")))
    assert list(builder.build_graph(["make", "use"]).edges) == []


def test_a_producer_outside_the_run_is_external():
    builder = PipeGraphBuilder(registry_of(*DIAMOND))
    assert builder.get_generations(builder.build_graph(["left", "bottom"])) == [["left"], ["bottom"]]


def test_an_unknown_pipe_is_a_plan_error_with_near_matches():
    with pytest.raises(PlanError, match="Did you mean 'bottom'"):
        PipeGraphBuilder(registry_of(*DIAMOND)).build_graph(["botom"])


def test_a_cycle_is_an_error_that_prints_it_from_the_pipe_registered_first():
    registry = registry_of(("a", ["z"], "x"), ("b", ["x"], "y"), ("c", ["y"], "z"), ("d", ["z"], None))
    with pytest.raises(CycleError, match="a -> b -> c -> a") as caught:
        PipeGraphBuilder(registry).build_graph(["d", "c", "b", "a"])
    assert caught.value.cycle == ["a", "b", "c"]


def test_a_pipe_that_reads_its_own_output_is_a_cycle():
    with pytest.raises(CycleError, match="a -> a"):
        PipeGraphBuilder(registry_of(("a", ["x"], "x"))).build_graph(["a"])


def test_two_producers_are_an_error_that_names_both():
    with pytest.raises(PlanError, match=r"'one'.*'two'.*append"):
        PipeGraphBuilder(registry_of(("one", [], "x"), ("two", [], "x"))).build_graph(["one", "two"])


def test_two_producers_of_an_append_entity_both_come_before_its_reader():
    builder = PipeGraphBuilder(
        registry_of(("read", ["x"], "y"), ("one", [], "x"), ("two", [], "x")),
        describe_entity=lambda entity_id: EntityInfo(entity_id, write_mode="append"),
    )
    graph = builder.build_graph(["read", "one", "two"])
    assert builder.get_generations(graph) == [["one", "two"], ["read"]]


def described(*entity_ids, **infos):
    known = {entity_id: EntityInfo(entity_id) for entity_id in entity_ids} | infos
    return {"describe_entity": known.get, "known_entities": lambda: known}


def test_an_input_that_nobody_declares_is_an_error_with_near_matches():
    registry = registry_of(("a", ["bronze.flihgts"], None))
    with pytest.raises(PlanError, match=r"pipe 'a'.*Did you mean 'bronze\.flights'"):
        PipeGraphBuilder(registry, **described("bronze.flights")).build_graph(["a"])


def test_an_output_that_nobody_declares_is_an_error():
    with pytest.raises(PlanError, match="writes 'x', which no feature declares"):
        PipeGraphBuilder(registry_of(("a", [], "x")), **described()).build_graph(["a"])


def test_an_output_that_is_a_source_is_an_error():
    source = EntityInfo("x", read_only=True)
    with pytest.raises(PlanError, match="only read"):
        PipeGraphBuilder(registry_of(("a", [], "x")), **described(x=source)).build_graph(["a"])


def test_a_versioned_input_is_looked_up_without_its_version():
    graph = PipeGraphBuilder(registry_of(("a", ["x@v3"], None)), **described("x")).build_graph(["a"])
    assert list(graph) == ["a"]


def test_a_chain_of_10000_pipes_does_not_recurse():
    chain = registry_of(*((f"p{i}", [f"e{i - 1}"] if i else [], f"e{i}") for i in range(10_000)))
    builder = PipeGraphBuilder(chain)
    assert len(builder.get_generations(builder.build_graph(chain.get_pipe_ids()))) == 10_000


def test_a_circle_of_10000_pipes_is_found_without_recursion():
    ring = registry_of(*((f"p{i}", [f"e{(i - 1) % 10_000}"], f"e{i}") for i in range(10_000)))
    with pytest.raises(CycleError) as caught:
        PipeGraphBuilder(ring).build_graph(ring.get_pipe_ids())
    assert len(caught.value.cycle) == 10_000


def test_without_networkx_the_graph_is_a_dict_of_producers_with_the_same_generations(monkeypatch):
    builder = PipeGraphBuilder(registry_of(*DIAMOND))
    ids = ["top", "left", "right", "bottom"]
    expected = builder.get_generations(builder.build_graph(ids))
    monkeypatch.setitem(sys.modules, "networkx", None)
    graph = builder.build_graph(ids)
    assert graph == {"top": set(), "left": {"top"}, "right": {"top"}, "bottom": {"left", "right"}}
    assert builder.get_generations(graph) == expected


def reading_fills(entity_id):
    """What planning knows where reading ``raw`` fills ``bad``."""
    return EntityInfo(
        entity_id,
        read_only=entity_id == "raw",
        filled_by_reading="raw" if entity_id == "bad" else None,
        references=["raw"] if entity_id == "checked" else [],
    )


def test_what_is_filled_by_reading_is_read_after_every_reader_of_the_source():
    registry = registry_of(
        ("report", ["bad"], "r"),
        ("old", ["bad@v3"], "o"),
        ("one", ["raw"], "a"),
        ("checks", ["other"], "checked"),
        ("both", ["bad", "raw"], "b"),
        ("both again", ["raw", "bad"], "c"),
    )
    builder = PipeGraphBuilder(registry, describe_entity=reading_fills)
    graph = builder.build_graph(registry.get_pipe_ids())
    assert {pipe_id: sorted(graph.predecessors(pipe_id)) for pipe_id in graph} == {
        "report": ["both", "both again", "checks", "one"],
        "old": [],
        "one": [],
        "checks": [],
        # Who reads the source itself need not wait, or these two would wait for each other.
        "both": [],
        "both again": [],
    }
    assert graph.edges["one", "report"]["entity_id"] == "bad"
    assert builder.get_generations(graph)[1] == ["report"]


def test_what_is_filled_by_reading_is_as_it_stands_where_nobody_reads_the_source():
    registry = registry_of(("report", ["bad"], "r"))
    graph = PipeGraphBuilder(registry, describe_entity=reading_fills).build_graph(["report"])
    assert list(graph.predecessors("report")) == []


def test_what_is_filled_by_reading_is_written_by_no_pipe():
    registry = registry_of(("p", ["raw"], "bad"))
    with pytest.raises(PlanError, match=r"'p'.* writes 'bad', which is filled when 'raw' is read.*another entity"):
        PipeGraphBuilder(registry, describe_entity=reading_fills).build_graph(["p"])


def test_a_reader_of_the_source_that_needs_what_is_made_of_its_dirt_is_a_cycle():
    registry = registry_of(("late", ["raw", "r"], "l"), ("report", ["bad"], "r"))
    builder = PipeGraphBuilder(registry, describe_entity=reading_fills)
    with pytest.raises(CycleError, match=r"late.*report|report.*late"):
        builder.build_graph(["late", "report"])
