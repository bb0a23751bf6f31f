"""A job with incremental pipes on real tables of the embedded engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, Pipes
from kindling_core.run.report import RunReport
from kindling_entities import Entities, EntityStore
from kindling_watermark import WatermarkManager
from kindling_watermark.plugin import WatermarkPlugin
from tests.state.conftest import postgresql as postgresql

FEED = {"delta.enableChangeDataFeed": "true"}
SIGNALS = tuple(WatermarkManager.EMITS)


class Job:
    """One job in a folder, composed anew whenever it is asked for; its tables and its state stay.

    Attributes:
        config: settings of the job.
        told: the ``watermark.*`` signals of the App that runs, as (name without prefix, fields).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entities, self.pipes = Entities(), Pipes()
        self.config: dict[str, Any] = {}
        self.told: list[tuple[str, dict[str, Any]]] = []
        self._app: App | None = None

    def pipe(self, output: str, inputs: Sequence[str], function: Callable[..., Any], **options: Any) -> None:
        self.pipes.pipe(output, inputs=list(inputs), output=output, **options)(function)

    def compose(self, *, plugins: Sequence[object] = (), feature: bool = True, **config: Mapping[str, Any]) -> App:
        mine = [*([WatermarkPlugin()] if feature else []), *plugins]
        app = App(
            ["entities", "state"], {**self.config, **config}, name="job", base_dir=self.folder, environ={}, plugins=mine
        )
        app.mount(self.entities, self.pipes)
        return app

    @property
    def app(self) -> App:
        if self._app is None:
            self._app = self.compose()
            self._app.start()
            self.listen(self._app)
        return self._app

    def listen(self, app: App) -> None:
        for name in SIGNALS:

            def hear(sender: object, name: str = name, **fields: Any) -> None:
                self.told.append((name.removeprefix("watermark."), fields))

            app.signals.create_signal(name).connect(hear, weak=False)

    def anew(self, **how: Any) -> App:
        """Compose the job once more, as another process would."""
        self.close()
        self._app = self.compose(**how)
        self._app.start()
        self.listen(self._app)
        return self._app

    def close(self) -> None:
        if self._app is not None:
            self._app.close()
        self._app = None

    @property
    def store(self) -> EntityStore:
        return self.app.service(EntityStore)

    @property
    def manager(self) -> WatermarkManager:
        return self.app.service(WatermarkManager)

    def run(self, *selection: str, **options: Any) -> RunReport:
        self.told.clear()
        return self.app.run(list(selection), **options)

    def append(self, entity_id: str, **columns: Sequence[Any]) -> None:
        self.store.append_to_entity(entity_id, pa.table(columns))

    def merge(self, entity_id: str, **columns: Sequence[Any]) -> None:
        self.store.merge_to_entity(entity_id, pa.table(columns))

    def delete(self, entity_id: str, condition: str) -> None:
        self.store.tables.delete(entity_id, condition)

    def rows(self, entity_id: str, *columns: str) -> list[tuple[Any, ...]]:
        frame = self.store.read_entity(entity_id)
        frame = frame.select(*columns) if columns else frame
        read = self.store.engine.to_reader(frame).read_all().to_pylist()
        return sorted((tuple(row.values()) for row in read), key=repr)

    def signals(self, *names: str) -> list[tuple[str, dict[str, Any]]]:
        return [(name, fields) for name, fields in self.told if name in names]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    made = Job(tmp_path)
    yield made
    made.close()
