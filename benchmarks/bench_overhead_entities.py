"""What a run costs over hand-written code that does the same reads and commits on the embedded engine.

The bound is 5 ms a pipe.

    python benchmarks/bench_overhead_entities.py [PIPES] [ROUNDS]
"""

from __future__ import annotations

from typing import Any

from _overhead import main
from deltalake import write_deltalake


def copy(session: Any, source: str, target: str) -> None:
    write_deltalake(target, session.read.format("delta").load(source).toArrow(), mode="overwrite")


if __name__ == "__main__":
    main((("chain", 1), ("fan", 1), ("fan", 2)), 5, {"engine": "embedded"}, copy)
