"""All pipes of a run see one version of a table that the run does not write."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from kindling_core import App, Pipes, RunFailed
from kindling_entities import Entities, EntityStore


def job(tmp_path: Path) -> App:
    entities, pipes = Entities(), Pipes()
    for name in ("in", "first", "second", "fixed"):
        entities.entity(f"t.{name}")

    @pipes.pipe("first", inputs={"frame": "t.in"}, output="t.first")
    def first(frame: Any) -> Any:
        # Another process, in the middle of the run.
        write_deltalake(str(tmp_path / "t" / "in"), pa.table({"n": [99]}), mode="append")
        return frame

    @pipes.pipe("second", inputs={"frame": "t.in", "_after": "t.first"}, output="t.second")
    def second(frame: Any, _after: Any) -> Any:
        return frame

    @pipes.pipe("fixed", inputs={"frame": "t.in@v0"}, output="t.fixed")
    def fixed(frame: Any) -> Any:
        return frame

    app = App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={})
    app.mount(entities, pipes)
    return app


def rows(app: App, entity_id: str) -> list[int]:
    return sorted(app.service(EntityStore).read_entity(entity_id).toArrow()["n"].to_pylist())


def test_a_commit_during_the_run_is_seen_by_the_next_run_alone(tmp_path: Path) -> None:
    with job(tmp_path) as app:
        store = app.service(EntityStore)
        store.write_to_entity("t.in", pa.table({"n": [0]}))
        store.append_to_entity("t.in", pa.table({"n": [1]}))
        app.run()
        assert (rows(app, "t.first"), rows(app, "t.second"), rows(app, "t.fixed")) == ([0, 1], [0, 1], [0])
        app.run(["second"])
        assert rows(app, "t.second") == [0, 1, 99]


def test_a_table_that_is_not_there_is_told_by_its_reader(tmp_path: Path) -> None:
    with job(tmp_path) as app, pytest.raises(RunFailed, match=r"'first' failed: EntityNotFoundError.*t\.in"):
        app.run(["first"])


def test_what_was_pinned_is_forgotten_with_the_run(tmp_path: Path) -> None:
    with job(tmp_path) as app:
        app.service(EntityStore).write_to_entity("t.in", pa.table({"n": [0]}))
        app.run(["first"])
        gc.collect()
        [plugin] = [plugin for plugin in app.host.manager.get_plugins() if hasattr(plugin, "_reads")]
        assert plugin._reads._pinned._values == {}


def test_a_run_that_waited_for_another_reads_what_that_one_left(tmp_path: Path) -> None:
    inside, go_on, reports = threading.Event(), threading.Event(), []

    def composed(hold: bool) -> App:
        entities, pipes = Entities(), Pipes()
        for name in ("in", "out"):
            entities.entity(f"t.{name}")

        @pipes.pipe("out", inputs={"frame": "t.in"}, output="t.out")
        def out(frame: Any) -> Any:
            if hold:
                inside.set()
                go_on.wait(30)
            return frame

        config = {"entities": {"root": str(tmp_path / "lake")}, "state": {"poll_seconds": 0.05}}
        app = App(["entities", "state"], config, name="job", base_dir=tmp_path, environ={})
        app.mount(entities, pipes)
        return app

    with composed(True) as one, composed(False) as other:
        one.service(EntityStore).write_to_entity("t.in", pa.table({"n": [0]}))
        first = threading.Thread(target=lambda: reports.append(one.run()))
        first.start()
        assert inside.wait(30)
        second = threading.Thread(target=lambda: reports.append(other.run(wait=True)))
        second.start()
        threading.Event().wait(0.3)
        # Committed while the second run waits.
        one.service(EntityStore).write_to_entity("t.in", pa.table({"n": [1]}))
        go_on.set()
        first.join(30)
        second.join(30)
        assert rows(other, "t.out") == [1]
    assert [report.pipe("out").versions_read for report in reports] == [{"t.in": 0}, {"t.in": 1}]
