"""A job that is killed at named steps and at seeded moments, as processes, and run again: as if never killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.watermark.crashes import STEPS

PATIENCE_SECONDS = 120
# `make chaos` asks for more.
MOMENTS = int(os.environ.get("KINDLING_TEST_MOMENTS", "10"))
MODULE = """
import os
import sys

import pyarrow as pa

sys.path.insert(0, {repository!r})
from kindling_core import Pipes
from kindling_entities import Entities
from tests.watermark import crashes

entities, pipes = Entities(), Pipes()
FEED = {{"delta.enableChangeDataFeed": "true"}}
entities.entity("bronze.orders", write_mode="append")
entities.entity("silver.log", write_mode="append")
entities.entity("silver.orders", write_mode="merge", keys=["id"], sequence_by="at", properties=FEED)
entities.entity("gold.orders", write_mode="merge", keys=["id"])
entities.entity("gold.totals", keys=["customer"])


OF_BRONZE = {{"bronze.orders": "appends"}}


@pipes.pipe("silver.log", inputs=["bronze.orders"], output="silver.log", incremental=OF_BRONZE, max_versions=2)
def log(bronze_orders):
    return bronze_orders.select("id", "at")


@pipes.pipe("silver.orders", inputs=["bronze.orders"], output="silver.orders", incremental=OF_BRONZE)
def orders(bronze_orders):
    return bronze_orders


@pipes.pipe("gold.orders", inputs=["silver.orders"], output="gold.orders", incremental={{"silver.orders": "changes"}})
def gold(silver_orders):
    return silver_orders.where("amount > 20")


@pipes.pipe(
    "gold.totals",
    inputs=["silver.orders"],
    output="gold.totals",
    incremental={{"silver.orders": "affected"}},
    affected_by={{"silver.orders": ["customer"]}},
)
def totals(silver_orders):
    return silver_orders.groupBy("customer").agg({{"amount": "sum"}}).withColumnRenamed("sum(amount)", "total")


inner, outer = crashes.from_environment()
Inner, Outer = (type(one.name, (), {{"__new__": lambda cls, one=one: one}}) for one in (inner, outer))
"""
JOB = """
[job]
name = "shop"
modules = ["shop"]
features = ["entities", "state"]
plugins = ["shop:Inner", "kindling_watermark.plugin:WatermarkPlugin", "shop:Outer"]
"""
FEEDER = """
import sys
import pyarrow as pa
from kindling_core import App
from kindling_entities import EntityStore

app = App.from_job("kindling.toml")
with app:
    for number in map(int, sys.argv[1:]):
        ids = [(number * 7 + place) % 11 for place in range(4)]
        rows = {"id": sorted(set(ids)), "at": [number] * len(set(ids))}
        rows["customer"] = [f"c{(one + number) % 3}" for one in rows["id"]]
        rows["amount"] = [(one * number) % 50 for one in rows["id"]]
        app.service(EntityStore).append_to_entity("bronze.orders", pa.table(rows))
"""
TABLES = ("silver.log", "silver.orders", "gold.orders", "gold.totals")
BATCHES = ((1, 2), (3,), (4, 5, 6))


class Shop:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "shop.py").write_text(MODULE.format(repository=str(Path(__file__).parents[2])))
        (folder / "feed.py").write_text(FEEDER)
        (folder / "kindling.toml").write_text(JOB)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environ)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, out, err

    def kindling(self, *arguments: str, status: int = 0, **environ: str) -> str:
        returned, out, err = self.call("-m", "kindling_core", *arguments, **environ)
        assert returned == status, err + out
        return out

    def feed(self, numbers: tuple[int, ...]) -> None:
        returned, _, err = self.call("feed.py", *map(str, numbers))
        assert returned == 0, err

    def tables(self) -> dict[str, list[str]]:
        return {name: sorted(map(str, self.rows(name))) for name in TABLES}

    def rows(self, name: str) -> list[dict[str, Any]]:
        table = DeltaTable(str(self.folder / "lake" / name.replace(".", "/"))).to_pyarrow_table()
        return table.select(sorted(table.column_names)).to_pylist()

    def copy(self, name: str) -> Shop:
        """The same with what it has by now."""
        other = object.__new__(Shop)
        other.folder = self.folder.with_name(name)
        shutil.copytree(self.folder, other.folder)
        return other


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, dict[str, list[str]], float]:
    """A job after its first batch; what all batches give, and how long a run takes."""
    import time

    first = Shop(tmp_path_factory.mktemp("kills") / "first")
    first.feed(BATCHES[0])
    first.kindling("run")
    whole = first.copy("whole")
    seconds = 0.0
    for batch in BATCHES[1:]:
        whole.feed(batch)
        started = time.monotonic()
        whole.kindling("run")
        seconds = time.monotonic() - started
    whole.kindling("watermarks", "verify", "gold.orders", "gold.totals", "silver.log")
    return first, whole.tables(), seconds


def finish(shop: Shop) -> None:
    shop.kindling("run")
    shop.feed(BATCHES[2])
    shop.kindling("run")


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_a_named_step(undisturbed: tuple[Shop, dict[str, list[str]], float], step: str) -> None:
    first, expected, _ = undisturbed
    shop = first.copy(f"step-{step}")
    shop.feed(BATCHES[1])
    kills = 0
    # Where a step comes after a commit, each process gets a bit further, until one has nothing left to do.
    while kills < (20 if step in ("committed", "done") else 2):
        returned, _, err = shop.call("-m", "kindling_core", "run", KILL_AT=step)
        if returned == 0:
            break
        assert returned == 9, err
        kills += 1
    assert kills >= 2
    finish(shop)
    assert shop.tables() == expected


@pytest.mark.parametrize("number", range(MOMENTS))
def test_a_kill_at_any_moment(undisturbed: tuple[Shop, dict[str, list[str]], float], number: int) -> None:
    first, expected, seconds = undisturbed
    chance = random.Random(number)
    shop = first.copy(f"moment-{number}")
    shutil.copy(shop.folder / "lake.state.db", shop.folder / "older.db")
    shop.feed(BATCHES[1])
    process = shop.start("-m", "kindling_core", "run")
    try:
        # Most of a run is imports; its second half is where it reads and writes.
        process.wait(timeout=seconds * chance.uniform(0.4, 1.0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)
    lost = chance.choice(["nothing", "the state", "the newest state"])
    if lost != "nothing":
        for path in shop.folder.glob("lake.state.db*"):
            path.unlink()
    if lost == "the newest state":
        shutil.copy(shop.folder / "older.db", shop.folder / "lake.state.db")
    finish(shop)
    assert shop.tables() == expected, lost
