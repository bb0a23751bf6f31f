"""Spark Declarative Pipelines: materialized views over Delta tables, run by its command on a server that is warm.

`spark-pipelines run` is a process that connects to a Spark Connect server. The server is started once and has run the
job before, so that what is timed is the client and the run, and not the start of Spark.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from delta_job import CONF, main, upstream
from pyspark import __version__


def prepare(shape: str, size: int, folder: Path) -> Callable[[], None]:
    from pyspark.sql import SparkSession

    from kindling_entities.engines.spark._session import build_session

    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    conf = CONF | {"spark.sql.warehouse.dir": str(folder / "warehouse")}
    spark = build_session(None, "local[2]", conf, "pipelines")
    assert isinstance(spark, SparkSession) or spark
    port = re.search(r":(\d+)", spark.client.host if hasattr(spark.client, "host") else "") or re.search(
        r":(\d+)", spark.client._builder.endpoint
    )
    assert port is not None
    spark.range(100).write.format("delta").mode("overwrite").saveAsTable("t0")
    (folder / "spark-pipeline.yml").write_text(
        f"name: job\nstorage: file://{folder}/storage\nlibraries:\n  - glob:\n      include: job.py\n"
    )

    runs: list[str] = []

    def run() -> None:
        # Tables of its own for each run: Delta Lake refuses what a second run does to a table that is there
        # (DELTA_CANNOT_CHANGE_PROVIDER).
        runs.append(f"r{len(runs)}_")
        (folder / "job.py").write_text(definitions(shape, size, runs[-1]))
        done = subprocess.run(
            [Path(sys.executable).with_name("spark-pipelines"), "--remote", f"sc://localhost:{port[1]}", "run"],
            cwd=folder,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"spark-pipelines: {(done.stdout + done.stderr)[-2000:]}")

    return run


def definitions(shape: str, size: int, prefix: str) -> str:
    """Write the module that declares the views."""
    lines = ["from pyspark import pipelines as dp", "from pyspark.sql import SparkSession", ""]
    lines += ["spark = SparkSession.active()", ""]
    for number in range(1, size + 1):
        source = upstream(shape, number)
        lines += [
            '@dp.materialized_view(format="delta")',
            f"def {prefix}t{number}():",
            f'    return spark.read.table("{"" if source == "t0" else prefix}{source}")',
            "",
        ]
    return "\n".join(lines)


main(
    "Spark Declarative Pipelines",
    __version__,
    "spark-pipelines run on a warm Spark Connect server; tables made anew",
    prepare,
)
