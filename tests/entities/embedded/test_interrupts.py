"""Ctrl-C and SIGTERM end a job on the embedded engine as they end any other, also once its engine runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PATIENCE_SECONDS = 60
JOB = """
    [job]
    name = "slow"
    modules = ["pipes"]
    features = ["entities"]

    [execution]
    # A write that begins once the run is being stopped takes longer on a machine that is busy.
    grace_seconds = 30
"""
PIPES = """
    import sys
    import pyarrow as pa
    from kindling_core import Pipes
    from kindling_entities import Entities

    entities, pipes = Entities(), Pipes()
    for name in ("first", "second", "third"):
        entities.entity(f"t.{name}")

    @pipes.pipe("t.first", output="t.first")
    def first():
        return pa.table({"n": [1]})

    @pipes.pipe("t.second", inputs={"frame": "t.first"}, output="t.second")
    def second(frame):
        assert frame.count() == 1
        print("computed", flush=True)
        # Goes on once the run is being stopped, ends within the grace, and then still writes.
        sys.stdin.readline()
        return frame

    @pipes.pipe("t.third", inputs={"frame": "t.second"}, output="t.third")
    def third(frame):
        return frame
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_engine_runs_ends_the_run_with_a_whole_report(tmp_path: Path, number: int) -> None:
    (tmp_path / "kindling.toml").write_text(textwrap.dedent(JOB))
    (tmp_path / "pipes.py").write_text(textwrap.dedent(PIPES))
    child = subprocess.Popen(
        [sys.executable, "-c", "from kindling_core.cli import main; main()", "run", "--json"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "computed\n"
        child.send_signal(number)
        told = []
        for line in child.stderr:
            told.append(line)
            if "Stopping" in line:
                break
        out, rest = child.communicate("go on\n", timeout=PATIENCE_SECONDS)
        err = "".join(told) + rest
    finally:
        child.kill()
    assert child.returncode == 1, err
    report = json.loads(out)
    assert report["status"] == "cancelled"
    assert [one["status"] for one in report["pipes"]] == ["succeeded", "succeeded", "skipped"], err
    assert "Stopping" in err
    assert "Traceback" not in err
