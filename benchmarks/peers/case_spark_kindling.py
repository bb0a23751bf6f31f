"""spark-kindling: its executer in the given order, without a graph: its quickest way."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from kindling.data_pipes import DataPipesExecuter
from kindling.signaling import BlinkerSignalProvider
from shapes import main
from spark_kindling_parts import Entities, Kept, Loggers, Spans, registry_of


def prepare(edges: list[list[int]]) -> Callable[[], object]:
    registry, ids = registry_of(edges)
    executer = DataPipesExecuter(Loggers(), Entities(), registry, Kept(), Spans(), BlinkerSignalProvider())
    return lambda: executer.run_datapipes(ids)


main("spark-kindling", version("spark-kindling"), "given order, no graph, no Spark session", prepare)
