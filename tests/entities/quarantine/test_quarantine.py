"""``kindling quarantine`` as a user meets it: its output, its questions, and a process that dies in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, Pipes
from kindling_core.cli.main import run_command_line
from kindling_entities import DataEntityManager, Entities, EntityDefinitionError, EntityStore, expect_or_quarantine
from kindling_entities.formats import reasons_of
from kindling_entities.quarantine.release import Quarantine

JOB = """
[job]
name = "shop"
modules = ["pipes"]
features = ["entities"]

[entities]
root = "lake"
"""

PIPES = """
from kindling_core import Pipes
from kindling_entities import Entities, expect_or_quarantine

entities, pipes = Entities(), Pipes()
entities.source("raw.orders", path="orders.csv", columns={"id": "bigint", "amount": "bigint"})
entities.entity("silver.orders", keys=["id"], write_mode="merge", expectations=[EXPECTED])


@pipes.pipe("silver.orders", inputs=["raw.orders"], output="silver.orders")
def orders(raw_orders):
    return raw_orders
"""

SOURCE = """
from kindling_core import Pipes
from kindling_entities import Entities

entities, pipes = Entities(), Pipes()
entities.source(
    "raw.orders",
    path="orders.csv",
    keys=["id"],
    on_bad_row="quarantine",
    on_bad_value="quarantine",
    columns={"id": "bigint", "amount": "bigint", "day": "date"},
)
entities.entity("gold.bad")
entities.entity("silver.orders")
entities.entity("silver.days")


# Declared, and so tried, before what fills the quarantine.
@pipes.pipe("gold.bad", inputs=["raw.orders__quarantine"], output="gold.bad")
def bad(raw_orders__quarantine):
    return raw_orders__quarantine.select("line", "_quarantine_reason")


@pipes.pipe("silver.orders", inputs=["raw.orders"], output="silver.orders")
def orders(raw_orders):
    return raw_orders


@pipes.pipe("silver.days", inputs=["raw.orders"], output="silver.days")
def days(raw_orders):
    return raw_orders.select("day").distinct()
"""

DIRTY = """id,amount,day
1,5,2026-01-01
2,many,2026-01-02
x,"a; 'day': 1 is not a date",2026-02-30
4,5
5,more,2026-01-05
"""

KILLED = """
import os, signal, sys
from kindling_core.signals import BlinkerSignalProvider
from kindling_entities import DataEntityManager, EntityStore
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.quarantine.release import Quarantine

root, mode, number, accepted = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
signals = BlinkerSignalProvider()
count = 0

def listener(sender, **fields):
    global count
    count += 1
    if count == number:
        os.kill(os.getpid(), signal.SIGKILL)

signals.on("entity.*", listener)
engine = EmbeddedEngine()
store = EntityStore(DataEntityManager(signals), engine, "lake", root)
store.manager.register_entity("t.f", write_mode=mode, keys=["id"] if mode == "merge" else [])
Quarantine(store, "t.f").retry(accepted)
engine.stop()
"""

AT_ONCE = """
import sys
import pyarrow as pa
from kindling_entities import DataEntityManager, EntityStore, expect_or_quarantine
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.quarantine.release import Quarantine

root, what = sys.argv[1:]
engine = EmbeddedEngine()
engine.start()
store = EntityStore(DataEntityManager(), engine, "lake", root)
expectations = [expect_or_quarantine("v", "v > 0")] if what == "write" else []
store.manager.register_entity("t.f", write_mode="append", expectations=expectations)
print("ready", flush=True)
sys.stdin.readline()
for number in range(3):
    if what == "write":
        store.write("t.f", pa.table({"v": [100 + number, -100 - number]}), None)
    else:
        Quarantine(store, "t.f").retry()
