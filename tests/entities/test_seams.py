"""What a plugin knows and asks of entities by way of the core's requests: facts, appends, commits, staged files."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, Pipes, RunFailed
from kindling_core.hooks import hookimpl
from kindling_core.run.requests import ReadRequest, WriteRequest
from kindling_entities import Entities, EntityStore, RowsRewritten

FEED = {"delta.enableChangeDataFeed": "true"}
ROWS = pa.table({"k": [1, 2]})


class Asks:
    """Changes requests as an incremental feature would, and looks at what is staged while a pipe runs."""

    def __init__(self, read: dict[str, Any], write: dict[str, Any]) -> None:
        self._read, self._write = read, write
        self.rows: list[int | None] = []
        self.notes: list[str | None] = []
        self.looks: Callable[[], None] | None = None

    @hookimpl
    def kindling_before_pipe(self, pipe: Any, run: Any) -> None:
        if pipe.pipe_id == "last" and self.looks is not None:
            self.looks()

    @hookimpl(wrapper=True)
    def kindling_read(self, request: ReadRequest) -> Generator[None, Any, Any]:
        if request.entity_id == "t.source":
            for name, value in self._read.items():
                setattr(request, name, value)
        return (yield)

    @hookimpl(wrapper=True)
    def kindling_write(self, request: WriteRequest) -> Generator[None, Any, Any]:
        for name, value in self._write.items():
            setattr(request, name, value)
        result = yield
        self.rows.append(result.rows)
        self.notes.append(result.note)
        return result


def job(tmp_path: Path, asks: Asks, copy: Callable[[Any], Any] = lambda frame: frame, **options: Any) -> App:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.source", write_mode="append", properties=FEED)
    entities.entity("t.copy", write_mode="overwrite" if "materialize" in options else "append")
    entities.entity("t.last", write_mode="append")

    @pipes.pipe("copy", inputs=["t.source"], output="t.copy", **options)
    def _(t_source: Any) -> Any:
        return copy(t_source)

    @pipes.pipe("last", inputs=["t.copy"], output="t.last")
    def _(t_copy: Any) -> Any:
        return t_copy

    app = App(["entities"], {"entities": {"root": str(tmp_path / "lake")}}, environ={}, plugins=[asks])
    app.mount(entities)
    app.mount(pipes)
    return app


def test_planning_knows_keys_history_changes_transactions_and_storage() -> None:
    entities = Entities()
    entities.entity("t.feed", keys=["a", "b"], write_mode="merge", properties=FEED)
    entities.entity("t.history", keys=["a"], scd=2)
    entities.entity("t.plain", provider="parquet")
    entities.entity("t.memory", provider="memory")
    app = App(["entities"], {"entities": {"root": "lake"}}, environ={})
    app.mount(entities)
    facts = {name: app.host.call("kindling_describe_entity", entity_id=name) for name in app_ids(entities)}
    assert {
        name: (tuple(one.keys), one.scd, one.records_changes, one.transactional, one.storage)
        for name, one in facts.items()
    } == {
        "t.feed": (("a", "b"), None, True, True, "delta"),
        "t.history": (("a",), 2, False, True, "delta"),
        "t.plain": ((), None, False, False, "parquet"),
        "t.memory": ((), None, False, True, "memory"),
    }


def app_ids(entities: Entities) -> list[str]:
    return [one.entity_id for one in entities]


def test_a_write_carries_metadata_and_transactions_and_skips_no_rows(tmp_path: Path) -> None:
    asks = Asks({}, {"commit_metadata": {"kindling.range": "[0, 1]"}, "transactions": [("b", 2)], "skip_empty": True})
    with job(tmp_path, asks) as app:
        store = app.service(EntityStore)
        store.append_to_entity("t.source", ROWS)
        app.run(["copy"])
        (commit,) = store.commits("t.copy")
        assert dict(commit.metadata) == {"kindling.range": "[0, 1]"}
        assert [(one.app_id, one.version) for one in commit.transactions] == [("b", 2)]
    asks = Asks({}, {"skip_empty": True})
    with job(tmp_path, asks, lambda frame: frame.where("k > 9")) as app:
        report = app.run(["copy"])
        assert (asks.rows, asks.notes) == ([0], ["no rows, so nothing was committed"])
        assert report.pipes[0].version_written == 0
        assert app.service(EntityStore).get_entity_version("t.copy") == 0


def test_a_read_can_be_narrowed_to_what_was_added(tmp_path: Path) -> None:
    asks = Asks({"start_version": 0, "version": 2, "appends": True}, {})
    with job(tmp_path, asks) as app:
        store = app.service(EntityStore)
        for number in range(4):
            store.append_to_entity("t.source", pa.table({"k": [number]}))
        report = app.run(["copy"])
        assert report.pipes[0].versions_read == {"t.source": 2}
        assert sorted(row["k"] for row in store.read_entity("t.copy").collect()) == [1, 2]
        store.write_to_entity("t.source", ROWS)
    asks = Asks({"start_version": 0, "version": 4, "appends": True}, {})
    with job(tmp_path, asks) as app, pytest.raises(RunFailed) as failed:
        app.run(["copy"])
    assert failed.value.report.pipes[0].error_type == RowsRewritten.__name__


@pytest.mark.parametrize("appends", [False, True])
@pytest.mark.parametrize("materialize", ["table", "view"])
def test_what_is_staged_for_changes_goes_with_its_pipe(tmp_path: Path, appends: bool, materialize: str) -> None:
    seen: list[int] = []
    asks = Asks({"start_version": 0, "version": 1, "appends": appends}, {})
    options = {} if materialize == "table" else {"materialize": "view"}
    with job(tmp_path, asks, lambda frame: frame.select("k"), **options) as app:
        store = app.service(EntityStore)
        folder = Path(store.engine._staging.folder())
        asks.looks = lambda: seen.append(len(list(folder.iterdir())))
        store.append_to_entity("t.source", ROWS)
        # More than travels in the plan of a frame.
        store.append_to_entity("t.source", pa.table({"k": range(200_000)}))
        app.run()
        assert seen == [0 if materialize == "table" else 1]
        assert list(folder.iterdir()) == []
        assert store.read_entity("t.last").count() == 200_000
