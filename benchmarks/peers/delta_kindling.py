"""Kindling with the feature entities on its spark engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from delta_job import ROWS, main, session, upstream
from pyspark import __version__ as spark_version

from kindling_core import App, Pipes, __version__
from kindling_entities import Entities, EntityStore
from kindling_entities.engines.spark import SparkEngine


class Job:
    """Implements ``Job`` of delta_job."""

    def __init__(self, shape: str, writes: str, folder: Path) -> None:
        self._shape, self._folder = shape, folder
        self._mode = "append" if writes == "append" else "overwrite"
        # The engine takes the session that runs.
        session("kindling")
        self._app = self._composed("", 0)
        store = self._app.service(EntityStore)
        store.write_to_entity("t.t0", store.engine.session.range(ROWS))

    def _composed(self, prefix: str, size: int) -> App:
        entities, pipes = Entities(), Pipes()
        entities.entity("t.t0")
        for number in range(1, size + 1):
            name = f"t.{prefix}t{number}"
            entities.entity(name, write_mode=self._mode)
            pipes.pipe(name, inputs={"frame": f"t.{upstream(self._shape, number, prefix)}"}, output=name)(_same)
        app = App(["entities"], {"entities": {"engine": "spark", "root": str(self._folder)}})
        app.mount(entities, pipes)
        app.start()
        return app

    def ready(self, prefix: str, size: int) -> Callable[[], object]:
        self._app = self._composed(prefix, size)
        return self._app.run

    def rows(self, table: str) -> int:
        return int(self._app.service(EntityStore).read_entity(f"t.{table}").count())


def _same(frame):  # type: ignore[no-untyped-def]
    return frame


def _activate(engine: SparkEngine) -> None:
    """Do what ``SparkEngine.activate`` does, on Spark 3: the class has another name there."""
    spark = engine.session
    getattr(spark._jvm, "org.apache.spark.sql.SparkSession").setActiveSession(spark._jsparkSession)


version = __version__
if spark_version.startswith("3."):
    # Not among the versions that the engine is for. It does all that this job needs, so that it can be compared on the
    # Spark of a peer.
    SparkEngine.activate = _activate  # type: ignore[method-assign]
    version += f" on {spark_version}"
main("Kindling", version, "4 workers, one warm session", Job)
