"""``kindling verify``: equal tables pass, a difference between the engines is told by key and column."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa

from kindling_entities.verification import compare

JOB = """
[job]
name = "verified"
modules = ["verified_pipes"]
features = ["entities"]

[entities.spark]
master = "local[2]"
conf.spark.sql.shuffle.partitions = 2
"""
PIPES = """
from kindling_core import Pipes
from kindling_entities import Entities

entities, pipes = Entities(), Pipes()
entities.source("raw.n", path="n.csv", columns={"n": "bigint"})
entities.entity("silver.same", keys=["n"])
entities.entity("silver.rounded", keys=["n"])


@pipes.pipe("silver.same", inputs=["raw.n"], output="silver.same")
def same(raw_n):
    return raw_n.selectExpr("n", "n / 3 as third")


@pipes.pipe("silver.rounded", inputs=["silver.same"], output="silver.rounded")
def rounded(silver_same):
    return silver_same.selectExpr("n", "if(n = 2, version(), 'same') as r")
"""


def test_verify_tells_where_the_engines_differ_and_where_not(tmp_path: Path) -> None:
    (tmp_path / "kindling.toml").write_text(textwrap.dedent(JOB))
    (tmp_path / "verified_pipes.py").write_text(PIPES)
    (tmp_path / "n.csv").write_text("n\n1\n2\n3\n10\n")
    done = subprocess.run(
        [sys.executable, "-m", "kindling_core", "verify", "--json"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "SPARK_CONNECT_MODE_ENABLED"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    told = {row["entity_id"]: row for row in json.loads(done.stdout)}
    assert told["silver.same"]["differences"] == []
    assert told["silver.same"]["rows"] == [4, 4]
    assert told["silver.rounded"]["differences"][0].startswith("column 'r' differs in 1 row(s), such as n=2: ")
    assert "1 of 2 tables differ: silver.rounded" in done.stderr
    assert not (tmp_path / "lake").exists()


def test_rows_types_and_values_are_compared() -> None:
    first = pa.table({"k": [1, 2, 3], "v": ["a", "b", "c"], "x": pa.array([1, 2, 3], pa.int32())})
    second = pa.table({"k": [1, 2, 4], "v": ["a", "B", "d"], "x": [1, 2, 3]})
    told = compare("a.b", first, second, ["k"], ("one", "two")).differences
    assert told == [
        "column 'x' is int on one and bigint on two",
        "1 key(s) have rows on one that two lacks: k=3",
        "1 key(s) have rows on two that one lacks: k=4",
        "column 'v' differs in 1 row(s), such as k=2: 'b' on one, 'B' on two",
    ]


def test_order_of_addition_and_of_rows_is_no_difference_and_rows_that_come_twice_count() -> None:
    first = pa.table({"v": ["a", "a", "b"], "x": [0.1 + 0.2, 1.0, float("nan")]})
    second = pa.table({"v": ["b", "a", "a"], "x": [float("nan"), 1.0, 0.3]})
    assert compare("a.b", first, second, [], ("one", "two")).equal
    assert not compare("a.b", first, second.slice(0, 2), [], ("one", "two")).equal


def test_a_sample_takes_the_same_keys_on_both_sides() -> None:
    table = pa.table({"k": list(range(1000)), "v": list(range(1000))})
    result = compare("a.b", table, table.slice(0).sort_by([("k", "descending")]), ["k"], ("one", "two"), 0.1)
    assert result.equal
    assert 50 < result.rows[0] == result.rows[1] < 200
