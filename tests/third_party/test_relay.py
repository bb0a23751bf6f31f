"""Runs the installed relay, which streams in micro-batches through ``run_pipe`` and may be killed at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE_SECONDS = 120
MODULE = """
import os
import pyarrow as pa
from kindling_core import Pipes, hookimpl
from kindling_entities import Entities, EntityProvider

entities, pipes = Entities(), Pipes()
entities.entity("raw.events", write_mode="append", properties={"delta.enableChangeDataFeed": "true"})
entities.entity("silver.events", write_mode="append")


@pipes.pipe("silver.events", inputs=["raw.events"], output="silver.events", mode="streaming")
def events(raw_events):
    return raw_events.select("id")


class Feeds:
    '''Adds a row to the source once a micro-batch is over, and kills the process where the test says so.'''

    requires = ["entities"]

    def __init__(self):
        self.batches = 0

    @hookimpl
    def kindling_start(self, app):
        self.tables = app.service(EntityProvider)

    @hookimpl
    def kindling_before_run(self):
        if not self.tables.check_entity_exists("raw.events"):
            self.tables.append_to_entity("raw.events", pa.table({"id": [0, 1]}))

    @hookimpl(wrapper=True)
    def kindling_write(self, request):
        at, _, number = os.environ.get("KILL", "").partition(" ")
        if at == "before" and self.batches == int(number):
            os._exit(9)
        result = yield
        if at == "after" and self.batches == int(number):
            os._exit(9)
        self.batches += 1
        if os.environ.get("FEED") == "yes":
            self.tables.append_to_entity("raw.events", pa.table({"id": [100 + self.batches]}))
        return result
"""
JOB = """
[job]
name = "relayed"
modules = ["relayed"]
features = ["entities", "state", "relay"]
plugins = ["relayed:Feeds"]

[entities]
engine = "embedded"
root = "./lake"

[relay]
poll_seconds = 0.01
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "relayed.py").write_text(MODULE)
    (tmp_path / "kindling.toml").write_text(JOB)
    return tmp_path


def kindling(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kindling_core", *arguments],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def ids(folder: Path) -> list[int]:
    shown = kindling(folder, "show", "silver.events", "--json", "--limit", "1000")
    assert shown.returncode == 0, shown.stderr
    return sorted(row["id"] for row in json.loads(shown.stdout))


def test_a_stream_relays_each_version_once_and_ends_when_it_is_told(job: Path) -> None:
    ended = kindling(job, "run", "--mode", "streaming", "--batches", "3", FEED="yes")
    assert ended.returncode == 0, ended.stderr
    assert "1 stream runs: silver.events. Ctrl-C stops it." in ended.stderr
    assert ids(job) == [0, 1, 101, 102]
    runs = json.loads(kindling(job, "runs", "--json").stdout)
    assert [run["status"] for run in runs] == ["succeeded"]


@pytest.mark.parametrize("kill", ["before 0", "after 0", "before 1", "after 1"])
def test_a_stream_that_is_killed_continues_where_it_was(job: Path, kill: str) -> None:
    killed = kindling(job, "run", "--mode", "streaming", "--batches", "2", FEED="yes", KILL=kill)
    assert killed.returncode == 9, killed.stderr
    # What was fed before the kill, and nothing more.
    left = 2 if kill == "after 1" or kill == "before 1" else 1
    ended = kindling(job, "run", "--mode", "streaming", "--batches", "1")
    assert ended.returncode == 0, ended.stderr
    assert ids(job) == ([0, 1, 101] if left == 2 else [0, 1])
