"""What a run costs over hand-written code that does the same reads and commits on the embedded engine.

Chain: each pipe reads the table of the one before it. Fan: all pipes read one table. Rounds alternate, so that
a noisy machine slows both; the median of the differences is what the bound is about (5 ms a pipe).

    python benchmarks/bench_overhead_entities.py [PIPES] [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from kindling_core import App, Pipes
from kindling_entities import Entities, EntityStore


def upstream(shape: str, number: int) -> str:
    return f"bench.t{number - 1}" if shape == "chain" else "bench.t0"


def job(shape: str, pipes: int, root: Path, workers: int) -> App:
    entities, collected = Entities(), Pipes()
    entities.entity("bench.t0")
    for number in range(1, pipes + 1):
        entity_id = f"bench.t{number}"
        entities.entity(entity_id)
        collected.pipe(entity_id, inputs={"frame": upstream(shape, number)}, output=entity_id)(lambda frame: frame)
    config = {"entities": {"root": str(root)}, "execution": {"max_workers": workers}}
    app = App(features=["entities"], config=config, name=f"bench-{shape}")
    app.mount(entities, collected)
    return app


def by_hand(app: App, shape: str, pipes: int, root: Path) -> float:
    session = app.service(EntityStore).engine.session
    started = time.perf_counter()
    for number in range(1, pipes + 1):
        source = root / upstream(shape, number).replace(".", "/")
        frame = session.read.format("delta").load(str(source))
        write_deltalake(str(root / f"bench/t{number}"), frame.toArrow(), mode="overwrite")
    return time.perf_counter() - started


def by_kindling(app: App) -> float:
    started = time.perf_counter()
    app.run()
    return time.perf_counter() - started


def measure(shape: str, pipes: int, rounds: int, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        mine, hand = Path(folder, "mine"), Path(folder, "hand")
        for root in (mine, hand):
            write_deltalake(str(root / "bench/t0"), pa.table({"a": list(range(100)), "b": ["x"] * 100}))
        with job(shape, pipes, mine, workers) as app:
            runs: list[Callable[[], float]] = [lambda: by_hand(app, shape, pipes, hand), lambda: by_kindling(app)]
            for run in runs:
                run()
            pairs = [tuple(run() for run in runs) for _ in range(rounds)]
    handwritten = statistics.median(pair[0] for pair in pairs)
    kindling = statistics.median(pair[1] for pair in pairs)
    extra = statistics.median((pair[1] - pair[0]) / pipes * 1000 for pair in pairs)
    print(
        f"{shape} of {pipes}, {workers} worker(s): by hand {handwritten:.3f} s, Kindling {kindling:.3f} s, "
        f"ratio {kindling / handwritten:.2f}, overhead {extra:.2f} ms a pipe"
    )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    for kind, parallel in (("chain", 1), ("fan", 1), ("fan", 2)):
        measure(kind, count, repeats, parallel)
