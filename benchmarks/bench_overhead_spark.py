"""What a run costs over hand-written PySpark that does the same reads and writes on the same session.

Chain: each pipe reads the table of the one before it. Fan: all pipes read one table. Rounds alternate; the
bounds are 5 ms a pipe and 5 % of the job.

    python benchmarks/bench_overhead_spark.py [PIPES] [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

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
    spark = {"master": "local[2]", "conf": {"spark.sql.shuffle.partitions": "2"}}
    config = {
        "entities": {"root": str(root), "engine": "spark", "spark": spark},
        "execution": {"max_workers": workers},
    }
    app = App(features=["entities"], config=config, name=f"bench-{shape}")
    app.mount(entities, collected)
    return app


def by_hand(app: App, shape: str, pipes: int, root: Path) -> float:
    session = app.service(EntityStore).engine.session
    started = time.perf_counter()
    for number in range(1, pipes + 1):
        source = root / upstream(shape, number).replace(".", "/")
        frame = session.read.format("delta").load(str(source))
        frame.write.format("delta").mode("overwrite").save(str(root / f"bench/t{number}"))
    return time.perf_counter() - started


def by_kindling(app: App) -> float:
    started = time.perf_counter()
    app.run()
    return time.perf_counter() - started


def measure(shape: str, pipes: int, rounds: int, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        mine, hand = Path(folder, "mine"), Path(folder, "hand")
        with job(shape, pipes, mine, workers) as app:
            frame = app.service(EntityStore).engine.from_arrow(pa.table({"a": list(range(100)), "b": ["x"] * 100}))
            for root in (mine, hand):
                frame.write.format("delta").save(str(root / "bench/t0"))
            runs: list[Callable[[], float]] = [lambda: by_hand(app, shape, pipes, hand), lambda: by_kindling(app)]
            for run in runs:
                run()
            pairs = [tuple(run() for run in (runs if turn % 2 else runs[::-1])) for turn in range(rounds)]
            pairs = [pair if turn % 2 else pair[::-1] for turn, pair in enumerate(pairs)]
    handwritten = statistics.median(pair[0] for pair in pairs)
    kindling = statistics.median(pair[1] for pair in pairs)
    extra = statistics.median((pair[1] - pair[0]) / pipes * 1000 for pair in pairs)
    print(
        f"{shape} of {pipes}, {workers} worker(s): by hand {handwritten:.2f} s, Kindling {kindling:.2f} s, "
        f"ratio {kindling / handwritten:.3f}, overhead {extra:.1f} ms a pipe",
        flush=True,
    )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    for kind, parallel in (("chain", 1), ("fan", 1), ("fan", 4)):
        measure(kind, count, repeats, parallel)
