"""Incremental pipes: what they cost does not follow the source, nor the history; what is not new costs little.

python benchmarks/bench_watermarks.py [ROWS [SOURCES [INCREMENTS]]]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from kindling_core import App, Pipes
from kindling_entities import Entities, EntityStore
from kindling_watermark.plugin import WatermarkPlugin

FEED = {"delta.enableChangeDataFeed": "true"}
NEW_ROWS = 1000
TRIES = 3


def job(folder: str, entities: Entities, pipes: Pipes) -> App:
    app = App(["entities", "state"], {}, name="bench", base_dir=folder, environ={}, plugins=[WatermarkPlugin()])
    app.mount(entities, pipes)
    app.start()
    return app


def seconds(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def increments(rows: int) -> dict[str, float]:
    """Seconds of an increment of each kind on a source of so many rows, and of a full computation."""
    entities, pipes = Entities(), Pipes()
    entities.entity("s.b", write_mode="append", properties=FEED, keys=["id"])
    entities.entity("t.appends", write_mode="append")
    entities.entity("t.changes", write_mode="merge", keys=["id"])
    entities.entity("t.affected", keys=["g"])
    for name in ("appends", "changes"):
        of_b: dict[str, Any] = {"incremental": {"s.b": name}}
        pipes.pipe(f"t.{name}", inputs=["s.b"], output=f"t.{name}", **of_b)(lambda s_b: s_b)

    @pipes.pipe(
        "t.affected",
        inputs=["s.b"],
        output="t.affected",
        incremental={"s.b": "affected"},
        affected_by={"s.b": ["g"]},
    )
    def affected(s_b: Any) -> Any:
        ranked = s_b.selectExpr("g", "v", "row_number() over (partition by g order by v, id) as n")
        return ranked.groupBy("g").agg({"v": "sum", "n": "max"}).toDF("g", "s", "n")

    chance, groups = np.random.default_rng(0), max(rows // 100, 100)

    def more(count: int, start: int, of_groups: int) -> pa.Table:
        ids = np.arange(start, start + count)
        return pa.table({"id": ids, "v": chance.integers(0, 9, count), "g": chance.integers(0, of_groups, count)})

    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, job(folder, entities, pipes) as app:
        store, start = app.service(EntityStore), rows
        store.append_to_entity("s.b", more(rows, 0, groups))
        app.run()
        for name in ("appends", "changes", "affected"):
            taken = []
            for _ in range(TRIES):
                # The new rows touch one group of a hundred.
                store.append_to_entity("s.b", more(NEW_ROWS, start, groups // 100))
                start += NEW_ROWS
                taken.append(seconds(lambda name=name: app.run([f"t.{name}"])))  # type: ignore[misc]
            found[name] = min(taken)
        anew = {"full_refresh": "t.affected"}
        found["full"] = min(seconds(lambda: app.run(["t.affected"], options=anew)) for _ in range(TRIES))
    return found


def nothing_new(sources: int) -> float:
    """Seconds of a run in which no source has anything new."""
    entities, pipes = Entities(), Pipes()
    for number in range(sources):
        entities.entity(f"s.b{number}", write_mode="append")
        entities.entity(f"t.b{number}", write_mode="append")
        of_b: dict[str, Any] = {"incremental": {f"s.b{number}": "appends"}}
        pipes.pipe(f"t.b{number}", inputs={"b": f"s.b{number}"}, output=f"t.b{number}", **of_b)(lambda b: b)
    with tempfile.TemporaryDirectory() as folder, job(folder, entities, pipes) as app:
        store = app.service(EntityStore)
        for number in range(sources):
            store.append_to_entity(f"s.b{number}", pa.table({"id": [1]}))
        app.run()
        return min(seconds(app.run) for _ in range(TRIES))


def history(count: int) -> tuple[float, float]:
    """Seconds of the 10th and of the last of so many increments."""
    entities, pipes = Entities(), Pipes()
    entities.entity("s.b", write_mode="append")
    entities.entity("t.b", write_mode="append")
    pipes.pipe("t.b", inputs=["s.b"], output="t.b", incremental={"s.b": "appends"})(lambda s_b: s_b)
    taken = []
    with tempfile.TemporaryDirectory() as folder, job(folder, entities, pipes) as app:
        store = app.service(EntityStore)
        for number in range(count):
            store.append_to_entity("s.b", pa.table({"id": [number]}))
            taken.append(seconds(app.run))
    return min(taken[8:13]), min(taken[-5:])


def main(rows: int = 5_000_000, sources: int = 1000, count: int = 300) -> None:
    small, large = increments(rows // 10), increments(rows)
    for name in ("appends", "changes"):
        ratio = large[name] / small[name]
        print(f"{NEW_ROWS} new rows, {name}: {large[name]:.3f} s on {rows:,} rows, {ratio:.2f} times that on a tenth")
        assert ratio <= 1.5, name
    share = large["affected"] / large["full"]
    print(f"affected, 1 % of the keys: {large['affected']:.3f} s, {share:.2f} of the full {large['full']:.3f} s")
    print(f"nothing new in {sources} sources: {nothing_new(sources):.2f} s")
    tenth, last = history(count)
    print(f"increment {count}: {last:.3f} s, {last / tenth:.2f} times the 10th")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
