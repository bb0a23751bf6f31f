"""Spark Declarative Pipelines: materialized views over Delta tables, on a Spark Connect server that is warm.

What is timed is what ``spark-pipelines run`` does after its start and its connection: the graph, its registration and
the run, until the last event.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path

from delta_job import CONF, ROWS, main, upstream
from pyspark import __version__

from kindling_entities.engines.spark._session import build_session


class Pipeline:
    """Implements ``Job``."""

    def __init__(self, shape: str, writes: str, folder: Path) -> None:
        self._shape, self._folder = shape, folder
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        conf = CONF | {"spark.sql.warehouse.dir": str(folder / "warehouse")}
        self._spark = build_session(None, "local[2]", conf, "pipelines")
        self._spark.range(ROWS).write.format("delta").saveAsTable("t0")
        self._spec = folder / "spark-pipeline.yml"
        self._spec.write_text(
            f"name: job\nstorage: file://{folder}/storage\nlibraries:\n  - glob:\n      include: job.py\n"
        )

    def ready(self, prefix: str, size: int) -> Callable[[], object]:
        (self._folder / "job.py").write_text(definitions(self._shape, size, prefix))
        return self._run

    def _run(self) -> None:
        from pyspark.pipelines.cli import load_pipeline_spec, register_definitions
        from pyspark.pipelines.spark_connect_graph_element_registry import SparkConnectGraphElementRegistry
        from pyspark.pipelines.spark_connect_pipeline import create_dataflow_graph, handle_pipeline_events, start_run

        spark, spec = self._spark, load_pipeline_spec(self._spec)
        with contextlib.redirect_stdout(io.StringIO()):
            graph = create_dataflow_graph(
                spark, default_catalog=spec.catalog, default_database=spec.database, sql_conf=spec.configuration
            )
            registry = SparkConnectGraphElementRegistry(spark, graph)
            register_definitions(self._spec, registry, spec, spark, graph)
            storage = spec.storage
            events = start_run(
                spark, graph, full_refresh=[], full_refresh_all=False, refresh=[], dry=False, storage=storage
            )
            handle_pipeline_events(events)

    def rows(self, table: str) -> int:
        return int(self._spark.read.table(table).count())


def definitions(shape: str, size: int, prefix: str) -> str:
    """Write the module that declares the views."""
    lines = ["from pyspark import pipelines as dp", "from pyspark.sql import SparkSession", ""]
    lines += ["spark = SparkSession.active()", ""]
    for number in range(1, size + 1):
        lines += [
            '@dp.materialized_view(format="delta")',
            f"def {prefix}t{number}():",
            f'    return spark.read.table("{upstream(shape, number, prefix)}")',
            "",
        ]
    return "\n".join(lines)


main("Spark Declarative Pipelines", __version__, "materialized views, on a warm Spark Connect server", Pipeline)
