"""The flights job on local Spark: against PySpark by hand on the same session, and against the embedded engine.

By hand: spark.read.csv, the same expressions, df.write.format("delta"), one table after the other. Rounds alternate in
one warm process. The engines are compared warm (a run in a process that has run the job before) and cold (the
whole process, Python's start to its end).

    python benchmarks/bench_flights_spark.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_flights import EXAMPLE, RAW, check_same, refine, seconds

from kindling_core import App
from kindling_entities import EntityStore

SPARK = [
    "entities.engine=spark",
    "entities.spark.master=local[2]",
    "entities.spark.conf.spark.sql.shuffle.partitions=2",
]


def by_hand(spark: Any, root: Path) -> None:
    def read(name: str) -> Any:
        return spark.read.format("delta").load(str(root / name))

    def write(name: str, frame: Any) -> None:
        frame.write.format("delta").mode("overwrite").save(str(root / name))

    for name in ("flights", "airlines", "airports", "planes", "weather"):
        options = {"header": True, "inferSchema": True, "nullValue": "NA"}
        write(f"bronze/{name}", spark.read.options(**options).csv(str(RAW / f"{name}.csv")))
    refine(read, write)


def timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def against_hand(rounds: int, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        hand, mine = Path(folder, "hand"), Path(folder, "kindling")
        settings = [*SPARK, f"entities.root={mine}", f"execution.max_workers={workers}"]
        with App.from_job(EXAMPLE / "kindling.toml", settings, environ={}) as app:
            spark = app.service(EntityStore).engine.session
            runs = {"hand": lambda: by_hand(spark, hand), "kindling": lambda: app.run()}
            for run in runs.values():
                run()
            check_same(hand, mine)
            pairs = []
            for turn in range(rounds):
                order = ["hand", "kindling"] if turn % 2 else ["kindling", "hand"]
                took = {name: timed(runs[name]) for name in order}
                pairs.append((took["hand"], took["kindling"]))
    by_hand_seconds, kindling = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(
        f"flights on Spark, warm, {workers} worker(s): by hand {by_hand_seconds:.1f} s, Kindling {kindling:.1f} s, "
        f"ratio {ratio:.3f} (each round: {', '.join(f'{pair[1] / pair[0]:.2f}' for pair in pairs)})",
        flush=True,
    )


def warm(engine: str, rounds: int) -> None:
    settings = SPARK if engine == "spark" else []
    with tempfile.TemporaryDirectory() as folder:
        settings = [*settings, f"entities.root={folder}"]
        with App.from_job(EXAMPLE / "kindling.toml", settings, environ={}) as app:
            app.run()
            print(statistics.median(timed(app.run) for _ in range(rounds)))


def cold(engine: str) -> float:
    settings = SPARK if engine == "spark" else []
    with tempfile.TemporaryDirectory() as folder:
        arguments = [word for setting in (*settings, f"entities.root={folder}") for word in ("--set", setting)]
        return seconds(["-m", "kindling_core", "run", *arguments])


def engines(rounds: int) -> None:
    took: dict[str, list[float]] = {"embedded": [], "spark": []}
    for name, times in took.items():
        command = [sys.executable, str(Path(__file__).resolve()), "--warm", name, str(rounds)]
        times.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]))
    for _ in range(2):
        for name, times in took.items():
            times.append(cold(name))
    for label, index in (("warm", slice(0, 1)), ("cold", slice(1, None))):
        ours, theirs = (statistics.median(took[name][index]) for name in ("embedded", "spark"))
        print(
            f"flights, {label}: embedded {ours:.2f} s, local Spark {theirs:.2f} s, factor {theirs / ours:.1f}",
            flush=True,
        )


def main(rounds: int) -> None:
    subprocess.run([sys.executable, "-m", "flights.prepare"], cwd=EXAMPLE, check=True, capture_output=True)
    engines(rounds)
    for workers in (1, 4):
        against_hand(rounds, workers)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--warm"]:
        warm(sys.argv[2], int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