engine.stop()
"""


class Shop:
    """A project in a folder, driven through its command line, in this process."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys
        (root / "kindling.toml").write_text(JOB)
        self.deploy('expect_or_quarantine("has an amount", "amount > 0")')

    def deploy(self, expected: str) -> None:
        (self.root / "pipes.py").write_text(PIPES.replace("EXPECTED", expected))

    def load(self, *orders: tuple[int, int]) -> None:
        lines = ["id,amount", *(f"{id_},{amount}" for id_, amount in orders)]
        (self.root / "orders.csv").write_text("\n".join(lines) + "\n")
        self.call("run")

    def call(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        sys.modules.pop("pipes", None)
        found = run_command_line([*arguments, "--job", str(self.root / "kindling.toml")])
        output = self._capsys.readouterr()
        assert found == status, output
        return output.out, output.err

    def data(self, *arguments: str) -> Any:
        return json.loads(self.call(*arguments, "--json")[0])


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shop:
    return Shop(tmp_path, capsys)


def test_a_quarantine_is_listed_released_and_purged(shop: Shop) -> None:
    shop.load((1, 5), (2, -1), (3, -2), (4, -9))
    shop.load((2, 7))
    out, err = shop.call("quarantine", "list", "silver.orders")
    assert out.splitlines()[0].split("\t") == ["quarantined_at", "reason", "accepted", "id", "amount"]
    assert sorted(line.split("\t")[1:] for line in out.splitlines()[1:]) == [
        ["has an amount", "no", "3", "-2"],
        ["has an amount", "no", "4", "-9"],
        ["has an amount", "yes", "2", "-1"],
    ]
    assert "3 row(s) in silver.orders__quarantine. has an amount: 3" in err
    assert "1 of them have a key that was accepted since" in err
    assert len(shop.data("quarantine", "list", "silver.orders", "--limit", "1")["list"]) == 1
    assert shop.data("quarantine", "list") == [
        {"entity_id": "silver.orders", "rows": 3, "reasons": {"has an amount": 3}}
    ]
    shop.deploy('expect_or_quarantine("plausible", "amount > -5")')
    assert shop.data("quarantine", "list", "silver.orders")["no_longer_declared"] == ["has an amount"]
    done = shop.data("quarantine", "retry", "silver.orders")
    assert {name: done[name] for name in ("released", "failing", "accepted")} == {
        "released": 1,
        "failing": 1,
        "accepted": 1,
    }
    assert shop.data("quarantine", "purge", "silver.orders", "--older-than", "1h", "--yes")["removed"] == 0
    assert shop.data("quarantine", "purge", "silver.orders", "--accepted", "--yes") == {
        "entity_id": "silver.orders",
        "removed": 1,
        "left": 1,
    }
    shop.call("quarantine", "purge", "silver.orders", status=1)
    assert "no age" in shop.call("quarantine", "purge", "silver.orders", "--older-than", "soon", status=2)[1]
    found = next(one for one in shop.data("entities") if one["entity_id"] == "silver.orders")
    assert found["quarantined"] == 1
    assert "rows wait in those of silver.orders (1)" in shop.call("doctor")[0]
    shop.deploy("")
    assert "silver.orders (1)" in shop.call("doctor")[0]


def test_a_quarantine_is_shown_and_read_by_a_pipe_when_its_expectation_is_gone(shop: Shop) -> None:
    shop.load((1, 5), (2, -1))
    shop.deploy("")
    assert [row["id"] for row in shop.data("show", "silver.orders__quarantine")] == [2]
    assert "silver.orders__quarantine" in [row["entity_id"] for row in shop.data("entities")]
    with (shop.root / "pipes.py").open("a") as file:
        file.write(
            textwrap.dedent("""
            entities.entity("gold.bad")


            @pipes.pipe("gold.bad", inputs=["silver.orders__quarantine"], output="gold.bad")
            def bad(silver_orders__quarantine):
                return silver_orders__quarantine.select("id", "_quarantine_reason")
            """)
        )
    shop.load((1, 6))
    assert shop.data("show", "gold.bad") == [{"id": 2, "_quarantine_reason": "has an amount"}]
    assert "nothing of 'gold.bad' goes to a quarantine" in shop.call("show", "gold.bad__quarantine", status=2)[1]


def test_the_report_names_columns_that_come_and_go(tmp_path: Path) -> None:
    frames = {"f": pa.table({"id": [1], "y": ["a"]})}
    entities, pipes = Entities(), Pipes()
    for name, provider, mode in (
        ("merged", "delta", "merge"),
        ("added", "delta", "append"),
        ("files", "parquet", "append"),
        ("held", "memory", "append"),
        ("replaced", "delta", "overwrite"),
    ):
        entities.entity(f"t.{name}", provider=provider, write_mode=mode, keys=["id"])
        pipes.pipe(f"t.{name}", output=f"t.{name}")(lambda: frames["f"])
    app = App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={})
    app.mount(entities, pipes)
    with app:
        assert {one.note for one in app.run().pipes} == {None}
        frames["f"] = pa.table({"id": [2], "x": [1.5]})
        report = app.run()
    assert {one.pipe_id: one.note for one in report.pipes} == {
        "t.merged": "new column x double; column y missing, kept as it was",
        "t.added": "new column x double; column y missing, null in the new rows",
        "t.files": "new column x double; column y missing, null in the new rows",
        "t.held": "new column x double; column y missing, null in the new rows",
        "t.replaced": "new column x double; column y is gone",
    }
    assert report.pipe("t.merged").details == {"schema": {"added": {"x": "double"}, "missing": {"y": "string"}}}


