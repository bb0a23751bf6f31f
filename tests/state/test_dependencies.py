"""What a run depends on: a run that was killed is not resumed with anything else, and says what changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

KINDLING = Path(sys.executable).with_name("kindling")
PATIENCE_SECONDS = 120

JOB = """
[job]
name = "months"
modules = ["months"]
features = ["entities", "state"]

[entities]
root = "./lake"
spark.conf = { "spark.month" = "${SETTING:-none}", "spark.api_token" = "${API_TOKEN:-first}" }
"""

# Where the month comes in: a source's path, or a value that a pipe refers to.
MODULE = """
import os, signal
from pyspark.sql import functions as F
from kindling_core import Pipes
from kindling_entities import Entities

MONTH = os.environ.get("MONTH", "02")
WORD = os.environ.get("WORD", "x")
DB_PASSWORD = os.environ.get("DB_PASSWORD", "hunter2hunter2")
entities, pipes = Entities(), Pipes()
entities.source("raw.orders", path=f"data/{MONTH}/*.csv")
entities.source("raw.others", path="data/others")
entities.entity("t.orders", write_mode="append")
entities.entity("t.others", write_mode="append")
entities.entity("t.all")

@pipes.pipe("t.others", inputs={"frame": "raw.others"}, output="t.others")
def others(frame):
    return frame

@pipes.pipe("t.orders", inputs={"frame": "raw.orders", "after": "t.others"}, output="t.orders")
def orders(frame, after):
    if os.environ.get("KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    return frame.withColumn("word", F.lit(word_of()))

@pipes.pipe("t.all", inputs={"frame": "t.orders"}, output="t.all")
def everything(frame):
    DB_PASSWORD
    return frame

def word_of():
    return WORD
"""


class Months:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "kindling.toml").write_text(JOB)
        (folder / "months.py").write_text(MODULE)
        for name in ("02/a", "03/a", "others/a"):
            self.put(name, "1")

    def put(self, name: str, value: str) -> None:
        file = self.folder / "data" / f"{name}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"id\n{value}\n")

    def call(self, *arguments: str, status: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [KINDLING, *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def killed(self, **environment: str) -> None:
        self.call("run", status=-signal.SIGKILL, KILL="yes", **environment)


@pytest.fixture
def months(tmp_path: Path) -> Months:
    made = Months(tmp_path)
    made.killed()
    return made


def test_another_environment_is_refused_with_the_values(months: Months) -> None:
    changes = {
        "MONTH": ("03", "entity 'raw.orders': path was 'data/02/*.csv', is 'data/03/*.csv'"),
        "WORD": ("y", "pipe 't.orders': WORD was 'x', is 'y'"),
        "SETTING": ("other", "setting entities.spark.conf.spark.month: was 'none', is 'other'"),
        "KINDLING_ENTITIES__WARN_OF_OVERFLOW": ("false", "entities.warn_of_overflow: was True, is False"),
    }
    for name, (value, told) in changes.items():
        assert told in months.call("resume", status=2, **{name: value})
    told = months.call("run", "--set", "state.unfinished=resume", status=2, MONTH="03")
    assert changes["MONTH"][1] in told
    assert "`kindling run --afresh`" in told
    months.call("resume", "--force", MONTH="03")


def test_secrets_are_compared_and_never_shown(months: Months) -> None:
    for secret in ({"API_TOKEN": "second-second"}, {"DB_PASSWORD": "swordfish99"}):
        told = months.call("resume", status=2, **secret)
        assert "has another value, which is secret" in told
        assert not any(value in told for value in ("second-second", "swordfish99", "hunter2hunter2"))
    kept = (months.folder / "lake.state.db").read_bytes()
    assert not any(value in kept for value in (b"hunter2hunter2", b"swordfish99"))
    months.call("resume")


def test_a_helper_that_a_pipe_calls_is_compared_and_what_changes_no_row_is_not(months: Months) -> None:
    file = months.folder / "months.py"
    text = file.read_text()
    file.write_text(text.replace("return WORD", "return WORD * 2"))
    assert "pipe 't.orders': its code" in months.call("resume", status=2)
    file.write_text("# A comment.\n\n" + text)
    months.call("resume", KINDLING_EXECUTION__MAX_WORKERS="2", KINDLING_STATE__POLL_SECONDS="3", PYTHONHASHSEED="7")


def test_files_that_a_pipe_has_still_to_read_are_compared(months: Months) -> None:
    months.put("others/b", "2")
    months.put("02/b", "2")
    told = months.call("resume", status=2)
    assert "the files of 'raw.orders'" in told
    assert "raw.others" not in told, "its only reader has succeeded"
    months.call("resume", "--force")
    shown = json.loads(months.call("show", "t.all", "--json"))
    assert len(shown["rows"] if isinstance(shown, dict) else shown) == 2


def test_other_values_of_the_command_line_are_those_of_the_run(tmp_path: Path) -> None:
    months = Months(tmp_path)
    months.call("run", "--set", "entities.warn_of_overflow=false", status=-signal.SIGKILL, KILL="yes")
    told = months.call("run", "--set", "state.unfinished=resume", status=2)
    assert "setting entities.warn_of_overflow: was False, is True" in told
    months.call("resume")
