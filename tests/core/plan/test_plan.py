"""Strategies and the plans that they make."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from kindling_core.errors import PlanError
from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.plan.entity_info import EntityInfo
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plan.graph import ExecutionMode, PipeGraphBuilder
from kindling_core.plan.strategies import BatchExecutionStrategy, HybridExecutionStrategy, StreamingExecutionStrategy
from kindling_core.run.executer import DataPipesExecuter
from kindling_core.signals import BlinkerSignalProvider


def nothing(**inputs):
    """Stand in for a pipe; a function that pickle finds."""


def graph_and_pipes(*declared):
    registry = DataPipesRegistry()
    for pipe_id, inputs, output, *mode in declared:
        registry.register(PipeMetadata(pipe_id, pipe_id, list(inputs), output, {}, lambda **inputs: None, *mode))
    ids = registry.get_pipe_ids()
    return PipeGraphBuilder(registry).build_graph(ids), [registry.get_pipe_definition(i) for i in ids]


DIAMOND = [("top", ["raw"], "t"), ("left", ["t"], "l"), ("right", ["t", "raw"], "r"), ("end", ["l", "r"], "b")]


def test_a_batch_plan_counts_and_orders():
    graph, pipes = graph_and_pipes(*DIAMOND)
    plan = BatchExecutionStrategy().create_plan(graph, pipes)
    assert plan.generations == [["top"], ["left", "right"], ["end"]]
    assert plan.pipe_ids == ["top", "left", "right", "end"]
    assert plan.total_pipes == 4
    assert plan.max_parallelism == 2
    assert plan.mode is ExecutionMode.BATCH
    assert plan.dependency_graph is graph
    assert plan.producers["end"] == ("left", "right")


def test_a_batch_plan_recommends_to_cache_what_more_than_one_pipe_reads():
    graph, pipes = graph_and_pipes(*DIAMOND)
    plan = BatchExecutionStrategy().create_plan(graph, pipes)
    assert plan.cache_recommendations == {"t": "MEMORY_AND_DISK", "raw": "MEMORY_AND_DISK"}


def test_a_streaming_plan_is_reversed_and_recommends_no_cache():
    graph, pipes = graph_and_pipes(*DIAMOND)
    plan = StreamingExecutionStrategy().create_plan(graph, pipes)
    assert plan.generations == [["end"], ["left", "right"], ["top"]]
    assert plan.cache_recommendations == {}


def test_a_hybrid_plan_runs_the_named_pipes_last_and_in_reverse():
    graph, pipes = graph_and_pipes(("s1", [], "a"), ("s2", ["a"], "b"), ("x", [], "c"), ("y", ["c"], "d"))
    plan = HybridExecutionStrategy(["s1", "s2"]).create_plan(graph, pipes)
    assert plan.generations == [["x"], ["y"], ["s2"], ["s1"]]
    assert plan.mode is ExecutionMode.HYBRID


def test_the_plan_says_that_a_batch_pipe_reads_a_streams_table_as_it_stands():
    graph, pipes = graph_and_pipes(("s", [], "a", "streaming"), ("x", ["a"], "b"))
    for strategy in (BatchExecutionStrategy(), StreamingExecutionStrategy(), HybridExecutionStrategy(["s"])):
        (note,) = strategy.create_plan(graph, pipes).notes
        assert "'x'" in note
        assert "as it stands" in note


@pytest.mark.parametrize("written", [True, False])
def test_the_plan_names_no_table_that_a_batch_pipe_does_not_read(written):
    registry = DataPipesRegistry()
    for pipe_id, inputs, output, mode in (("s", ["raw"], "a", "streaming"), ("x", ["bad"], "b", "batch")):
        registry.register(PipeMetadata(pipe_id, pipe_id, inputs, output, {}, nothing, mode))
    fills = {"written_with": "a"} if written else {"filled_by_reading": "raw"}
    builder = PipeGraphBuilder(
        registry, describe_entity=lambda name: EntityInfo(name, **(fills if name == "bad" else {}))
    )
    graph = builder.build_graph(["s", "x"])
    for strategy in (BatchExecutionStrategy(), StreamingExecutionStrategy()):
        (note,) = strategy.create_plan(graph, builder.definitions(["s", "x"])).notes
        assert note == "Batch pipe 'x' depends on the stream 's': it reads tables as they stand."


def test_ids_are_looked_up_in_the_graph():
    graph, pipes = graph_and_pipes(*DIAMOND)
    by_id = BatchExecutionStrategy().create_plan(graph, [pipe.pipe_id for pipe in pipes])
    assert by_id.cache_recommendations == BatchExecutionStrategy().create_plan(graph, pipes).cache_recommendations
    with pytest.raises(PlanError, match="no pipe 'other'"):
        BatchExecutionStrategy().create_plan(graph, ["other"])


@pytest.mark.parametrize(
    ("make", "mode"),
    [
        (BatchExecutionStrategy, "batch"),
        (StreamingExecutionStrategy, "streaming"),
        (lambda provider: HybridExecutionStrategy(["end"], provider), "hybrid"),
    ],
)
def test_each_strategy_sends_plan_created(make, mode):
    provider = BlinkerSignalProvider()
    strategy = make(provider)
    seen = []
    provider.create_signal("execution.plan_created").connect(lambda sender, **fields: seen.append((sender, fields)))
    graph, pipes = graph_and_pipes(*DIAMOND)
    strategy.create_plan(graph, pipes, run_id="r1")
    ((sender, fields),) = seen
    assert sender is strategy
    assert fields["mode"] == mode
    assert type(fields["mode"]) is str
    assert fields["total_pipes"] == 4
    assert fields["generation_count"] == 3
    assert fields["max_parallelism"] == 2
    assert fields["run_id"] == "r1"


def test_an_empty_plan_is_a_plan():
    graph, pipes = graph_and_pipes()
    plan = BatchExecutionStrategy().create_plan(graph, pipes)
    assert (plan.generations, plan.total_pipes, plan.max_parallelism) == ([], 0, 0)


def test_a_plan_can_be_made_of_the_four_contracted_fields():
    plan = ExecutionPlan([["a"], ["b"]], 2, 1, ExecutionMode.BATCH)
    assert plan.cache_recommendations == {}
    assert plan.dependency_graph is None
    assert plan.pipe_ids == ["a", "b"]


def test_to_dict_is_json():
    graph, pipes = graph_and_pipes(*DIAMOND)
    told = json.loads(json.dumps(BatchExecutionStrategy().create_plan(graph, pipes).to_dict()))
    assert told["mode"] == "batch"
    assert told["generations"] == [["top"], ["left", "right"], ["end"]]
    assert told["pipes"][3]["depends_on"] == ["left", "right"]
    assert told["pipes"][3]["generation"] == 2


def test_the_plan_of_a_run_makes_its_graph_when_somebody_looks_at_it():
    registry = DataPipesRegistry()
    for pipe_id, inputs, output in DIAMOND:
        registry.register(PipeMetadata(pipe_id, pipe_id, list(inputs), output, {}, nothing))
    plan = DataPipesExecuter(registry).plan(registry.get_pipe_ids())
    graph = PipeGraphBuilder(registry).build_graph(registry.get_pipe_ids())
    made = pickle.loads(pickle.dumps(plan)).dependency_graph
    assert (dict(made.adjacency()), list(made)) == (dict(graph.adjacency()), list(graph))
    assert made.nodes["left"]["metadata"].name == "left"
    assert made.edges["top", "left"] == {"entity_id": "t"}
    assert plan.producers == {"top": (), "left": ("top",), "right": ("top",), "end": ("left", "right")}
    assert plan.dependency_graph is plan.dependency_graph
    assert replace(plan, max_parallelism=9).dependency_graph is plan.dependency_graph


def test_a_run_at_whose_plan_nobody_looks_needs_no_networkx():
    program = textwrap.dedent("""
        import sys
        from kindling_core import DataPipesExecuter, DataPipesRegistry, PipeMetadata

        registry = DataPipesRegistry()
        registry.register(PipeMetadata("a", "a", [], "x", {}, lambda: 1))
        registry.register(PipeMetadata("b", "b", ["x"], "y", {}, lambda x: x + 1))
        print(DataPipesExecuter(registry).run_datapipes(["b", "a"]).status, "networkx" in sys.modules)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["succeeded", "False"], done.stderr
