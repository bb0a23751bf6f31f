"""Planning time for 1,000 and 10,000 pipes: it must grow linearly.

Prints the seconds (best of several) and asserts the ratio between the two sizes, never the seconds themselves.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterable
from time import perf_counter

from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.run.executer import DataPipesExecuter

MAX_GROWTH = 14.0

Shape = Callable[[int, int], Iterable[int]]


def chain(node: int, size: int) -> Iterable[int]:
    """Each pipe reads from the one before it."""
    return [node - 1] if node else []


def fan(node: int, size: int) -> Iterable[int]:
    """Every pipe reads from the first."""
    return [0] if node else []


def layers(node: int, size: int) -> Iterable[int]:
    """Ten layers, each pipe with three inputs from the layer before, so that edges grow as the pipes do."""
    width = size // 10
    return [node - node % width - width + (node + step) % width for step in (0, 7, 31)] if node >= width else []


SHAPES: dict[str, Shape] = {"chain": chain, "fan": fan, "ten layers, 3 inputs each": layers}


def nothing(**inputs: object) -> None:
    """Stand in for a pipe; planning never calls it."""


def registry_of(size: int, shape: Shape) -> DataPipesRegistry:
    """Register pipes whose inputs are what the shape says."""
    registry = DataPipesRegistry()
    for node in range(size):
        inputs = [f"layer.entity_{other}" for other in shape(node, size)]
        registry.register(PipeMetadata(f"pipe_{node}", f"pipe_{node}", inputs, f"layer.entity_{node}", {}, nothing))
    return registry


def seconds_to_plan(size: int, shape: Shape, repeats: int) -> float:
    """Return the best time over several plans of one job."""
    registry = registry_of(size, shape)
    executer = DataPipesExecuter(registry)
    ids = registry.get_pipe_ids()
    executer.plan(ids[:1])  # what is imported when the first is planned is no part of it
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        started = perf_counter()
        plan = executer.plan(ids)
        best = min(best, perf_counter() - started)
        assert plan.total_pipes == size
    return best


def main() -> None:
    """Measure, print, and fail if planning does not grow linearly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    bound = MAX_GROWTH * (options.large / options.small) / 10
    for name, shape in SHAPES.items():
        small = seconds_to_plan(options.small, shape, options.repeats)
        large = seconds_to_plan(options.large, shape, options.repeats)
        print(
            f"{name:30} {options.small} pipes {small:.4f} s   {options.large} pipes {large:.4f} s   "
            f"ratio {large / small:.1f} (bound {bound:.0f})"
        )
        assert large / small < bound, f"{name}: planning grew by {large / small:.1f}"


if __name__ == "__main__":
    main()
