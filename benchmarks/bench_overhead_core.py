"""What a run costs for each pipe that does nothing: plan, threads, signals, report.

Prints microseconds per pipe for chains and fans, silent and with one receiver on every signal, and beside a pipe that
takes as long as all the others; asserts that the cost of a pipe grows neither with the size of the job nor beside it.
"""

from __future__ import annotations

import argparse
import gc
import threading
from collections.abc import Callable
from time import perf_counter

from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.run.executer import DataPipesExecuter
from kindling_core.signals import BlinkerSignalProvider

MAX_GROWTH_PER_PIPE = 2.0


def give(**inputs: object) -> int:
    """Stand in for a pipe."""
    return 1


def receive(sender: object, **fields: object) -> None:
    """Stand in for a receiver."""


def seconds_per_pipe(size: int, shape: str, listened: bool, repeats: int) -> float:
    """Return the best time of a run over its number of pipes."""
    registry = DataPipesRegistry()
    for node in range(size):
        inputs = [] if node == 0 else ["layer.e0" if shape == "fan" else f"layer.e{node - 1}"]
        registry.register(PipeMetadata(f"p{node}", f"p{node}", inputs, f"layer.e{node}", {}, give))
    provider = BlinkerSignalProvider()
    executer = DataPipesExecuter(registry, signal_provider=provider)
    if listened:
        for name in executer.get_emitted_signals():
            provider.create_signal(name).connect(receive)
    ids = registry.get_pipe_ids()
    best = least_seconds(lambda: executer.run_datapipes(ids), repeats)
    provider.close()
    return best / size


def least_seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the best time of some runs after a first one."""
    run()
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        started = perf_counter()
        run()
        best = min(best, perf_counter() - started)
    return best


def seconds_beside(size: int, long: int, repeats: int) -> float:
    """Return the best time of a run of independent pipes over their number, beside some that wait for all of them."""
    ended = threading.Event()
    given: list[int] = []

    def count() -> int:
        given.append(1)
        if len(given) == size:
            ended.set()
        return 1

    registry = DataPipesRegistry()
    for number in range(long):
        registry.register(PipeMetadata(f"long{number}", f"long{number}", [], f"layer.long{number}", {}, ended.wait))
    for number in range(size):
        registry.register(PipeMetadata(f"p{number}", f"p{number}", [], f"layer.e{number}", {}, count))
    executer, ids = DataPipesExecuter(registry, signal_provider=BlinkerSignalProvider()), registry.get_pipe_ids()

    def run() -> None:
        ended.clear()
        given.clear()
        executer.run_datapipes(ids)

    return least_seconds(run, repeats) / size


def main() -> None:
    """Measure, print, and fail if a pipe costs more in a larger job, or beside one that takes long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=[50, 1_000])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    small, large = options.sizes
    for shape in ("chain", "fan"):
        for listened in (False, True):
            costs = [seconds_per_pipe(size, shape, listened, options.repeats) for size in (small, large)]
            growth = costs[1] / costs[0]
            print(
                f"{shape:6} {'one receiver each' if listened else 'no receivers':18} "
                f"{small} pipes {costs[0] * 1e6:7.1f} us a pipe   {large} pipes {costs[1] * 1e6:7.1f} us a pipe   "
                f"ratio {growth:.2f} (bound {MAX_GROWTH_PER_PIPE})"
            )
            assert growth < MAX_GROWTH_PER_PIPE, f"{shape}: a pipe costs {growth:.2f} times more in a larger job"
    alone, beside = (seconds_beside(large, long, options.repeats) for long in (0, 1))
    print(
        f"independent, {large} pipes {alone * 1e6:.1f} us a pipe, beside one that takes as long as all of them "
        f"{beside * 1e6:.1f} us   ratio {beside / alone:.2f} (bound {MAX_GROWTH_PER_PIPE})"
    )
    assert beside < MAX_GROWTH_PER_PIPE * alone, f"a pipe costs {beside / alone:.2f} times more beside a long one"


if __name__ == "__main__":
    main()
