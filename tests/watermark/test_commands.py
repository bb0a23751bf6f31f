"""The commands, typed as a user types them, and what ``kindling plan`` says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = """
import pyarrow as pa
from kindling_core import Pipes
from kindling_entities import Entities

entities, pipes = Entities(), Pipes()
entities.entity("bronze.orders", write_mode="append")
entities.entity("silver.orders", write_mode="append")


@pipes.pipe("load", output="bronze.orders")
def load():
    return pa.table({"id": [1, 2]})


@pipes.pipe("silver.orders", inputs=["bronze.orders"], output="silver.orders", incremental={"bronze.orders": "appends"})
def orders(bronze_orders):
    return bronze_orders
"""
JOB = """
[job]
name = "shop"
modules = ["shop"]
features = ["entities", "state"]
plugins = ["kindling_watermark.plugin:WatermarkPlugin"]
"""


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "kindling_core", *arguments],
            cwd=self.folder,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == status, done.stderr + done.stdout
        return done

    def data(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", status=status).stdout)

    def ids(self) -> list[int]:
        return sorted(row["id"] for row in self.data("show", "silver.orders", "--limit", "1000"))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "shop.py").write_text(MODULE)
    (tmp_path / "kindling.toml").write_text(JOB)
    return Shell(tmp_path)


def test_from_the_first_run_to_a_full_refresh(shell: Shell) -> None:
    notes = shell.data("plan", "silver.orders")["notes"]
    assert any("silver.orders reads cannot go on: " in note and "does not exist" in note for note in notes)
    shell("run")
    shell("run", "load")
    (lag,) = shell.data("lag")
    assert (lag["versions"], lag["rows"], lag["problem"]) == (1, 2, "")
    assert lag["seconds"] > 0
    (note,) = shell.data("plan", "silver.orders")["notes"]
    assert note == "silver.orders reads bronze.orders: rows added in version 1"
    shell("lag", "--fail-over", "1h")
    (shell.folder / "lake.state.db").unlink()
    assert (
        shell("watermarks", "rebuild").stdout.strip().endswith("silver.orders has read bronze.orders up to version 0.")
    )
    shell("run", "silver.orders")
    (one,) = shell.data("watermarks")
    assert (one["reader_id"], one["source_entity_id"], one["version"], one["versions"]) == (
        "silver.orders", "bronze.orders", 1, 0,
    )  # fmt: skip
    (note,) = shell.data("plan", "silver.orders")["notes"]
    assert note == "silver.orders reads nothing: bronze.orders is read up to version 1"
    assert shell.ids() == [1, 1, 2, 2]
    shell("watermarks", "set", "silver.orders", "bronze.orders", "0")
    shell("run", "silver.orders")
    assert shell.ids() == [1, 1, 1, 2, 2, 2]
    assert "1 of 1 outputs are not what their whole inputs give" in shell("watermarks", "verify", status=1).stderr
    shell("run", "silver.orders", "--full-refresh", "silver.orders")
    (proof,) = shell.data("watermarks", "verify")
    assert (proof["rows"], proof["differences"]) == ([4, 4], [])
    assert shell.ids() == [1, 1, 2, 2]


def test_a_lag_that_is_too_long_or_cannot_be_caught_up_fails(shell: Shell) -> None:
    shell("run")
    shutil.rmtree(shell.folder / "lake" / "bronze")
    shell("run", "load")
    assert "it was removed and made anew" in shell("lag").stdout
    told = shell("lag", "--fail-over", "1h", status=1).stderr
    assert "1 of 1 are behind by more than 3600 s, or cannot go on: silver.orders (bronze.orders)" in told


def test_reset_reads_from_the_beginning(shell: Shell) -> None:
    shell("run")
    assert "reads bronze.orders from the beginning" in shell("watermarks", "reset", "silver.orders").stdout
    (note,) = shell.data("plan", "silver.orders")["notes"]
    assert note == "silver.orders reads bronze.orders: all rows of version 0, because it has no watermark so far"
    shell("run", "silver.orders")
    assert shell.ids() == [1, 1, 2, 2]


def test_what_does_not_exist_is_told_with_near_matches(shell: Shell) -> None:
    assert "Did you mean 'silver.orders'" in shell("watermarks", "reset", "silver.order", status=2).stderr
    shell("run")
    told = shell("watermarks", "set", "silver.orders", "bronze.order", "1", status=2).stderr
    assert "Did you mean 'bronze.orders'" in told
    told = shell("watermarks", "set", "silver.orders", "bronze.orders", "7", status=2).stderr
    assert "has no version 7; the newest is 0" in told