def test_a_plan_says_that_a_quarantine_is_written_with_its_entity(shop: Shop) -> None:
    with (shop.root / "pipes.py").open("a") as file:
        file.write('entities.entity("t.bad")\n')
        file.write('pipes.pipe("t.bad", inputs=["silver.orders__quarantine"], output="t.bad")')
        file.write("(lambda silver_orders__quarantine: None)\n")
    (shop.root / "orders.csv").write_text("id,amount\n")
    planned = next(one for one in shop.data("plan")["pipes"] if one["pipe_id"] == "t.bad")
    assert planned["waits_because"] == ["silver.orders (writes silver.orders, and silver.orders__quarantine with it)"]


def source_project(shop: Shop, orders: str) -> None:
    (shop.root / "pipes.py").write_text(SOURCE)
    (shop.root / "orders.csv").write_text(orders)


def test_a_pipe_reads_the_quarantine_of_a_source_after_the_pipes_that_read_the_source(shop: Shop) -> None:
    source_project(shop, "id,amount,day\n1,5,2026-01-01\n")
    shop.call("run")
    assert shop.data("show", "gold.bad") == []
    (shop.root / "orders.csv").write_text(DIRTY)
    # The first rows come to a table that was not there when the run was planned, ...
    shop.call("run")
    assert sorted(row["line"] for row in shop.data("show", "gold.bad")) == [3, 4, 5, 6]
    (shop.root / "orders.csv").write_text(DIRTY + "6\n")
    # ... and these to one that was, whose version is not the one to read.
    shop.call("run")
    assert sorted(row["line"] for row in shop.data("show", "gold.bad")) == [3, 4, 5, 6, 7]
    planned = next(one for one in shop.data("plan")["pipes"] if one["pipe_id"] == "gold.bad")
    assert planned["waits_because"] == [
        "silver.days (reads raw.orders, which fills raw.orders__quarantine)",
        "silver.orders (reads raw.orders, which fills raw.orders__quarantine)",
    ]
    shop.call("run", "gold.bad")
    assert len(shop.data("show", "gold.bad")) == 5


@pytest.mark.parametrize("inputs", [("raw.t", "raw.t__quarantine"), ("raw.t__quarantine", "raw.t")])
def test_a_pipe_that_reads_a_source_and_its_quarantine_gets_the_rows_of_this_read(
    tmp_path: Path, inputs: tuple[str, str]
) -> None:
    (tmp_path / "t.csv").write_text("n\n1\nx\n")
    entities, pipes = Entities(), Pipes()
    entities.source("raw.t", path=str(tmp_path / "t.csv"), columns={"n": "bigint"}, on_bad_value="quarantine")
    entities.entity("t.both")

    def both(raw_t: Any, raw_t__quarantine: Any) -> Any:
        return raw_t.selectExpr("cast(n as string) as n").union(raw_t__quarantine.select("raw"))

    pipes.pipe("t.both", inputs=list(inputs), output="t.both")(both)
    app = App(["entities"], {"entities": {"root": str(tmp_path / "lake")}}, environ={})
    app.mount(entities, pipes)
    with app:
        report = app.run()
        found = app.service(EntityStore).read_entity("t.both").toArrow()
    assert sorted(found["n"].to_pylist()) == ["1", "x"]
    assert report.pipe("t.both").note == "raw.t: values parse: 1 quarantined"


def test_the_quarantine_of_a_source_is_empty_until_something_does_not_parse(shop: Shop) -> None:
    source_project(shop, "id,amount,day\n1,5,2026-01-01\n")
    out, err = shop.call("quarantine", "list", "raw.orders")
    assert out.split() == ["quarantined_at", "reason", "file", "line", "raw"]
    assert "0 row(s) in raw.orders__quarantine. none" in err
    assert shop.data("quarantine", "purge", "raw.orders", "--yes")["removed"] == 0
    assert shop.data("show", "raw.orders__quarantine") == []
    assert shop.data("quarantine", "list") == []
    shop.deploy('expect_or_quarantine("has an amount", "amount > 0")')
    said = shop.call("quarantine", "list", "silver.orders", status=2)[1]
    assert "There is no 'silver.orders__quarantine': nothing of 'silver.orders' was put there so far." in said


