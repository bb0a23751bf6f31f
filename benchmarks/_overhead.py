"""A chain and a fan of Delta pipes, run by Kindling and by hand on the session of one engine.

Chain: each pipe reads the table of the one before it. Fan: all pipes read one table. Rounds alternate, and so
does who begins, so that a noisy machine slows both.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from kindling_core import App, Pipes
from kindling_entities import Entities, EntityStore

# Copies the table at the first path to the second, on the given session.
Copy = Callable[[Any, str, str], None]


def upstream(shape: str, number: int) -> str:
    return f"bench.t{number - 1}" if shape == "chain" else "bench.t0"


def job(shape: str, pipes: int, root: Path, workers: int, engine: dict[str, Any]) -> App:
    entities, collected = Entities(), Pipes()
    entities.entity("bench.t0")
    for number in range(1, pipes + 1):
        entity_id = f"bench.t{number}"
        entities.entity(entity_id)
        collected.pipe(entity_id, inputs={"frame": upstream(shape, number)}, output=entity_id)(lambda frame: frame)
    config = {"entities": {"root": str(root), **engine}, "execution": {"max_workers": workers}}
    app = App(features=["entities"], config=config, name=f"bench-{shape}")
    app.mount(entities, collected)
    return app


def by_hand(app: App, shape: str, pipes: int, root: Path, copy: Copy) -> float:
    session = app.service(EntityStore).engine.session
    started = time.perf_counter()
    for number in range(1, pipes + 1):
        source = root / upstream(shape, number).replace(".", "/")
        copy(session, str(source), str(root / f"bench/t{number}"))
    return time.perf_counter() - started


def by_kindling(app: App) -> float:
    started = time.perf_counter()
    app.run()
    return time.perf_counter() - started


def measure(shape: str, pipes: int, rounds: int, workers: int, engine: dict[str, Any], copy: Copy) -> None:
    with tempfile.TemporaryDirectory() as folder:
        mine, hand = Path(folder, "mine"), Path(folder, "hand")
        for root in (mine, hand):
            write_deltalake(str(root / "bench/t0"), pa.table({"a": list(range(100)), "b": ["x"] * 100}))
        with job(shape, pipes, mine, workers, engine) as app:
            runs: list[Callable[[], float]] = [lambda: by_hand(app, shape, pipes, hand, copy), lambda: by_kindling(app)]
            for run in runs:
                run()
            pairs = []
            for turn in range(rounds):
                times = {side: runs[side]() for side in ((0, 1) if turn % 2 else (1, 0))}
                pairs.append((times[0], times[1]))
    handwritten = statistics.median(pair[0] for pair in pairs)
    kindling = statistics.median(pair[1] for pair in pairs)
    extra = statistics.median((pair[1] - pair[0]) / pipes * 1000 for pair in pairs)
    print(
        f"{shape} of {pipes}, {workers} worker(s): by hand {handwritten:.3f} s, Kindling {kindling:.3f} s, "
        f"ratio {kindling / handwritten:.3f}, overhead {extra:.2f} ms a pipe",
        flush=True,
    )


def main(cases: Sequence[tuple[str, int]], rounds: int, engine: dict[str, Any], copy: Copy) -> None:
    """Measure (shape, workers) cases; the command line may give the number of pipes and of rounds."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else rounds
    for shape, workers in cases:
        measure(shape, count, repeats, workers, engine, copy)
