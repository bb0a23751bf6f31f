"""A run of the command ends as its pipes did, whatever becomes of its messages and whoever interrupts its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PATIENCE_SECONDS = 60
JOB = '[job]\nname = "small"\nmodules = ["job_pipes"]\nfeatures = {features}\n'
GOOD = "return None"
BAD = "raise ValueError('broken on purpose')"
# What a pipe may do to the streams of its process, and what becomes of the report.
CLOSING = {
    "sys.stderr.close()": "printed",
    "os.close(2)": "printed",
    "sys.stderr = None": "printed",
    "sys.stdout.close()": "cannot be printed",
    "os.close(1)": "cannot be printed",
    "sys.stdout = None": "lost",
    "sys.stdout.close(); sys.stderr.close()": "lost",
}
PIPES = """
    import logging, os, sys
    from kindling_core import Pipes

    pipes = Pipes()

    @pipes.pipe("a.first")
    def first():
        {first}

    @pipes.pipe("b.second")
    def second():
        {second}
"""
# An installed feature, as its distribution's metadata names it.
FEATURE = """
    import sys, threading
    from kindling_core.hooks import hookimpl

    class Plugin:
        @hookimpl
        def kindling_start(self, app):
            {start}

        @hookimpl
        def kindling_stop(self, app):
            {stop}
"""
HANG = "print('stopping', file=sys.stderr, flush=True); threading.Event().wait({seconds})"


def make_job(folder: Path, first: str = GOOD, second: str = GOOD, start: str = "pass", stop: str | None = None) -> None:
    """Write a job; with ``stop``, one with a feature that starts and stops in these ways."""
    (folder / "job_pipes.py").write_text(textwrap.dedent(PIPES).format(first=first, second=second))
    (folder / "kindling.toml").write_text(JOB.format(features='["slow"]' if stop else "[]"))
    if stop is None:
        return
    feature = textwrap.dedent(FEATURE).format(start=start, stop=stop)
    (folder / "slow_feature.py").write_text(feature)
    metadata = folder / "slow_feature-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-feature\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[kindling]\nslow = slow_feature:Plugin\n")


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def run(folder: Path, *arguments: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command; ``shell``: redirections."""
    command: list[str] = [sys.executable, "-m", "kindling_core", "run", *arguments]
    if shell:
        command = ["sh", "-c", f'"$@" {shell}', "sh", *command]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


# Streams


@pytest.mark.parametrize(("second", "status"), [(GOOD, 0), (BAD, 1)], ids=["good", "bad"])
@pytest.mark.parametrize(("first", "report"), CLOSING.items())
def test_a_run_whose_pipe_closes_a_stream_ends_as_its_pipes_did(
    tmp_path: Path, first: str, report: str, second: str, status: int
) -> None:
    make_job(tmp_path, first, second)
    done = run(tmp_path, "--json", "--set", "execution.max_workers=1")
    assert done.returncode == status, done.stderr
    if report == "printed":
        statuses = [pipe["status"] for pipe in json.loads(done.stdout)["pipes"]]
        assert statuses == ["succeeded", "failed" if status else "succeeded"]
    assert ("the report cannot be printed" in done.stderr) is (report == "cannot be printed")


@pytest.mark.parametrize(("second", "status"), [(GOOD, 0), (BAD, 1)], ids=["good", "bad"])
@pytest.mark.parametrize("shell", ["2>&-", ">&-", ">&- 2>&-", "2>/dev/full", ">/dev/full", ">/dev/full 2>&1"])
def test_a_run_whose_streams_take_nothing_ends_as_its_pipes_did(
    tmp_path: Path, shell: str, second: str, status: int
) -> None:
    if "full" in shell and not Path("/dev/full").exists():
        pytest.skip("the system has no full device")
    make_job(tmp_path, second=second)
    assert run(tmp_path, shell=shell).returncode == status


