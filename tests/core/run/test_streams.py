"""Streams of a run: they are started, keep it open, and end with it."""

from __future__ import annotations

import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kindling_core import App, KindlingError, PipeAbandoned, PipeDefinitionError, PipeError, Pipes, RunFailed
from kindling_core.cli.main import cli
from kindling_core.hooks import hookimpl
from kindling_core.run.fence import Fence
from kindling_core.run.requests import ReadRequest, VersionRange, WriteRequest, WriteResult

PATIENCE_SECONDS = 60


class Stream:
    """A stream that runs until it is stopped, or until a test ends it. Implements ``StreamHandle``."""

    def __init__(self, obeys: bool = True) -> None:
        self.error: BaseException | None = None
        self.asked = threading.Event()
        self._obeys = obeys
        self._ended = threading.Event()

    @property
    def status(self) -> str:
        return "ended" if self._ended.is_set() else "running"

    def wait(self, timeout_seconds: float | None = None) -> bool:
        return self._ended.wait(timeout_seconds)

    def stop(self) -> None:
        self.asked.set()
        if self._obeys:
            self._ended.set()

    def end(self, error: BaseException | None = None) -> None:
        self.error = error
        self._ended.set()


class Streaming:
    """A feature that starts streams, and notes what it is called for."""

    def __init__(self, streams: dict[str, Stream | None]) -> None:
        self.streams = streams
        self.called: list[str] = []

    @hookimpl
    def kindling_start_stream(self, pipe, run, fence):
        self.run = run
        return self.streams[pipe.pipe_id]

    @hookimpl
    def kindling_before_pipe(self, pipe):
        self.called.append(f"before {pipe.pipe_id}")

    @hookimpl
    def kindling_pipe_succeeded(self, pipe):
        self.called.append(f"succeeded {pipe.pipe_id}")

    @hookimpl
    def kindling_after_run(self, report):
        self.called.append(f"after run, {report.status}")


def app_of(feature: object, *pipe_ids: str, **execution: object) -> App:
    pipes = Pipes()
    for pipe_id in pipe_ids:
        pipes.pipe(pipe_id, mode="streaming")(lambda: None)
    app = App(plugins=[feature], config={"execution": execution}, environ={})
    app.mount(pipes)
    return app


def signals_of(app: App) -> list[str]:
    heard: list[str] = []
    app.signals.on("datapipes.*", lambda sender, signal_name, **fields: heard.append(signal_name))
    return heard


def test_a_run_returns_at_once_and_ends_with_its_streams() -> None:
    stream = Stream()
    feature = Streaming({"s": stream})
    with app_of(feature, "s") as app:
        heard = signals_of(app)
        report = app.run(mode="streaming")
        assert report.status == "running"
        assert heard == ["datapipes.before_run", "datapipes.before_pipe", "datapipes.after_pipe"]
        assert feature.called == []
        open_run = report.open_run
        assert open_run is not None
        assert open_run.is_open
        assert {name: one.status for name, one in open_run.streams.handles.items()} == {"s": "running"}
        with pytest.raises(TimeoutError, match="still run: s"):
            open_run.wait(0)
        stream.end()
        assert open_run.wait(PATIENCE_SECONDS).status == "succeeded"
        assert not open_run.is_open
        assert heard[-1] == "datapipes.after_run"
        assert feature.called == ["after run, succeeded"]


def test_a_stream_that_fails_fails_its_run_and_leaves_the_others() -> None:
    broken, fine = Stream(), Stream()
    with app_of(Streaming({"broken": broken, "fine": fine}), "broken", "fine") as app:
        open_run = app.run(mode="streaming").open_run
        assert open_run is not None
        broken.end(ValueError("no more rows"))
        assert not fine.asked.is_set()
        fine.end()
        with pytest.raises(RunFailed, match="Pipe 'broken' failed: ValueError: no more rows") as failed:
            open_run.wait(PATIENCE_SECONDS)
    report = failed.value.report
    assert {one.pipe_id: one.status for one in report.pipes} == {"broken": "failed", "fine": "succeeded"}
    assert report.status == "failed"


