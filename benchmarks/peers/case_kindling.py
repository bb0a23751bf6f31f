"""Kindling: plan and run, values handed on in memory."""

from __future__ import annotations

from collections.abc import Callable

from shapes import main

from kindling_core import __version__
from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.runner import DataPipesExecuter
from kindling_core.signals import BlinkerSignalProvider


def nothing(**inputs: object) -> int:
    """Stand in for a pipe."""
    return 1


def prepare(edges: list[list[int]]) -> Callable[[], object]:
    registry = DataPipesRegistry()
    for node, before in enumerate(edges):
        inputs = [f"e.x{other}" for other in before]
        registry.register(PipeMetadata(f"p{node}", f"p{node}", inputs, f"e.x{node}", {}, nothing))
    executer = DataPipesExecuter(registry, signal_provider=BlinkerSignalProvider())
    return lambda: executer.run_datapipes(registry.get_pipe_ids())


main("Kindling", __version__, "plan and run, 4 workers", prepare)
