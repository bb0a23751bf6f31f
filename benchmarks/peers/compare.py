"""Runs the same jobs with each peer, and writes results.json, results.md and results.svg beside this file.

Each peer has a virtual environment of its own, installed from the index with the versions in requirements/. Each case
is a process of its own; the order of the peers turns around with each round. A case that takes longer than --limit is
reported as that; one that took longer than --once is not repeated.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = Path(os.environ.get("KINDLING_PEERS", HERE / ".envs"))
# What the Delta cases do with their tables; a peer that has no such write is left out.
WRITES = ("new", "overwrite", "append")
HAS_NO = {("pipelines", "append")}
# "layers" is for pipes that do nothing alone.
SHAPES = ("chain", "fan", "layers")
NOOP = ("kindling", "kindling_given", "kedro", "dagster", "prefect", "spark_kindling_graph", "spark_kindling")
DELTA = ("hand", "kindling", "pipelines", "spark_kindling", "hand_35", "kindling_35")
# Cases that share the environment of another.
ENVIRONMENT_OF = {
    "kindling_given": "kindling",
    "spark_kindling_graph": "spark_kindling",
    "hand": "kindling",
    "pipelines": "kindling",
    "hand_35": "spark_kindling",
}
# Cases that run the script of another.
SCRIPT_OF = {"hand_35": "hand", "kindling_35": "kindling"}
NAMES = {
    "kindling": "Kindling",
    "kindling_given": "Kindling, given order",
    "kedro": "Kedro",
    "dagster": "Dagster",
    "prefect": "Prefect",
    "spark_kindling": "spark-kindling, given order",
    "spark_kindling_graph": "spark-kindling",
    "hand": "PySpark by hand",
    "hand_35": "PySpark by hand, on spark-kindling's Spark:",
    "kindling_35": "Kindling, on spark-kindling's Spark:",
    "pipelines": "Spark Declarative Pipelines",
}


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment; makes the environment if there is none."""
    python = ENVIRONMENTS / peer / "bin" / "python"
    stamp = ENVIRONMENTS / peer / ".installed"
    wanted = HERE / "requirements" / f"{peer}.txt"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return python
    subprocess.run([sys.executable, "-m", "venv", ENVIRONMENTS / peer], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", wanted], check=True, cwd=ROOT)
    stamp.write_text(wanted.read_text())
    return python


def measured(peer: str, script: str, arguments: Sequence[str], limit: float) -> dict[str, Any]:
    """Run one case; what goes wrong is its result."""
    try:
        done = subprocess.run(
            [python_of(peer), HERE / script, *arguments], capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"over": limit}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        told = (done.stderr or done.stdout).strip().splitlines()
        return {"failed": told[-1][:200] if told else f"exit status {done.returncode}"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def compare(
    part: str,
    peers: Sequence[str],
    shapes: Sequence[str],
    sizes: Sequence[int],
    rounds: int,
    limit: float,
    once: float,
    kinds: Sequence[str | None] = (None,),
) -> list[Any]:
    """Measure every case with every peer."""
    rows = []
    for writes, shape, size in itertools.product(kinds, shapes, sizes):
        case = {"part": part, "shape": shape, "size": size, **({"writes": writes} if writes else {})}
        arguments = ["--shape", shape, "--size", str(size), *(["--writes", writes] if writes else [])]
        found: dict[str, list[dict[str, Any]]] = {peer: [] for peer in peers if (peer, writes) not in HAS_NO}
        for turn in range(rounds):
            for peer in found if turn % 2 == 0 else reversed(found):
                # What is slow, or fails, is not repeated.
                if any(one.get("seconds", limit) > once for one in found[peer]):
                    continue
                script = f"{'case' if part == 'noop' else 'delta'}_{SCRIPT_OF.get(peer, peer)}.py"
                found[peer].append(measured(ENVIRONMENT_OF.get(peer, peer), script, arguments, limit))
                print(*arguments, peer, found[peer][-1], file=sys.stderr, flush=True)
        rows += [row(case, peer, runs) for peer, runs in found.items()]
    return rows


def row(case: dict[str, Any], peer: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up the runs of one case."""
    # The Delta case of spark-kindling has a graph, as its other name says.
    graph = case["part"] == "delta" and peer == "spark_kindling"
    made: dict[str, Any] = {**case, "peer": NAMES["spark_kindling_graph" if graph else peer]}
    good = [run for run in runs if "seconds" in run]
    if not good:
        return {**made, **runs[0]}
    seconds = sorted(run["seconds"] for run in good)
    return {
        **made,
        "version": good[0]["version"],
        "note": good[0]["note"],
        "runs": len(good),
        "median_seconds": statistics.median(seconds),
        "least_seconds": seconds[0],
        "most_seconds": seconds[-1],
        "per_pipe_us": statistics.median(seconds) / case["size"] * 1e6,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the results as Markdown: a row a peer, a column a case."""
    parts = []
    for part, unit in (("noop", "microseconds a pipe"), ("delta", "seconds")):
        mine = [one for one in rows if one["part"] == part]
        if not mine:
            continue
        cases = list(dict.fromkeys(map(name_of, mine)))
        lines = [f"| {unit} | " + " | ".join(cases) + " |"]
        lines.append("|---|" + "---|" * len(cases))
        for peer in dict.fromkeys(one["peer"] for one in mine):
            by_case = {name_of(one): one for one in mine if one["peer"] == peer}
            version = next((one["version"] for one in by_case.values() if "version" in one), "")
            cells = [cell(by_case[case], part) if case in by_case else "" for case in cases]
            lines.append(f"| {peer} {version} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    notes = dict.fromkeys(f"{one['peer']}: {one['note']}." for one in rows if "note" in one)
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def name_of(one: dict[str, Any]) -> str:
    """Return what a case is called in the head of the table."""
    return f"{one['shape']} {one['size']:,}" + (f", {one['writes']}" if "writes" in one else "")


def cell(one: dict[str, Any], part: str) -> str:
    """Return median and spread."""
    if "over" in one:
        return f"over {one['over']:.0f} s"
    if "failed" in one:
        return "failed"
    scale, digits = (1e6 / one["size"], 0) if part == "noop" else (1, 1)
    values = [one[name] * scale for name in ("median_seconds", "least_seconds", "most_seconds")]
    middle, least, most = (f"{value:,.{digits}f}" for value in values)
    return middle if one["runs"] == 1 else f"{middle} ({least} to {most})"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["noop", "delta", "all"], default="all")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--delta-size", type=int, default=50)
    parser.add_argument("--writes", nargs="+", choices=WRITES, default=list(WRITES))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="these peers alone")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that a case of no-op pipes may take")
    parser.add_argument("--once", type=float, default=20.0)
    options = parser.parse_args()
    file = HERE / "results.json"
    rows = json.loads(file.read_text()) if file.exists() else []

    def wanted(peers: Sequence[str]) -> list[str]:
        return [peer for peer in peers if not options.only or peer in options.only]

    new = []
    if options.part in ("noop", "all"):
        new += compare("noop", wanted(NOOP), options.shapes, options.sizes, options.rounds, options.limit, options.once)
    if options.part in ("delta", "all"):
        shapes = [shape for shape in options.shapes if shape != "layers"]
        new += compare("delta", wanted(DELTA), shapes, [options.delta_size], options.rounds, 900, 900, options.writes)
    again = {(one["part"], name_of(one), one["peer"]) for one in new}
    rows = [one for one in rows if (one["part"], name_of(one), one["peer"]) not in again] + new
    order = list(NAMES.values())
    rows.sort(key=lambda one: (one["part"] != "noop", order.index(one["peer"])))
    file.write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "results.md").write_text(table(rows))
    subprocess.run([python_of("plot"), HERE / "plot.py"], check=True)
    print(table(rows))


if __name__ == "__main__":
    main()
