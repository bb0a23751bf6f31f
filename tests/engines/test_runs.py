"""Timeouts, cancelling, retries and shared reads of runs, where an engine does the work."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, Pipes, RunFailed, WriteResult, hookimpl
from kindling_entities import Entities, EntityStore

KIND = os.environ.get("KINDLING_TEST_ENGINE", "embedded")
PATIENCE_SECONDS = 90
# Minutes of work for any engine here, and nothing that an optimizer could leave out.
ENDLESS = "select sum((a.id * b.id) % 7) as n from range(100000000) a cross join range(10000000) b"


def app_of(folder: Path, entities: Entities, pipes: Pipes, **execution: Any) -> App:
    kind = "embedded" if KIND == "embedded" else "spark"
    config = {"entities": {"root": str(folder / "lake"), "engine": kind}, "execution": execution}
    app = App(["entities"], config, environ={})
    app.mount(entities, pipes)
    return app


def of(*names: str, **options: Any) -> Entities:
    entities = Entities()
    for name in names:
        entities.entity(f"t.{name}", **options)
    return entities


def rows(app: App, name: str) -> list[int]:
    return sorted(row["n"] for row in app.service(EntityStore).read_entity(f"t.{name}").collect())


@pytest.mark.usefixtures("engine")
def test_a_pipe_whose_write_computes_too_long_is_interrupted_and_writes_nothing(tmp_path: Path) -> None:
    pipes = Pipes()

    @pipes.pipe("t.slow", output="t.slow", timeout_seconds=3)
    def slow() -> Any:
        return app.service(EntityStore).engine.session.sql(ENDLESS)

    pipes.pipe("t.ok", output="t.ok")(lambda: pa.table({"n": [1]}))
    # On a busy machine an engine may take its time to stop.
    with app_of(tmp_path, of("slow", "ok"), pipes, grace_seconds=PATIENCE_SECONDS) as app:
        begun = time.monotonic()
        with pytest.raises(RunFailed, match="PipeTimeout: Pipe 't.slow' took longer than 3 s") as caught:
            app.run()
        assert time.monotonic() - begun < PATIENCE_SECONDS
        report = caught.value.report
        assert not report.pipe("t.slow").abandoned
        assert report.pipe("t.ok").status == "succeeded"
        assert not app.service(EntityStore).check_entity_exists("t.slow")
        # The session is as good as before.
        assert app.run(["t.ok"]).status == "succeeded"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("mode", ["overwrite", "append", "merge"])
def test_a_reader_that_hangs_while_it_is_written_is_left_behind_and_writes_nothing(tmp_path: Path, mode: str) -> None:
    pipes, go_on, workers = Pipes(), threading.Event(), []
    schema = pa.schema([("n", pa.int64())])

    def batches() -> Any:
        yield pa.record_batch([[1]], schema=schema)
        go_on.wait(PATIENCE_SECONDS)
        yield pa.record_batch([[2]], schema=schema)

    @pipes.pipe("t.slow", output="t.slow", timeout_seconds=1)
    def slow() -> Any:
        workers.append(threading.current_thread())
        return pa.RecordBatchReader.from_batches(schema, batches())

    entities = of("slow", write_mode=mode, keys=["n"] if mode == "merge" else [])
    with app_of(tmp_path, entities, pipes, grace_seconds=0.5) as app:
        store = app.service(EntityStore)
        store.write_to_entity("t.slow", pa.table({"n": [7]}))
        try:
            with pytest.raises(RunFailed, match="left behind; it can no longer write") as caught:
                app.run()
        finally:
            go_on.set()
        assert caught.value.report.pipe("t.slow").abandoned
        workers[0].join(PATIENCE_SECONDS)
        assert not workers[0].is_alive()
        assert rows(app, "slow") == [7]
        assert store.get_entity_version("t.slow") == 0


@pytest.mark.usefixtures("engine")
def test_a_reader_that_ends_in_time_is_written(tmp_path: Path) -> None:
    schema = pa.schema([("n", pa.int64())])
    made = [pa.record_batch([[number]], schema=schema) for number in range(3)]
    pipes = Pipes()
    pipes.pipe("t.a", output="t.a", timeout_seconds=PATIENCE_SECONDS)(
        lambda: pa.RecordBatchReader.from_batches(schema, iter(made))
    )
    with app_of(tmp_path, of("a"), pipes) as app:
        assert app.run().pipe("t.a").status == "succeeded"
        assert rows(app, "a") == [0, 1, 2]


@pytest.mark.usefixtures("engine")
def test_cancelling_a_run_interrupts_what_its_pipes_compute(tmp_path: Path) -> None:
    pipes, computing = Pipes(), threading.Event()

    @pipes.pipe("t.slow", output="t.slow")
    def slow() -> Any:
        computing.set()
        app.service(EntityStore).engine.session.sql(ENDLESS).collect()

    pipes.pipe("t.after", inputs={"frame": "t.slow"}, output="t.after")(lambda frame: frame)
    with app_of(tmp_path, of("slow", "after"), pipes, grace_seconds=PATIENCE_SECONDS) as app:
        threading.Thread(target=lambda: computing.wait(PATIENCE_SECONDS) and app.cancel()).start()
        with pytest.raises(RunFailed, match="cancelled") as caught:
            app.run()
        report = caught.value.report
        assert report.status == "cancelled"
        assert (report.pipe("t.slow").error_type, report.pipe("t.slow").abandoned) == ("PipeCancelled", False)
        assert report.pipe("t.after").status == "skipped"


@pytest.mark.usefixtures("engine")
def test_a_retry_after_a_commit_appends_nothing_twice(tmp_path: Path) -> None:
    entities, pipes, failures = of("a", write_mode="append"), Pipes(), [ConnectionError("lost after the commit")]
    pipes.pipe("t.a", output="t.a", retry={"attempts": 2, "delay_seconds": 0})(lambda: pa.table({"n": [1, 2]}))
    with app_of(tmp_path, entities, pipes) as app:
        store = app.service(EntityStore)
        write = store.write

        def lossy(*given: Any) -> Any:
            commit = write(*given)
            if failures:
                raise failures.pop()
            return commit

        store.write = lossy  # type: ignore[method-assign]
        report = app.run()
        assert (report.pipe("t.a").attempts, report.pipe("t.a").rows) == (2, 0)
        assert report.pipe("t.a").note == "written before, so nothing was written"
        assert rows(app, "a") == [1, 2]
        app.run()
        assert rows(app, "a") == [1, 1, 2, 2], "another run writes anew"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("cache", "kept"), [("auto", ["t.view"]), ("always", ["t.in", "t.view"]), ("never", [])])
def test_what_several_pipes_read_is_kept_until_the_last_has_ended(tmp_path: Path, cache: str, kept: list[str]) -> None:
    entities, pipes, seen = of("in", "one", "two", "three"), Pipes(), []
    pipes.pipe("view", inputs={"frame": "t.in"}, output="t.view", materialize="view")(lambda frame: frame)
    entities.entity("t.view")
    for name in ("one", "two", "three"):

        def read(frame: Any, base: Any) -> Any:
            seen.append((plugin._reads._cache.kept(runs[-1]), frame))
            return frame.unionByName(base)

        pipes.pipe(f"t.{name}", inputs={"frame": "t.view", "base": "t.in"}, output=f"t.{name}")(read)
    runs: list[Any] = []
    with app_of(tmp_path, entities, pipes, cache=cache, max_workers=1) as app:
        plugin = app.host.manager.get_plugin("entities")
        app.service(EntityStore).write_to_entity("t.in", pa.table({"n": [1, 2]}))
        begin = plugin._reads._cache.begin

        def remember(plan: Any, run: Any) -> None:
            runs.append(run)
            begin(plan, run)

        plugin._reads._cache.begin = remember
        report = app.run()
        assert report.status == "succeeded"
        assert [names for names, _ in seen[:2]] == [kept, kept]
        assert plugin._reads._cache.kept(runs[-1]) == [], "the last reader has ended"
        if kept:
            assert seen[0][1] is seen[1][1] is seen[2][1], "the last reader, too"
        for name in ("one", "two", "three"):
            assert rows(app, name) == [1, 1, 2, 2]
        assert report.pipe("t.one").versions_read["t.in"] == 0
        assert report.pipe("t.one").version_written == 0


@pytest.mark.usefixtures("engine")
def test_what_a_view_reads_is_kept_until_the_views_own_readers_have_ended(tmp_path: Path) -> None:
    entities, pipes = of("in", "base", "top", "one", "two", "three"), Pipes()
    runs: list[Any] = []
    kept: list[list[str]] = []
    pipes.pipe("t.base", inputs={"frame": "t.in"}, output="t.base", materialize="view")(lambda frame: frame)
    pipes.pipe("t.top", inputs={"frame": "t.base"}, output="t.top", materialize="view")(lambda frame: frame)
    pipes.pipe("t.one", inputs={"frame": "t.base"}, output="t.one")(lambda frame: frame)

    def read(frame: Any, first: Any) -> Any:
        kept.append(plugin._reads._cache.kept(runs[-1]))
        return frame

    # Both wait for the only other reader of the first view.
    for name in ("two", "three"):
        pipes.pipe(f"t.{name}", inputs={"frame": "t.top", "first": "t.one"}, output=f"t.{name}")(read)
    with app_of(tmp_path, entities, pipes, max_workers=1) as app:
        plugin = app.host.manager.get_plugin("entities")
        app.service(EntityStore).write_to_entity("t.in", pa.table({"n": [1, 2]}))
        begin = plugin._reads._cache.begin

        def remember(plan: Any, run: Any) -> None:
            runs.append(run)
            begin(plan, run)

        plugin._reads._cache.begin = remember
        assert app.run().status == "succeeded"
        assert kept == [["t.base", "t.top"]] * 2
        assert plugin._reads._cache.kept(runs[-1]) == []
        for name in ("one", "two", "three"):
            assert rows(app, name) == [1, 2]


@pytest.mark.usefixtures("engine")
def test_what_a_run_stages_is_gone_after_it(tmp_path: Path) -> None:
    entities, pipes, staged = of("out", "view"), Pipes(), []
    source = tmp_path / "in.csv"
    source.write_text("n\n" + "\n".join(str(number) for number in range(200_000)))
    entities.source("t.in", source, columns={"n": "bigint"})
    pipes.pipe("t.view", inputs={"frame": "t.in"}, output="t.view", materialize="view")(lambda frame: frame)

    def copy(frame: Any, again: Any) -> Any:
        staged.extend(files())
        return frame.unionByName(again)

    pipes.pipe("t.out", inputs={"frame": "t.in", "again": "t.view"}, output="t.out")(copy)

    def files() -> list[Path]:
        folder = app.service(EntityStore).engine._staging._folder
        return [] if folder is None else list(Path(folder).iterdir())

    with app_of(tmp_path, entities, pipes) as app:
        for _ in range(2):
            assert app.run().status == "succeeded"
            assert len(rows(app, "out")) == 400_000
            assert files() == []
        assert staged or KIND != "embedded"


@pytest.mark.usefixtures("engine")
def test_what_a_run_stages_stays_for_the_queries_of_its_streaming_pipes(tmp_path: Path) -> None:
    pipes, large = Pipes(), pa.table({"n": range(2_000_000)})
    pipes.pipe("t.stream", mode="streaming")(lambda: None)

    class Streams:
        """Starts no more of a query than the frame that it reads beside its stream."""

        frame: Any = None

        @hookimpl
        def kindling_start_stream(self) -> WriteResult:
            self.frame = app.service(EntityStore).engine.from_arrow(large)
            return WriteResult(None)

    streams = Streams()
    with app_of(tmp_path, of(), pipes) as app:
        app.host.manager.register(streams)
        assert app.run(mode="streaming").status == "succeeded"
        assert streams.frame.count() == large.num_rows
