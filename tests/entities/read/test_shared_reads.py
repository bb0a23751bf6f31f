"""Reads that several pipes share: a read that hangs, fails or comes late harms nobody else and leaves nothing."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, Pipes, RunFailed, hookimpl
from kindling_core.errors import PipeAbandoned
from kindling_core.pipes import PipeMetadata
from kindling_core.plan.execution_plan import ExecutionMode, ExecutionPlan
from kindling_core.run.requests import RunInfo
from kindling_entities import Entities, EntityStore
from kindling_entities.read.shared_reads import ReadCache

PATIENCE_SECONDS = 30.0


def within_limit(work: Callable[[], Any]) -> Future[Any]:
    """Do something on a thread that may be left behind."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


class Frames:
    """Reads that wait for an event, and frames that know when they are released."""

    def __init__(self) -> None:
        self.released: list[str] = []
        self.began: dict[str, threading.Event] = {}
        self.go_on: dict[str, threading.Event] = {}

    def hanging(self, name: str) -> Callable[[], str]:
        began, go_on = self.began.setdefault(name, threading.Event()), self.go_on.setdefault(name, threading.Event())

        def read() -> str:
            began.set()
            assert go_on.wait(PATIENCE_SECONDS)
            return name

        return read

    @contextmanager
    def held(self, frame: str) -> Iterator[str]:
        yield frame
        self.released.append(frame)


class Readers:
    """A run in which pipes a, b and c read one entity."""

    def __init__(self) -> None:
        self.pipes = {name: PipeMetadata(name, name, ["t.in"], None, {}, lambda: None) for name in "abc"}
        self.run = RunInfo("run", "batch")
        self.cache = ReadCache(())
        self.frames = Frames()
        self.cache.begin(ExecutionPlan([list("abc")], 3, 3, ExecutionMode.BATCH, pipes=self.pipes), self.run)

    def read(self, pipe: str, read: Callable[[], Any]) -> Future[Any]:
        return within_limit(lambda: self.cache.read(self.run, pipe, "t.in", 1, read, self.frames.held))

    def hang(self, pipe: str, name: str) -> Future[Any]:
        future = self.read(pipe, self.frames.hanging(name))
        assert self.frames.began[name].wait(PATIENCE_SECONDS)
        return future

    def ended(self, *pipes: str) -> None:
        for pipe in pipes:
            self.cache.ended(self.run, self.pipes[pipe])


def test_a_frame_is_computed_once_and_released_with_its_last_reader() -> None:
    one = Readers()
    first = one.hang("a", "frame")
    others = [one.read(pipe, lambda: "another") for pipe in "bc"]
    one.frames.go_on["frame"].set()
    assert [future.result(PATIENCE_SECONDS) for future in (first, *others)] == ["frame"] * 3
    one.ended("a", "b")
    assert one.frames.released == []
    one.ended("c")
    assert one.frames.released == ["frame"]


@pytest.mark.parametrize("how", ["interrupted", "ended", "tried again"])
def test_who_waits_for_a_pipe_that_was_given_up_reads_for_itself(how: str) -> None:
    one = Readers()
    hung = one.hang("a", "late")
    waiting = one.read("b", lambda: "frame")
    if how == "ended":
        one.ended("a")
    else:
        {"interrupted": one.cache.interrupt, "tried again": one.cache.starting}[how](one.run, one.pipes["a"])
    assert waiting.result(PATIENCE_SECONDS) == "frame"
    assert one.read("c", lambda: "another").result(PATIENCE_SECONDS) == "frame"
    one.frames.go_on["late"].set()
    if how == "ended":
        with pytest.raises(PipeAbandoned, match=r"'t\.in' was read after its pipe"):
            hung.result(PATIENCE_SECONDS)
        assert one.frames.released == ["late"]
    else:
        # What ends within the grace may still write, so its frame stays as long as the pipe.
        assert hung.result(PATIENCE_SECONDS) == "late"
        assert one.frames.released == []
    one.ended(*("bc" if how == "ended" else "abc"))
    assert sorted(one.frames.released) == ["frame", "late"]


