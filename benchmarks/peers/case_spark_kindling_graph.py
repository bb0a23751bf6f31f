"""spark-kindling: graph, plan and generations on threads."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from kindling.execution_strategy import ExecutionPlanGenerator
from kindling.generation_executor import GenerationExecutor
from kindling.pipe_graph import PipeGraphBuilder
from kindling.signaling import BlinkerSignalProvider
from shapes import main
from spark_kindling_parts import Entities, Kept, Loggers, Settings, Spans, registry_of


def prepare(edges: list[list[int]]) -> Callable[[], object]:
    registry, ids = registry_of(edges)
    planner = ExecutionPlanGenerator(registry, PipeGraphBuilder(registry, Loggers()), Loggers())
    executor = GenerationExecutor(
        registry, Entities(), None, Settings(), Kept(), Spans(), Loggers(), BlinkerSignalProvider()
    )

    def run() -> object:
        result = executor.execute(planner.generate_plan(ids), parallel=True, max_workers=4)
        assert result.all_succeeded
        return result

    return run


main("spark-kindling, graph", version("spark-kindling"), "plan and run, 4 workers, no Spark session", prepare)
