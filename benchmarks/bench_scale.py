"""Large jobs: planning 100,000 pipes, and the memory of a run of 10,000 with its history.

Each case is a process of its own, so that its peak of memory is its own. Prints seconds and megabytes with their
bounds, and asserts what does not depend on the machine: memory. Needs kindling-state.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

PLANNING_MB = 1000
RUN_MB = 300


def peak_mb() -> float:
    """Return the most memory that this process has had (Linux counts in kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def planning(size: int) -> dict[str, float]:
    """Plan layers of pipes with three inputs each."""
    from bench_planning import SHAPES, registry_of

    from kindling_core.run.executer import DataPipesExecuter

    found: dict[str, float] = {}
    for name, shape in SHAPES.items():
        registry = registry_of(size, shape)
        executer = DataPipesExecuter(registry)
        ids = registry.get_pipe_ids()
        executer.plan(ids[:1])
        started = perf_counter()
        plan = executer.plan(ids)
        executer.schedule(plan)
        found[name] = perf_counter() - started
        assert plan.total_pipes == size
    found["peak_mb"] = peak_mb()
    return found


def running(size: int, folder: Path) -> dict[str, float]:
    """Run pipes that do nothing, with history, and print the report."""
    from kindling_core import App, Pipes

    pipes = Pipes()
    for node in range(size):
        pipes.pipe(f"layer.pipe_{node}")(lambda: None)
    with App(["state"], {}, name="bench", base_dir=folder, environ={}) as app:
        app.mount(pipes)
        app.run(["layer.pipe_0"])
        idle = peak_mb()
        started = perf_counter()
        report = app.run()
        seconds = perf_counter() - started
        over = peak_mb() - idle
        started = perf_counter()
        text = str(report)
        printed = perf_counter() - started
        assert text.count("\n") == size + 1
    return {"seconds": seconds, "over_idle_mb": over, "report_seconds": printed}


def in_process(*arguments: str) -> dict[str, float]:
    """Measure in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure, print, and fail if memory passes its bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=int, default=100_000)
    parser.add_argument("--run", type=int, default=10_000)
    parser.add_argument("--case", choices=["planning", "running"])
    options = parser.parse_args()
    if options.case == "planning":
        print(json.dumps(planning(options.plan)))
        return
    if options.case == "running":
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(running(options.run, Path(folder))))
        return
    plan = in_process("--case", "planning", "--plan", str(options.plan))
    peak = plan.pop("peak_mb")
    for shape, seconds in plan.items():
        print(f"planning {options.plan:,} pipes, {shape}: {seconds:.2f} s (bound 3 s)")
    print(
        f"planning {options.plan:,} pipes, peak of the process over all shapes: {peak:.0f} MB (bound {PLANNING_MB} MB)"
    )
    run = in_process("--case", "running", "--run", str(options.run))
    print(
        f"a run of {options.run:,} pipes with history: {run['seconds']:.2f} s, "
        f"{run['over_idle_mb']:.0f} MB over the idle process (bound {RUN_MB} MB), "
        f"its report as text in {run['report_seconds']:.3f} s (bound 1 s)"
    )
    assert peak < PLANNING_MB, f"planning took {peak:.0f} MB"
    assert run["over_idle_mb"] < RUN_MB, f"the run took {run['over_idle_mb']:.0f} MB"


if __name__ == "__main__":
    main()