def test_a_pipe_that_has_to_stop_waits_no_longer_and_leaves_the_others_alone() -> None:
    one = Readers()
    first = one.hang("a", "frame")
    stopped, waiting = one.read("b", lambda: "another"), one.read("c", lambda: "another")
    # Told again and again until it ends, as the dispatcher does it: its wait may only begin.
    while not stopped.done():
        one.cache.interrupt(one.run, one.pipes["b"])
    with pytest.raises(PipeAbandoned, match=r"'b' waits no longer for 't\.in', which pipe 'a' reads"):
        stopped.result()
    assert not waiting.done()
    one.frames.go_on["frame"].set()
    assert first.result(PATIENCE_SECONDS) == waiting.result(PATIENCE_SECONDS) == "frame"


def test_a_read_that_fails_lets_the_next_pipe_try() -> None:
    one = Readers()

    def fail() -> None:
        one.frames.hanging("failing")()
        raise OSError("no answer")

    one.frames.hanging("failing")
    failing = one.read("a", fail)
    assert one.frames.began["failing"].wait(PATIENCE_SECONDS)
    waiting = [one.read(pipe, lambda: "frame") for pipe in "bc"]
    one.frames.go_on["failing"].set()
    with pytest.raises(OSError, match="no answer"):
        failing.result(PATIENCE_SECONDS)
    assert [future.result(PATIENCE_SECONDS) for future in waiting] == ["frame"] * 2


@pytest.mark.parametrize("over", ["all its readers", "the run"])
def test_a_frame_that_comes_late_is_released_at_once(over: str) -> None:
    one = Readers()
    hung = one.hang("a", "late")
    one.ended("a", "b", "c") if over == "all its readers" else one.cache.close(one.run)
    one.frames.go_on["late"].set()
    with pytest.raises(PipeAbandoned):
        hung.result(PATIENCE_SECONDS)
    assert one.frames.released == ["late"]


def test_a_frame_whose_release_fails_keeps_no_other_from_its_release() -> None:
    one, released = Readers(), list[str]()

    @contextmanager
    def failing(frame: str) -> Iterator[str]:
        yield frame
        released.append(frame)
        raise OSError(frame)

    for key in ("x", "y"):
        one.cache.read(one.run, "a", "t.in", key, lambda key=key: key, failing)  # type: ignore[misc]
    with pytest.raises(OSError, match="[xy]"):
        one.cache.close(one.run)
    assert sorted(released) == ["x", "y"]


class SlowStorage:
    """Storage that is read as a whole, and whose first read hangs until it is let go."""

    reads_eagerly = True
    write_modes: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.hangs = True
        self.reads = 0
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.late: Future[Any] = Future()

    def __call__(self, engine: Any) -> SlowStorage:
        self._engine = engine
        return self

    @hookimpl
    def kindling_entity_providers(self) -> Mapping[str, Any]:
        return {"slow": self}

    def read(self, entity: Any, location: str, **options: Any) -> Any:
        self.reads += 1
        self.began.set()
        if self.hangs:
            self.hangs = False
            assert self.go_on.wait(PATIENCE_SECONDS)
            try:
                return self._engine.from_arrow(pa.table({"n": range(1_000_000)}))
            except BaseException as error:
                self.late.set_exception(error)
                raise
        return self._engine.from_arrow(pa.table({"n": [1]}))

    def exists(self, entity: Any, location: str) -> bool:
        return True

    def versions(self, entities: Mapping[str, Any]) -> dict[str, int | Exception]:
        return dict.fromkeys(entities, 1)


def test_pipes_outlive_the_time_limit_of_the_pipe_that_reads_for_them(tmp_path: Path) -> None:
    storage, entities, pipes = SlowStorage(), Entities(), Pipes()
    entities.source("raw.in", path=str(tmp_path / "in"), provider="slow")
    for name in ("a", "b", "c", "gate"):
        entities.entity(f"t.{name}")
    pipes.pipe("a", inputs={"frame": "raw.in"}, output="t.a", timeout_seconds=1)(lambda frame: frame)

    @pipes.pipe("gate", output="t.gate")
    def gate() -> pa.Table:
        assert storage.began.wait(PATIENCE_SECONDS)
        return pa.table({"n": [1]})

    for name in ("b", "c"):
        reading = {"after": "t.gate", "frame": "raw.in"}
        pipes.pipe(name, inputs=reading, output=f"t.{name}")(lambda after, frame: frame)
    execution = {"grace_seconds": 0.2, "max_workers": 4}
    app = App(["entities"], {"entities": {"root": str(tmp_path)}, "execution": execution}, environ={})
    app.host.manager.register(storage)
    app.mount(entities, pipes)
    with app:
        engine = app.service(EntityStore).engine
        # Its start is no part of the time limit.
        engine.start()
        with pytest.raises(RunFailed) as failed:
            within_limit(app.run).result(2 * PATIENCE_SECONDS)
        states = {one.pipe_id: one.status for one in failed.value.report.pipes}
        assert states == {"a": "failed", "gate": "succeeded", "b": "succeeded", "c": "succeeded"}
        assert storage.reads == 2
        storage.go_on.set()
        with pytest.raises(PipeAbandoned, match=":a' has ended"):
            storage.late.result(PATIENCE_SECONDS)
        assert engine._staging._folder is None, "refused before anything was staged"


