"""``kindling verify``: equal tables pass, a difference between the engines is told by key and column."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities.verify.comparison import Comparison, compare

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
from kindling_entities import Entities, expect_or_quarantine

entities, pipes = Entities(), Pipes()
entities.source("raw.n", path="n.csv", columns={"n": "bigint"})
entities.entity("silver.same", keys=["n"])
entities.entity("silver.rounded", keys=["n"])
entities.entity(
    "silver.sound",
    columns={"n": "bigint", "half": "decimal(30,3)", "m": "map<string,double>", "at": "timestamp"},
    write_mode="append",
    expectations=[expect_or_quarantine("small", "n < 10")],
)
entities.entity("dim.n", scd=2, keys=["n"], surrogate_key="sk")
entities.entity("gold.text", provider="csv", columns={"n": "bigint", "x": "double"})
entities.entity("gold.view")
entities.entity("gold.memory", provider="memory")


@pipes.pipe("silver.same", inputs=["raw.n"], output="silver.same")
def same(raw_n):
    return raw_n.selectExpr("n", "n / 3 as third")


@pipes.pipe("silver.rounded", inputs=["silver.same"], output="silver.rounded")
def rounded(silver_same):
    return silver_same.selectExpr("n", "if(n = 2, version(), 'same') as r")


@pipes.pipe("silver.sound", inputs=["raw.n"], output="silver.sound")
def sound(raw_n):
    return raw_n.selectExpr(
        "n",
        "cast(n as decimal(30,3)) / 2 as half",
        "map('b', n / 3, 'a', sqrt(n)) as m",
        "timestamp'9999-12-31 23:59:59' as at",
    ).selectExpr("n", "cast(half as decimal(30,3)) as half", "m", "at")


@pipes.pipe("dim.n", inputs=["raw.n"], output="dim.n")
def history(raw_n):
    return raw_n.selectExpr("n", "array(n, null) as l")


@pipes.pipe("gold.text", inputs=["silver.same"], output="gold.text")
def text(silver_same):
    return silver_same.selectExpr("n", "third as x")


@pipes.pipe("gold.view", inputs=["silver.same"], output="gold.view", materialize="view")
def view(silver_same):
    return silver_same


@pipes.pipe("gold.memory", inputs=["silver.same"], output="gold.memory")
def memory(silver_same):
    return silver_same
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
    assert told["silver.same"]["rows"] == told["silver.same"]["compared"] == [4, 4]
    for name, rows in {"silver.sound": 3, "silver.sound__quarantine": 1, "dim.n": 4, "gold.text": 4}.items():
        assert (told[name]["differences"], told[name]["rows"], told[name]["compared"]) == ([], [rows] * 2, [rows] * 2)
    assert "valid_from, valid_to, sk" in told["dim.n"]["note"]
    assert "Not compared: gold.view (a view" in done.stderr
    assert "Not compared: gold.memory (kept in memory" in done.stderr
    assert told["silver.rounded"]["differences"][0].startswith("column 'r' differs in 1 row(s), such as n=2: ")
    assert "1 of 6 tables differ: silver.rounded" in done.stderr
    assert not (tmp_path / "lake").exists()


def differences(
    first: dict[str, Any] | pa.Table, second: dict[str, Any] | pa.Table, keys: list[str], **options: Any
) -> list[str]:
    return compared(first, second, keys, **options).differences


def compared(
    first: dict[str, Any] | pa.Table, second: dict[str, Any] | pa.Table, keys: list[str], **options: Any
) -> Comparison:
    return compare("a.b", pa.table(first), pa.table(second), keys, ("one", "two"), **options)


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
    assert result.rows == (1000, 1000)
    assert 50 < result.compared[0] == result.compared[1] < 200


def test_declared_types_are_compared_with_both_sides() -> None:
    told = differences({"k": [1]}, {"k": [1]}, ["k"], declared={"k": "int", "v": "decimal(10, 2)"})
    assert told == [
        "column 'k' is declared int and is bigint on one",
        "column 'k' is declared int and is bigint on two",
        "column 'v' is declared decimal(10,2) and is missing on one",
        "column 'v' is declared decimal(10,2) and is missing on two",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(pa.array([-0.0, float("nan")]), pa.array([0.0, float("nan")]), id="zeros and NaN"),
        pytest.param(pa.array([Decimal("1.50"), None]), pa.array([Decimal("1.5"), None]), id="scales and NULL"),
        pytest.param(pa.array([1, 2], pa.int32()), pa.array([1, 2], pa.int64()), id="widths"),
        pytest.param(pa.array([10, 0], pa.int32()), pa.array([Decimal(10), Decimal(0)]), id="integers and decimals"),
        pytest.param(pa.array([1.5, 0.1]), pa.array([1.5, 0.1], pa.float64()), id="doubles"),
        pytest.param(
            pa.array([1, 2], pa.timestamp("us", tz="UTC")),
            pa.array([1, 2], pa.timestamp("us", tz="America/New_York")),
            id="zones",
        ),
        pytest.param(
            pa.array([[("a", 1), ("b", 2)], []], pa.map_(pa.string(), pa.int32())),
            pa.array([[("b", 2), ("a", 1)], []], pa.map_(pa.string(), pa.int32())),
            id="maps",
        ),
        pytest.param(pa.array(["a", "b"]), pa.array(["a", "b"], pa.large_string()), id="large strings"),
    ],
)
def test_keys_of_one_value_meet_and_are_sampled_alike(one: pa.Array, other: pa.Array) -> None:
    values = [1.0, 2.0]
    for sample in (1.0, 0.5, 0.1):
        found = compared({"k": one, "x": values}, {"k": other, "x": values}, ["k"], sample=sample)
        assert [line for line in found.differences if " is " not in line] == []
        assert found.rows == (2, 2)
        assert found.compared[0] == found.compared[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a", ""], ["a", None]),
        ([b"a", b""], [b"a", b"b"]),
        ([["a, b"], ["a"]], [["a", "b"], ["a"]]),
        ([{"x": "1", "y": None}, None], [{"x": "1", "y": None}, {"x": None, "y": None}]),
        ([Decimal("1.5"), Decimal("2.5")], [Decimal("1.5"), Decimal("2.6")]),
        ([[0.1], [None]], [[0.1], [0.2]]),
        ([["1:a"], ["a"]], [["1", "a"], ["a"]]),
    ],
)
@pytest.mark.parametrize("keys", [["k"], []])
def test_values_that_differ_are_told(keys: list[str], one: list[Any], other: list[Any]) -> None:
    assert differences({"k": [1, 2], "v": one}, {"k": [1, 2], "v": other}, keys)


def test_rows_without_keys_pair_whatever_the_order_of_their_doubles() -> None:
    """Sums that differ in their last digit would sort rows differently on the two sides."""
    first = {"n": ["a"] * 3, "x": [0.1 + 0.2, 0.3, 0.5], "y": [1.0, 2.0, 3.0], "l": [[0.1 + 0.2], [1.0], [2.0]]}
    second = {"n": ["a"] * 3, "x": [0.5, 0.1 + 0.2, 0.3], "y": [3.0, 2.0, 1.0], "l": [[2.0], [1.0], [0.3]]}
    assert differences(first, second, []) == []
    assert differences({"x": first["x"]}, {"x": second["x"]}, []) == []
    second["y"][0] = 4.0
    assert differences(first, second, []) == ["column 'y' differs in 1 row(s), such as n='a': 3.0 on one, 4.0 on two"]


def test_a_table_that_does_not_fit_into_memory_waits_in_files() -> None:
    count = 20_000
    first = pa.table({"k": list(range(count)), "a.b": ["x" * 50] * count})
    second = pa.table({"k": list(range(count)), "a.b": ["x" * 50] * (count - 1) + ["y"]})
    batches = pa.RecordBatchReader.from_batches(first.schema, first.to_batches(max_chunksize=1000))
    found = compare("a.b", batches, second, ["k"], ("one", "two"), held_bytes=50_000)
    assert found.rows == found.compared == (count, count)
    assert found.differences == [
        f"column 'a.b' differs in 1 row(s), such as k={count - 1}: {'x' * 50!r} on one, 'y' on two"
    ]


def test_a_sample_tells_when_the_numbers_of_rows_differ() -> None:
    rows = list(range(100))
    found = compared({"k": rows}, {"k": [*rows, 7]}, ["k"], sample=0.0001)
    assert found.compared == (0, 0)
    assert found.differences == ["100 row(s) on one, 101 on two"]