def test_with_fail_fast_the_first_failure_stops_the_other_streams() -> None:
    broken, fine = Stream(), Stream()
    with app_of(Streaming({"broken": broken, "fine": fine}), "broken", "fine", on_failure="fail_fast") as app:
        open_run = app.run(mode="streaming").open_run
        assert open_run is not None
        broken.end(ValueError("no more rows"))
        with pytest.raises(RunFailed):
            open_run.wait(PATIENCE_SECONDS)
        assert fine.asked.is_set()


def test_cancelling_stops_the_streams_and_cancels_the_run() -> None:
    stream = Stream()
    with app_of(Streaming({"s": stream}), "s") as app:
        open_run = app.run(mode="streaming").open_run
        assert open_run is not None
        app.cancel()
        with pytest.raises(RunFailed, match="cancelled"):
            open_run.wait(PATIENCE_SECONDS)
        assert stream.asked.is_set()


def test_a_stream_that_does_not_stop_is_left_behind_and_named() -> None:
    stream = Stream(obeys=False)
    with app_of(Streaming({"s": stream}), "s", grace_seconds=0) as app:
        open_run = app.run(mode="streaming").open_run
        assert open_run is not None
        open_run.cancel()
        with pytest.raises(RunFailed) as failed:
            open_run.wait(PATIENCE_SECONDS)
        assert failed.value.report.pipe("s").error == "Its stream did not stop within 0 s."
    stream.end()


def test_closing_the_app_stops_the_streams_and_ends_the_run() -> None:
    stream = Stream()
    feature = Streaming({"s": stream})
    with app_of(feature, "s") as app:
        heard = signals_of(app)
        open_run = app.run(mode="streaming").open_run
    assert open_run is not None
    assert not open_run.is_open
    assert heard[-1] == "datapipes.after_run"
    assert feature.called == ["after run, succeeded"]


def test_what_nobody_starts_is_an_error() -> None:
    with app_of(Streaming({"s": None}), "s") as app:
        with pytest.raises(RunFailed, match="No active feature started the stream of pipe 's'") as failed:
            app.run(mode="streaming")
        assert isinstance(failed.value.report.exceptions["s"], PipeError)


def test_a_failed_batch_pipe_with_fail_fast_stops_the_stream_that_it_reads() -> None:
    stream = Stream()
    pipes = Pipes()
    pipes.pipe("s", output="t.s", mode="streaming")(lambda: None)

    @pipes.pipe("broken", inputs=["t.s"])
    def broken(t_s):
        raise ValueError("bad")

    tables = Tables()
    tables.values["t.s"] = 1
    app = App(plugins=[Streaming({"s": stream}), tables], config={"execution": {"on_failure": "fail_fast"}}, environ={})
    app.mount(pipes)
    with app, pytest.raises(RunFailed, match="'broken' failed"):
        app.run()
    assert stream.asked.is_set()


class Tables:
    """A feature that keeps values by entity id, with what it was asked for."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {"t.in": 1}
        self.reads: list[ReadRequest] = []
        self.writes: list[WriteRequest] = []

    @hookimpl
    def kindling_entity_ids(self):
        return list(self.values)

    @hookimpl
    def kindling_read(self, request: ReadRequest):
        self.reads.append(request)
        return self.values[request.entity_id]

    @hookimpl
    def kindling_write(self, request: WriteRequest):
        with request.fence.committing():
            self.writes.append(request)
            self.values[request.entity_id] = request.value
        return WriteResult(1)


class Windows:
    """A feature that gives functions an argument, wraps their calls, and has an option of a run."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.options: dict[str, object] = {}

    @hookimpl
    def kindling_pipe_arguments(self):
        return {"window": "the days that the pipe is for"}

    @hookimpl
    def kindling_pipe_argument(self, name, pipe, run):
        return ("2026-01-01", "2026-02-01") if name == "window" else None

    @hookimpl(wrapper=True)
    def kindling_execute_pipe(self, pipe, run, arguments):
        self.calls.append(f"before {pipe.pipe_id} with {sorted(arguments)}")
        try:
            return (yield)
        finally:
            self.calls.append(f"after {pipe.pipe_id}")

    @hookimpl
    def kindling_run_options(self):
        return [click.Option(["--days"], type=int, help="How many days to look back.")]

    @hookimpl
    def kindling_before_run(self, run):
        self.options = dict(run.options)


def windowed() -> Pipes:
    pipes = Pipes()

    @pipes.pipe("copy", inputs=["t.in"], output="t.out")
    def copy(t_in, *, window):
        return (t_in, window)

    return pipes


