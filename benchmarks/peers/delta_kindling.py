"""Kindling with the feature entities on its spark engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from delta_job import CONF, main, upstream

from kindling_core import App, Pipes, __version__
from kindling_entities import Entities, EntityStore


def prepare(shape: str, size: int, folder: Path) -> Callable[[], object]:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.t0")
    for number in range(1, size + 1):
        entities.entity(f"t.t{number}")
        inputs = {"frame": f"t.{upstream(shape, number)}"}
        pipes.pipe(f"t.t{number}", inputs=inputs, output=f"t.t{number}")(lambda frame: frame)
    spark = {"master": "local[2]", "conf": {key: value for key, value in CONF.items() if "catalog" not in key}}
    app = App(["entities"], {"entities": {"engine": "spark", "root": str(folder), "spark": spark}})
    app.mount(entities, pipes)
    app.start()
    store = app.service(EntityStore)
    store.write_to_entity("t.t0", store.engine.session.range(100))
    return app.run


main("Kindling", __version__, "4 workers, one warm session", prepare)
