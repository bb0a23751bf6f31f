"""Runs that are killed anywhere and started again by nothing but ``kindling run``: nothing is lost, nothing doubled."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from kindling_state.sql_store import SqlStateStore

PATIENCE_SECONDS = 120
MOST_RUNS = 6

JOB = """
[job]
name = "shop"
modules = ["orders"]
features = ["entities", "state"]

[entities]
root = "./lake"

[state]
unfinished = "resume"
"""

# Appends of which one reads what the other has appended, a merge, an overwrite and a history.
MODULE = """
from pyspark.sql import functions as F
from kindling_core import Pipes
from kindling_entities import Entities

entities, pipes = Entities(), Pipes()
entities.entity("t.batch")
entities.entity("t.orders", write_mode="append")
entities.entity("t.lines", write_mode="append")
entities.entity("t.newest", write_mode="merge", keys=["id"])
entities.entity("t.totals")
entities.entity("t.history", keys=["id"], scd=2, sequence_by="at")

@pipes.pipe("t.orders", inputs={"batch": "t.batch"}, output="t.orders")
def orders(batch):
    return batch

@pipes.pipe("t.lines", inputs={"batch": "t.batch"}, output="t.lines")
def lines(batch):
    return batch.select("id", (F.col("amount") * 2).alias("doubled"), "round")

@pipes.pipe("t.newest", inputs={"batch": "t.batch"}, output="t.newest")
def newest(batch):
    return batch

@pipes.pipe("t.totals", inputs={"orders": "t.orders", "lines": "t.lines"}, output="t.totals")
def totals(orders, lines):
    sums = lines.groupBy("round").agg(F.sum("doubled").alias("doubled"))
    return orders.groupBy("round").agg(F.count("*").alias("n"), F.sum("amount").alias("amount")).join(sums, "round")

@pipes.pipe("t.history", inputs={"batch": "t.batch", "first": "t.newest"}, output="t.history")
def history(batch, first):
    return batch.select("id", "amount", "at")
"""

# Kills the process at the n-th call of a method, before or after it has done its work.
RUNNER = """
import os, signal, sys
from kindling_core.cli.main import run_command_line
from kindling_entities.store import EntityStore
from kindling_state.sql_store import SqlStateStore

if len(sys.argv) > 1:
    method, number, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    owner = EntityStore if method == "write" else SqlStateStore
    real, calls = getattr(owner, method), [0]

    def deadly(*values, **named):
        calls[0] += 1
        mine = calls[0] == number
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*values, **named)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, method, deadly)
sys.exit(run_command_line(["run"]))
"""

POINTS = [
    *((("mark_succeeded", number, when)) for number in range(1, 6) for when in ("before", "after")),
    *((("write", number, when)) for number in range(1, 6) for when in ("before", "after")),
    *(((name, 1, when)) for name in ("begin_run", "settle", "acquire") for when in ("before", "after")),
]
TABLES = ("orders", "lines", "newest", "totals", "history")


class Shop:
    """A job, its rounds, and the rows that its tables must have by now."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.round = folder, 0
        self.orders: list[dict[str, Any]] = []
        self.seconds = 0.0
        (folder / "kindling.toml").write_text(JOB)
        (folder / "orders.py").write_text(textwrap.dedent(MODULE))
        (folder / "runner.py").write_text(RUNNER)

    def put(self) -> None:
        """Begin a round: another batch is there to be loaded."""
        self.round += 1
        rows = [
            {"id": number, "amount": self.round * 100 + number, "round": self.round, "at": self.round}
            for number in range(self.round % 3, 5)
        ]
        self.orders += rows
        write_deltalake(str(self.folder / "lake" / "t" / "batch"), pa.Table.from_pylist(rows), mode="overwrite")

    def run(self, kill: tuple[str, int, str] | float | None = None) -> bool:
        """Start a plain ``kindling run``; return whether it came to its end.

        Args:
            kill: a point, or the seconds after which it is killed from outside.
        """
        arguments = map(str, kill) if isinstance(kill, tuple) else ()
        begun = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "runner.py", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            told, _ = process.communicate(timeout=kill if isinstance(kill, float) else PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            told, _ = process.communicate(timeout=PATIENCE_SECONDS)
        if kill is None:
            assert process.returncode == 0, told
            self.seconds = time.monotonic() - begun
        assert process.returncode in (0, -9), told
        return process.returncode == 0 or self.has_ended()

    def has_ended(self) -> bool:
        """Whether the newest run was written down as succeeded: then the kill came when nothing was left to do."""
        store = SqlStateStore(f"sqlite:///{self.folder / 'lake.state.db'}")
        try:
            newest = store.runs("shop", limit=1)
            return bool(newest) and newest[0].settled_by is not None and self.round == self.rounds_done(store)
        finally:
            store.close()

    def rounds_done(self, store: SqlStateStore) -> int:
        return len({one.start.root_run_id for one in store.runs("shop", limit=None) if one.settled_by is not None})

    def rows(self, name: str) -> list[str]:
        table = DeltaTable(str(self.folder / "lake" / "t" / name)).to_pyarrow_table()
        return sorted(json.dumps(row, sort_keys=True, default=str) for row in table.to_pylist())

    def check(self) -> None:
        stored = DeltaTable(str(self.folder / "lake" / "t" / "orders")).to_pyarrow_table().to_pylist()
        key = str
        assert sorted(stored, key=key) == sorted(self.orders, key=key), f"round {self.round}"


def rounds(tmp_path: Path, kills: list[tuple[str, int, str] | float | None], chance: random.Random) -> int:
    """Load a batch for each kill, and compare all tables with those of undisturbed runs; return how many it hit."""
    shop, calm = Shop(tmp_path / "shop"), Shop(tmp_path / "calm")
    hit = 0
    for kill in kills:
        shop.put()
        calm.put()
        calm.run()
        # A kill by time comes anywhere between the start of the process and its end.
        one = chance.uniform(0.3, 1.0) * calm.seconds if kill is None else kill
        for turn in range(MOST_RUNS):
            if shop.run(one if turn == 0 else None):
                break
            hit += 1
        else:
            raise AssertionError(f"round {shop.round}: no run came to its end")
        shop.check()
    for name in TABLES:
        assert shop.rows(name) == calm.rows(name), name
    return hit


def test_a_run_that_is_killed_and_started_again_by_plain_runs_loses_and_doubles_nothing(tmp_path: Path) -> None:
    kills: list[Any] = [("mark_succeeded", 1, "before"), ("write", 3, "after"), ("settle", 1, "before")]
    assert rounds(tmp_path, kills, random.Random(1)) == len(kills)


@pytest.mark.slow
def test_fifty_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(20261126)
    points: list[Any] = [chance.choice(POINTS) for _ in range(25)]
    kills = [*points, *[None] * 25]
    chance.shuffle(kills)
    hit = rounds(tmp_path, kills, chance)
    assert hit >= len(points), hit
