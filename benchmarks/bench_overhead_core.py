"""What a run costs for each pipe that does nothing: plan, threads, signals, report.

Prints microseconds per pipe for chains and fans, silent and with one receiver on every signal, and asserts that
the cost of a pipe does not grow with the size of the job.
"""

from __future__ import annotations

import argparse
import gc
from time import perf_counter

from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.runner import DataPipesExecuter
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
    executer.run_datapipes(ids)
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        started = perf_counter()
        executer.run_datapipes(ids)
        best = min(best, perf_counter() - started)
    provider.close()
    return best / size


def main() -> None:
    """Measure, print, and fail if a pipe costs more in a larger job."""
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


if __name__ == "__main__":
    main()
