"""What a run costs over hand-written PySpark that does the same reads and writes on the same session.

The bounds are 5 ms a pipe and 5 % of the job.

    python benchmarks/bench_overhead_spark.py [PIPES] [ROUNDS]
"""

from __future__ import annotations

from typing import Any

from _overhead import main

ENGINE = {"engine": "spark", "spark": {"master": "local[2]", "conf": {"spark.sql.shuffle.partitions": "2"}}}


def copy(session: Any, source: str, target: str) -> None:
    session.read.format("delta").load(source).write.format("delta").mode("overwrite").save(target)


if __name__ == "__main__":
    main((("chain", 1), ("fan", 1), ("fan", 4)), 4, ENGINE, copy)
