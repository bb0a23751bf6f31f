"""A whole job in a folder whose name a library would take for an address or a pattern, run by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

JOB = """
[job]
name = "placed"
modules = ["placed_pipes"]
features = ["entities", "state"]

[entities]
root = {root!r}
"""
PIPES = """
from kindling_core import Pipes
from kindling_entities import Entities

entities, pipes = Entities(), Pipes()
entities.source("raw.n", path="in/*.csv", columns={"n": "bigint", "f": "double"})
entities.source("raw.j", path="in/rows.json", provider="json", columns={"n": "bigint", "name": "string"})
entities.source("raw.p", path="in/*.parquet", provider="parquet")
entities.entity("silver.n", keys=["n"], write_mode="merge", properties={"delta.enableChangeDataFeed": "true"})
entities.entity("gold.n", partition_columns=["name"])
entities.entity("out.n", provider="parquet")


@pipes.pipe("silver.n", inputs=["raw.n", "raw.p"], output="silver.n")
def silver(raw_n, raw_p):
    return raw_n.join(raw_p, "n")


@pipes.pipe("gold.n", inputs=["silver.n", "raw.j"], output="gold.n")
def gold(silver_n, raw_j):
    return silver_n.join(raw_j, "n")


@pipes.pipe("out.n", inputs=["gold.n"], output="out.n")
def out(gold_n):
    return gold_n
"""
NAMES = ["with space", "Größe", "hash#x", "q?x", "-*{x} 100% it's a+b&c"]
UNREACHABLE = ["pro%20cent", "br[1]"]


def kindling(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kindling_core", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def placed(folder: Path, root: str = "lake") -> None:
    (folder / "in").mkdir(parents=True)
    (folder / "kindling.toml").write_text(JOB.format(root=root))
    (folder / "placed_pipes.py").write_text(PIPES)
    (folder / "in" / "a.csv").write_text("n,f\n1,0.5\n2,NaN\n")
    (folder / "in" / "b.csv").write_text("n,f\n3,1.5\n")
    (folder / "in" / "rows.json").write_text("".join(f'{{"n": {n}, "name": "name {n}%"}}\n' for n in (1, 2, 3)))
    pq.write_table(pa.table({"n": [1, 2, 3], "p": [7.0, 7.0, float("nan")]}), folder / "in" / "p.parquet")


def check(folder: Path) -> None:
    found = pq.read_table(folder / "data.parquet").sort_by("n").select(["n", "f", "p", "name"]).to_pylist()
    assert repr(found) == repr(
        [
            {"n": 1, "f": 0.5, "p": 7.0, "name": "name 1%"},
            {"n": 2, "f": float("nan"), "p": 7.0, "name": "name 2%"},
            {"n": 3, "f": 1.5, "p": float("nan"), "name": "name 3%"},
        ]
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_job_runs_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    placed(folder)
    assert kindling(folder, "doctor").returncode == 0
    for _ in range(2):
        done = kindling(folder, "run", "--json")
        assert done.returncode == 0, done.stderr
    check(folder / "lake" / "out" / "n")
    listed = kindling(folder, "runs", "--json")
    assert len(json.loads(listed.stdout)) == 2, listed.stderr


@pytest.mark.parametrize("name", UNREACHABLE)
def test_a_root_that_cannot_be_reached_is_told_by_doctor_and_by_the_run(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    placed(folder)
    told = kindling(folder, "doctor")
    assert told.returncode != 0
    assert "cannot reach a folder with" in told.stdout + told.stderr
    done = kindling(folder, "run")
    assert done.returncode != 0
    assert "cannot reach a folder with" in done.stdout + done.stderr
    # With its tables elsewhere the same job runs: sources and state may lie there.
    (folder / "kindling.toml").write_text(JOB.format(root=str(tmp_path / "lake")))
    done = kindling(folder, "run", "--afresh")
    assert done.returncode == 0, done.stderr
    check(tmp_path / "lake" / "out" / "n")