def pipe_threads() -> set[threading.Thread]:
    """Return the threads of pipes that live; other tests may have left some behind that hang."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("kindling-pipe")}


def wait_for(threads: set[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def test_what_a_view_returns_after_its_run_has_ended_is_dropped(tmp_path: Path) -> None:
    before = pipe_threads()
    entities, pipes, go_on, ended = Entities(), Pipes(), threading.Event(), threading.Event()
    for name in ("view", "out"):
        entities.entity(f"t.{name}")

    def slow() -> Iterator[pa.RecordBatch]:
        try:
            assert go_on.wait(PATIENCE_SECONDS)
            yield pa.record_batch({"n": pa.array(range(10))})
        finally:
            ended.set()

    @pipes.pipe("view", output="t.view", materialize="view", timeout_seconds=0.5)
    def view() -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), slow())

    pipes.pipe("out", inputs={"frame": "t.view"}, output="t.out")(lambda frame: frame)
    config = {"entities": {"root": str(tmp_path)}, "execution": {"grace_seconds": 0.2}}
    with App(["entities"], config, environ={}) as app:
        app.mount(entities, pipes)
        engine = app.service(EntityStore).engine
        engine.start()
        with pytest.raises(RunFailed, match="Pipe 'view' failed: PipeTimeout"):
            within_limit(app.run).result(2 * PATIENCE_SECONDS)
        threads = pipe_threads() - before
        go_on.set()
        assert ended.wait(PATIENCE_SECONDS)
        wait_for(threads)
        folder = engine._staging._folder
        assert folder is not None
        assert list(Path(folder).iterdir()) == []
        views = app.host.manager.get_plugin("entities")._views
        assert [values for values in views.returned._values.values() if values] == []


class Watching:
    """Holds what a listener or a kept error may hold: the run."""

    def __init__(self) -> None:
        self.runs: list[RunInfo] = []

    @hookimpl
    def kindling_before_run(self, run: RunInfo) -> None:
        self.runs.append(run)


@pytest.mark.parametrize("fails", [False, True])
def test_no_frame_outlives_its_run(tmp_path: Path, fails: bool) -> None:
    before = pipe_threads()
    entities, pipes, seen = Entities(), Pipes(), list[weakref.ref[Any]]()
    (tmp_path / "in.csv").write_text("n\n1\n")
    entities.source("raw.in", path=str(tmp_path / "in.csv"), columns={"n": "bigint"})
    for name in ("view", "one", "two"):
        entities.entity(f"t.{name}")

    def take(frame: Any, parsed: Any) -> Any:
        seen.extend(map(weakref.ref, (frame, parsed)))
        if fails:
            raise ValueError("no")
        return frame

    pipes.pipe("view", inputs={"frame": "raw.in"}, output="t.view", materialize="view")(lambda frame: frame)
    for name in ("one", "two"):
        pipes.pipe(name, inputs={"frame": "t.view", "parsed": "raw.in"}, output=f"t.{name}")(take)
    config = {"entities": {"root": str(tmp_path)}, "execution": {"cache": "always"}}
    watching, kept = Watching(), list[Any]()
    with App(["entities"], config, plugins=[watching], environ={}) as app:
        app.mount(entities, pipes)
        try:
            kept.append(app.run())
        except RunFailed as error:
            # What frames of the stack hold is not the plugin's: the core clears them.
            kept.append(error.report)
            for one in error.report.exceptions.values():
                one.__traceback__ = None
        wait_for(pipe_threads() - before)
        gc.collect()
        assert watching.runs
        assert seen
        assert [ref() for ref in seen if ref() is not None] == []
