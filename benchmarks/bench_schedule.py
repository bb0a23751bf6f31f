"""Uneven durations: the ready queue against a barrier after each generation, and against the least possible.

No schedule takes less than max(critical path, work / workers). Pipes sleep, so that the machine's cores do not
matter; the job and its durations are seeded. The ready queue is given the durations, as run history gives them.
Asserts ratios.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from time import perf_counter

from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.run.executer import DataPipesExecuter
from kindling_core.run.hooks import RunHooks
from kindling_core.run.io import RunIO
from kindling_core.run.options import RunOptions

MAX_OF_LEAST = 1.1


def job(
    seed: int, size: int, width: int, seconds: float
) -> tuple[DataPipesRegistry, dict[str, float], dict[str, list[str]]]:
    """Make layered pipes of which a few are ten times as long as the others."""
    chance = random.Random(seed)
    durations: dict[str, float] = {}
    edges: dict[str, list[str]] = {}
    registry = DataPipesRegistry()
    for node in range(size):
        layer = node // width
        before = range((layer - 1) * width, layer * width)
        edges[f"p{node}"] = [f"p{one}" for one in chance.sample(before, 2)] if layer else []
        durations[f"p{node}"] = seconds * chance.choice([0.2, 0.5, 1, 1, 1, 2, 10])
        registry.register(
            PipeMetadata(
                f"p{node}",
                f"p{node}",
                [f"e.{one}" for one in edges[f"p{node}"]],
                f"e.p{node}",
                {},
                sleeper(durations[f"p{node}"]),
            )
        )
    return registry, durations, edges


def sleeper(seconds: float) -> Callable[..., int]:
    """Return a pipe that takes so long."""

    def sleep(**inputs: object) -> int:
        time.sleep(seconds)
        return 1

    return sleep


def critical_path(durations: dict[str, float], edges: dict[str, list[str]]) -> float:
    """Return the seconds of the longest chain."""
    ends: dict[str, float] = {}
    for pipe_id, before in edges.items():
        ends[pipe_id] = durations[pipe_id] + max((ends[one] for one in before), default=0.0)
    return max(ends.values())


def main() -> None:
    """Measure, print, and fail if the ready queue is too far from the least possible."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=120)
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.02)
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {"ready": [], "ready, durations unknown": [], "generation": []}
    for seed in range(options.seeds):
        registry, durations, edges = job(seed, options.size, options.width, options.seconds)
        least = max(critical_path(durations, edges), sum(durations.values()) / options.workers)
        for name, found in ratios.items():
            known = (
                RunHooks(expected_seconds=lambda ids, durations=durations: durations)
                if "unknown" not in name
                else RunHooks()
            )
            executer = DataPipesExecuter(
                registry,
                max_workers=options.workers,
                hooks=known,
                options=RunOptions(schedule=name.partition(",")[0]),
                io=lambda *_: RunIO(lambda *_: 1, lambda *_: 1),
            )
            started = perf_counter()
            executer.run_datapipes(registry.get_pipe_ids())
            found.append((perf_counter() - started) / least)
    for name, found in ratios.items():
        print(
            f"{name:26} {options.size} pipes, {options.workers} workers, {options.seeds} jobs: "
            f"{statistics.median(found):.3f} times the least possible ({min(found):.3f} to {max(found):.3f})"
        )
    worst = statistics.median(ratios["ready"])
    assert worst < MAX_OF_LEAST, f"the ready queue takes {worst:.2f} times the least possible"


if __name__ == "__main__":
    main()