def test_the_quarantine_of_a_source_is_listed_and_purged_by_reasons_without_values(shop: Shop) -> None:
    source_project(shop, DIRTY)
    shop.call("run")
    counts = {"'amount' is not a bigint": 3, "'day' is not a date": 1, "'id' is not a bigint": 1}
    counts["2 fields in place of 3"] = 1
    assert shop.data("quarantine", "list") == [{"entity_id": "raw.orders", "rows": 4, "reasons": counts}]
    found = shop.data("quarantine", "list", "raw.orders__quarantine")
    assert (found["rows"], found["reasons"], found["accepted"]) == (4, counts, None)
    assert found["no_longer_declared"] == []
    assert [(one["row"]["line"], one["reasons"]) for one in found["list"]] == [
        (3, ["'amount': 'many' is not a bigint"]),
        (
            4,
            [
                "'id': 'x' is not a bigint",
                "'amount': \"a; 'day': 1 is not a date\" is not a bigint",
                "'day': '2026-02-30' is not a date",
            ],
        ),
        (5, ["2 fields in place of 3"]),
        (6, ["'amount': 'more' is not a bigint"]),
    ]
    assert found["list"][0]["row"] == {"file": "orders.csv", "line": 3, "raw": "2,many,2026-01-02"}
    out, err = shop.call("quarantine", "list", "raw.orders", "--limit", "1")
    assert [line.split("\t")[1:] for line in out.splitlines()] == [
        ["reason", "file", "line", "raw"],
        ["'amount': 'many' is not a bigint", "orders.csv", "3", "2,many,2026-01-02"],
    ]
    assert "4 row(s) in raw.orders__quarantine. 'amount' is not a bigint: 3; " in err
    said = shop.call("quarantine", "purge", "raw.orders", "--reason", "amount", "--yes", status=2)[1]
    assert "There are: \"'amount' is not a bigint\", \"'day' is not a date\"" in said
    said = shop.call("quarantine", "purge", "raw.orders", "--accepted", "--yes", status=2)[1]
    assert "no key is known" in said
    out, err = shop.call("quarantine", "purge", "raw.orders", "--reason", "'amount' is not a bigint", "--yes")
    assert out.splitlines()[1].split() == ["raw.orders", "3", "1"]
    assert "comes back with the next run" in err
    assert shop.data("quarantine", "purge", "raw.orders", "--older-than", "1h", "--yes")["removed"] == 0


@pytest.mark.parametrize("declared", ['"quarantine"', '"fail"'])
def test_the_advice_of_a_retry_of_a_source_can_be_followed(shop: Shop, declared: str) -> None:
    source_project(shop, DIRTY)
    shop.call("run")
    corrected = DIRTY.replace("many", "7").replace("4,5\n", "4,5,2026-01-04\n")
    if declared == '"fail"':
        corrected = DIRTY.splitlines()[0] + "\n1,5,2026-01-01\n"
    (shop.root / "pipes.py").write_text(SOURCE.replace('"quarantine"', declared))
    said = shop.call("quarantine", "retry", "raw.orders", status=2)[1]
    for part in ("cannot be written back", "quarantine list raw.orders", "quarantine purge raw.orders", "next run"):
        assert part in said
    assert len(shop.data("quarantine", "list", "raw.orders")["list"]) == 4
    (shop.root / "orders.csv").write_text(corrected)
    assert shop.data("quarantine", "purge", "raw.orders", "--yes")["left"] == 0
    shop.call("run")
    ids = sorted(row["id"] for row in shop.data("show", "silver.orders"))
    left = sorted(row["row"]["line"] for row in shop.data("quarantine", "list", "raw.orders")["list"])
    assert (ids, left) == (([1], []) if declared == '"fail"' else ([1, 2, 4], [4, 6]))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("'a': 'x' is not a bigint", ["'a' is not a bigint"]),
        (
            "'a': \"it's\" is not an int; 'b': 'c; d' is not a decimal(4,2)",
            ["'a' is not an int", "'b' is not a decimal(4,2)"],
        ),
        ("'it\\'s': 'is not a date' is not a bigint", ["'it\\'s' is not a bigint"]),
        ('\'a\': {"b": [1, "... is not an array<bigint>', ["'a' is not an array<bigint>"]),
        ("the line is no json object: Expecting value: line 1 column 1 (char 0)", ["the line is no json object"]),
        ("the line holds [1], which is no object", ["the line holds no object"]),
        ("3 fields in place of 4", ["3 fields in place of 4"]),
        ("'a': 'x' is strange", ["'a': 'x' is strange"]),
        ("", [""]),
    ],
)
def test_a_reason_of_a_source_is_taken_apart(text: str, kinds: list[str]) -> None:
    found = reasons_of(text)
    assert [kind for kind, _ in found] == kinds
    assert "; ".join(whole for _, whole in found) == text


