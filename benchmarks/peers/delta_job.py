"""What the Delta cases share: a session as Kindling makes it, the job, and the timing.

Each pipe reads one table of 100 rows and overwrites another; in a chain that of the pipe before it, in a fan the first.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

CONF = {
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


def upstream(shape: str, number: int) -> str:
    """Return the table that a pipe reads."""
    return f"t{number - 1}" if shape == "chain" else "t0"


def main(peer: str, version: str, note: str, prepare: Callable[[str, int, Path], Callable[[], object]]) -> None:
    """Time one run after another of the same job, and print it as a line of JSON.

    Args:
        prepare: given shape, number of pipes and a folder, writes the first table and returns what runs the job.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=["chain", "fan"], required=True)
    parser.add_argument("--size", type=int, required=True)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kindling-peer-"))
    try:
        run = prepare(options.shape, options.size, folder)
        run()
        started = perf_counter()
        run()
        seconds = perf_counter() - started
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told = {"peer": peer, "version": version, "shape": options.shape, "size": options.size}
    print(json.dumps({**told, "seconds": seconds, "note": note}), flush=True)


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