def test_a_feature_gives_an_argument_and_wraps_the_call() -> None:
    tables, windows = Tables(), Windows()
    with App(plugins=[tables, windows], environ={}) as app:
        app.mount(windowed())
        app.run(options={"days": 3})
    assert tables.values["t.out"] == (1, ("2026-01-01", "2026-02-01"))
    assert windows.calls == ["before copy with ['t_in', 'window']", "after copy"]
    assert windows.options == {"days": 3}


def test_an_argument_that_nobody_gives_is_refused_when_the_job_is_composed() -> None:
    app = App(plugins=[Tables()], environ={})
    with pytest.raises(PipeDefinitionError, match="no input fills the parameter 'window', and no active feature"):
        app.mount(windowed())


def test_an_error_of_the_function_stays_the_users_within_a_wrapper() -> None:
    pipes = Pipes()

    @pipes.pipe("broken")
    def broken():
        raise ZeroDivisionError("mine")

    with App(plugins=[Windows()], environ={}) as app:
        app.mount(pipes)
        with pytest.raises(RunFailed) as failed:
            app.run()
    assert type(failed.value.report.exceptions["broken"]) is ZeroDivisionError


def test_a_pipe_runs_once_with_given_inputs_versions_and_fence() -> None:
    tables = Tables()
    pipes = Pipes()

    @pipes.pipe("join", inputs=["t.in", "t.other@v3", "t.changes", "t.log"], output="t.out")
    def join(t_in, t_other, t_changes, t_log):
        return [t_in, t_other, t_changes, t_log]

    tables.values |= {"t.other": 2, "t.changes": 3, "t.log": 4}
    stream, feature = Stream(), Streaming({"s": Stream()})
    feature.streams["s"] = stream
    with app_of(feature, "s") as app:
        app.host.manager.register(tables)
        app.mount(pipes)
        open_run = app.run(["s"], mode="streaming").open_run
        result = app.run_pipe(
            "join",
            feature.run,
            inputs={"t.in": "a micro-batch"},
            versions={"t.changes": (4, 7), "t.log": VersionRange(2, 9, appends=True)},
            transaction=("relay", 5),
            transactions=[("watermark", 9)],
            skip_empty=True,
            commit_metadata={"batch": "5"},
        )
        assert result.rows == 1
        assert tables.values["t.out"] == ["a micro-batch", 2, 3, 4]
        assert [(one.entity_id, one.start_version, one.version, one.appends) for one in tables.reads] == [
            ("t.other", None, 3, False),
            ("t.changes", 4, 7, False),
            ("t.log", 2, 9, True),
        ]
        written = tables.writes[0]
        assert (written.transaction, written.skip_empty, written.commit_metadata) == (
            ("relay", 5),
            True,
            {"batch": "5"},
        )
        assert written.transactions == (("watermark", 9),)
        assert written.run is feature.run
        fence = Fence()
        fence.close()
        with pytest.raises(PipeAbandoned):
            app.run_pipe("join", feature.run, fence=fence)
        with pytest.raises(KindlingError, match="does not read 't.nowhere'"):
            app.run_pipe("join", feature.run, inputs={"t.nowhere": 1})
        assert len(tables.writes) == 1
        assert open_run is not None
        assert open_run.is_open


def test_options_of_plugins_are_options_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "windowed_job.py").write_text(
        "import click\n"
        "from kindling_core import Pipes, hookimpl\n"
        "pipes = Pipes()\n"
        "class Days:\n"
        "    @hookimpl\n"
        "    def kindling_run_options(self):\n"
        "        return [click.Option(['--days'], type=int, help='How many days to look back.')]\n"
        "    @hookimpl\n"
        "    def kindling_before_run(self, run):\n"
        "        print('options', dict(run.options))\n"
        "pipes.pipe('p')(lambda: None)\n"
    )
    (tmp_path / "kindling.toml").write_text('[job]\nmodules = ["windowed_job"]\nplugins = ["windowed_job:Days"]\n')
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["run", "--days", "3"])
    assert result.exit_code == 0, result.output
    assert "options {'days': 3}" in result.output
    assert "How many days to look back." in CliRunner().invoke(cli, ["run", "--help"]).output
