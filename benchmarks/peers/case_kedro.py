"""Kedro: pipelines of nodes on memory datasets, the sequential runner (its quickest for work of this size)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

os.environ["KEDRO_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "1"

from kedro import __version__
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner
from shapes import main

logging.disable(logging.CRITICAL)


def nothing(*inputs: object) -> int:
    """Stand in for a node."""
    return 1


def prepare(edges: list[list[int]]) -> Callable[[], object]:
    nodes = [
        node(nothing, [f"x{other}" for other in before] or None, f"x{number}", name=f"p{number}")
        for number, before in enumerate(edges)
    ]
    pipeline = Pipeline(nodes)

    def run() -> object:
        catalog = DataCatalog({f"x{number}": MemoryDataset(copy_mode="assign") for number in range(len(edges))})
        return SequentialRunner().run(pipeline, catalog)

    return run


main("Kedro", __version__, "SequentialRunner, MemoryDataset without copies", prepare)