@pytest.mark.parametrize("names", [("t.f", "t.f__quarantine"), ("t.f__quarantine", "t.f")])
def test_the_id_of_a_quarantine_cannot_be_declared(names: tuple[str, str]) -> None:
    manager = DataEntityManager()
    declared = {"t.f": expect_or_quarantine("v", "v > 0"), "t.f__quarantine": ()}
    manager.register_entity(names[0], expectations=declared[names[0]])
    with pytest.raises(EntityDefinitionError, match=r"'t\.f.*quarantine.*Rename"):
        manager.register_entity(names[1], expectations=declared[names[1]])


@pytest.mark.parametrize("provider", ["delta", "memory"])
def test_a_merge_keeps_the_values_of_columns_that_it_lacks(tmp_path: Path, provider: str) -> None:
    with App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={}) as app:
        store = app.service(EntityStore)
        store.manager.register_entity("t.m", provider=provider, keys=["id"])
        store.merge_to_entity("t.m", pa.table({"id": [1, 2], "a": [1, 2], "b": ["x", "y"]}))
        store.merge_to_entity("t.m", pa.table({"id": [2, 3], "a": [20, 30]}))
        found = store.read_entity("t.m").toArrow().to_pylist()
    assert sorted(map(tuple, map(dict.values, found))) == [(1, 1, "x"), (2, 20, "y"), (3, 30, None)]


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_retry_that_is_killed_anywhere_neither_loses_nor_doubles_a_row(tmp_path: Path, mode: str) -> None:
    keys = ["id"] if mode == "merge" else []
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    killed = 0
    with App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={}) as app:
        engine = app.service(EntityStore).engine
        for number in range(1, 12):
            root = tmp_path / f"{mode}-{number}"
            root.mkdir()
            store = EntityStore(DataEntityManager(), engine, "lake", root)
            store.manager.register_entity(
                "t.f", write_mode=mode, keys=keys, expectations=[expect_or_quarantine("v", "v > 0")]
            )
            store.write("t.f", pa.table({"id": [1, 2, 3], "v": [1, -2, -3]}), None)
            done = subprocess.run(
                [sys.executable, str(script), str(root), mode, str(number), "skip"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            killed += 1
            # More rows come in before anybody looks.
            store.write("t.f", pa.table({"id": [4, 5], "v": [4, -5]}), None)
            later = EntityStore(DataEntityManager(), engine, "lake", root)
            later.manager.register_entity("t.f", write_mode=mode, keys=keys)
            Quarantine(later, "t.f").retry()
            found = sorted(row["v"] for row in later.read_entity("t.f").toArrow().to_pylist())
            assert found == [-5, -3, -2, 1, 4], number
            assert later.read_entity("t.f__quarantine").count() == 0
    assert killed >= 5


def test_retries_and_writes_at_once_neither_lose_nor_double_a_row(tmp_path: Path) -> None:
    script = tmp_path / "at_once.py"
    script.write_text(AT_ONCE)
    with App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={}) as app:
        engine = app.service(EntityStore).engine
        store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
        store.manager.register_entity("t.f", write_mode="append", expectations=[expect_or_quarantine("v", "v > 0")])
        store.write("t.f", pa.table({"v": list(range(-20, 0))}), None)
        processes = [
            subprocess.Popen(
                [sys.executable, str(script), str(tmp_path), what],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for what in ("retry", "retry", "write")
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
        later = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
        later.manager.register_entity("t.f", write_mode="append")
        Quarantine(later, "t.f").retry()
        found = sorted(row["v"] for row in later.read_entity("t.f").toArrow().to_pylist())
    assert found == sorted([*range(-20, 0), 100, 101, 102, -100, -101, -102])