@pytest.mark.parametrize(("second", "status"), [(GOOD, 0), (BAD, 1)], ids=["good", "bad"])
def test_a_run_whose_reader_has_gone_ends_as_its_pipes_did(tmp_path: Path, second: str, status: int) -> None:
    make_job(tmp_path, second=second)
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [sys.executable, "-m", "kindling_core", "run"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    _, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == status
    assert "Traceback" not in told
    assert "Exception ignored" not in told


def test_text_that_the_stream_cannot_encode_is_escaped(tmp_path: Path) -> None:
    make_job(tmp_path, r"raise ValueError('für \ud800 Zürich')")
    done = run(tmp_path, shell="| cat; true")
    assert "\\ud800" in done.stdout
    assert "cannot be printed" not in done.stderr


HANDLER = (
    "logging.getLogger('kindling').addHandler(type('Broken', (logging.Handler,), "
    "{'emit': lambda self, record: 1 / 0})())"
)


@pytest.mark.parametrize(("second", "status"), [(GOOD, 0), (BAD, 1)], ids=["good", "bad"])
@pytest.mark.parametrize("first", ["pass", "sys.stderr.close()"])
def test_a_log_handler_that_raises_beside_a_receiver_that_raises_fails_no_run(
    tmp_path: Path, first: str, second: str, status: int
) -> None:
    raising = "app.signals.on('*', lambda sender, **fields: 1 / 0)"
    make_job(tmp_path, f"{HANDLER}; {first}", second, raising, "pass")
    done = run(tmp_path, "--json", "--set", "execution.max_workers=1")
    assert done.returncode == status, done.stderr
    assert json.loads(done.stdout)["pipes"][0]["status"] == "succeeded"


# Signals at the end


def signalled(folder: Path, number: int, times: int, *, again: bool = False) -> tuple[int, str, str]:
    """Run the command and signal it once its features stop; returns status, output and messages.

    Args:
        again: signal it each second until it ends. A signal that comes while a thread is about to wait for a lock is
            seen by Python only once the next comes.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "kindling_core", "run", "--json"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for _ in range(times):
            while process.stderr.readline() != "stopping\n":
                assert process.poll() is None
            process.send_signal(number)
        for _ in range(20 if again else 0):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
                break
            process.send_signal(number)
        out, told = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
    return process.returncode, out, told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_feature_stops_leaves_a_success_a_success(tmp_path: Path, number: int) -> None:
    make_job(tmp_path, stop=HANG.format(seconds=120))
    status, out, told = signalled(tmp_path, number, 1)
    assert status == 0, told
    assert json.loads(out)["status"] == "succeeded"
    assert "interrupted after the run had succeeded" in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_receiver_hangs_leaves_a_success_a_success(tmp_path: Path, number: int) -> None:
    start = "app.signals.on('datapipes.after_run', lambda sender, **fields: threading.Event().wait(120), queued=True)"
    make_job(tmp_path, start=start, stop="print('stopping', file=sys.stderr, flush=True)")
    status, out, told = signalled(tmp_path, number, 1)
    assert status == 0, told
    assert json.loads(out)["status"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_what_swallowed_the_first_as_a_success(tmp_path: Path, number: int) -> None:
    stop = (
        "exec('''while True:\\n    try:\\n        print(\"stopping\", file=sys.stderr, flush=True)\\n"
        "        threading.Event().wait(120)\\n    except KeyboardInterrupt:\\n        pass''')"
    )
    make_job(tmp_path, stop=stop)
    status, out, told = signalled(tmp_path, number, 2)
    assert status == 0, told
    assert json.loads(out)["status"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_process_waits_for_its_threads_leaves_a_success_a_success(
    tmp_path: Path, number: int
) -> None:
    late = (
        "import threading; threading.Thread(target=lambda: (threading.main_thread().join(), "
        "print('stopping', file=sys.stderr, flush=True), threading.Event().wait(120)), daemon=False).start()"
    )
    make_job(tmp_path, late)
    status, out, told = signalled(tmp_path, number, 1, again=True)
    assert status == 0, told
    assert json.loads(out)["status"] == "succeeded"


def test_an_error_that_an_interrupted_stop_ends_with_leaves_a_success_a_success(tmp_path: Path) -> None:
    stop = (
        "exec('''try:\\n    print(\"stopping\", file=sys.stderr, flush=True)\\n    threading.Event().wait(120)\\n"
        "except KeyboardInterrupt:\\n    raise OSError(\"the engine was interrupted\")''')"
    )
    make_job(tmp_path, stop=stop)
    status, out, told = signalled(tmp_path, signal.SIGTERM, 1)
    assert status == 0, told
    assert json.loads(out)["status"] == "succeeded"


def test_a_signal_while_the_feature_of_a_failed_run_stops_leaves_it_a_failure(tmp_path: Path) -> None:
    make_job(tmp_path, second=BAD, stop=HANG.format(seconds=120))
    status, out, told = signalled(tmp_path, signal.SIGTERM, 1)
    assert status == 1, told
    assert json.loads(out)["status"] == "failed"
