"""The job of pipes that do nothing, for Kindling."""

from __future__ import annotations

from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.run.executer import DataPipesExecuter
from kindling_core.signals import BlinkerSignalProvider


def nothing(**inputs: object) -> int:
    """Stand in for a pipe."""
    return 1


def executer_of(edges: list[list[int]]) -> tuple[DataPipesExecuter, list[str]]:
    """Register the pipes of a job."""
    registry = DataPipesRegistry()
    for node, before in enumerate(edges):
        inputs = [f"e.x{other}" for other in before]
        registry.register(PipeMetadata(f"p{node}", f"p{node}", inputs, f"e.x{node}", {}, nothing))
    return DataPipesExecuter(registry, signal_provider=BlinkerSignalProvider()), registry.get_pipe_ids()
