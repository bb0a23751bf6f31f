"""What the Delta cases share: a session as Kindling makes it, the job, and the timing.

Each pipe reads one table of 100 rows and writes another; in a chain it reads that of the pipe before it, in a fan the
first. ``--writes`` says what all of them do with their tables: make them ("new"), replace all rows ("overwrite"), or
add rows ("append"). Delta Lake does more for one of these than for another, so only like is compared with like.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

CONF = {
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
ROWS = 100
WARM = 20


class Job(Protocol):
    """The job as one peer runs it."""

    def ready(self, prefix: str, size: int) -> Callable[[], object]:
        """Return what runs the pipes ``1`` to ``size``; their tables are named ``{prefix}t{number}``."""

    def rows(self, table: str) -> int:
        """Count a table."""


def upstream(shape: str, number: int, prefix: str = "") -> str:
    """Return the table that a pipe reads."""
    return f"{prefix}t{number - 1}" if shape == "chain" and number > 1 else "t0"


def main(peer: str, version: str, note: str, prepare: Callable[[str, str, Path], Job]) -> None:
    """Time one run after a first one, and print it as a line of JSON.

    Args:
        prepare: given shape, kind of write and a folder, writes the table ``t0`` and returns the job.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=["chain", "fan"], required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--writes", choices=["new", "overwrite", "append"], required=True)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kindling-peer-"))
    try:
        job = prepare(options.shape, options.writes, folder)
        for turn in range(2):
            new = options.writes == "new"
            prefix = f"r{turn}_" if new else ""
            # Where the first run makes no table for the second, fewer pipes do to warm up.
            run = job.ready(prefix, min(options.size, WARM) if new and not turn else options.size)
            started = perf_counter()
            run()
            seconds = perf_counter() - started
        found = job.rows(f"{prefix}t{options.size}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    wanted = ROWS
    if options.writes == "append":
        # The second pass adds to each table what the table before it holds by then.
        wanted *= options.size + 1 if options.shape == "chain" else 2
    if found != wanted:
        raise SystemExit(f"The last table holds {found} rows and not {wanted}: this was another job.")
    print(json.dumps({"peer": peer, "version": version, "seconds": seconds, "note": note}), flush=True)


def session(name: str) -> Any:
    """Start local Spark with Delta Lake, with the jars that delta-spark names."""
    from delta import configure_spark_with_delta_pip
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName(name)
    for key, value in CONF.items():
        builder = builder.config(key, value)
    made = configure_spark_with_delta_pip(builder).getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made
