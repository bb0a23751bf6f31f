"""Kindling with the feature entities on its spark engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from delta_job import CONF, ROWS, main, upstream

from kindling_core import App, Pipes, __version__
from kindling_entities import Entities, EntityStore


class Job:
    """Implements ``Job`` of delta_job."""

    def __init__(self, shape: str, writes: str, folder: Path) -> None:
        self._shape, self._folder = shape, folder
        self._mode = "append" if writes == "append" else "overwrite"
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
        spark = {"master": "local[2]", "conf": {key: value for key, value in CONF.items() if "catalog" not in key}}
        app = App(["entities"], {"entities": {"engine": "spark", "root": str(self._folder), "spark": spark}})
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


main("Kindling", __version__, "4 workers, one warm session", Job)
