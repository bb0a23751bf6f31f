"""A third party's versioned storage (``arrow`` of kindling-heartbeat) has what Delta tables have, by what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, Pipes
from kindling_core.cli.main import run_command_line
from kindling_entities import Entities, EntityStore, UnsupportedError, expect_or_quarantine
from kindling_heartbeat.storage import ArrowTables, files_of, put

PATIENCE_SECONDS = 120


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def app_of(lake: Path, entities: Entities, pipes: Pipes) -> App:
    app = App(["entities", "heartbeat"], {"entities": {"root": str(lake)}}, environ={})
    app.mount(entities, pipes)
    return app


def numbers(app: App, entity_id: str, version: int | None = None) -> list[int]:
    return sorted(app.service(EntityStore).read_entity(entity_id, version=version).toArrow()["n"].to_pylist())


def test_its_versions_are_pinned_while_a_run_is_planned(lake: Path) -> None:
    entities, pipes = Entities(), Pipes()
    for name in ("in", "first", "second", "fixed"):
        entities.entity(f"t.{name}", provider="arrow")

    @pipes.pipe("first", inputs={"frame": "t.in"}, output="t.first")
    def first(frame: Any) -> Any:
        # Another process, in the middle of the run.
        assert put(pa.table({"n": [99]}), lake / "t" / "in", 2)
        return frame

    @pipes.pipe("second", inputs={"frame": "t.in", "_after": "t.first"}, output="t.second")
    def second(frame: Any, _after: Any) -> Any:
        return frame

    @pipes.pipe("fixed", inputs={"frame": "t.in@v0"}, output="t.fixed")
    def fixed(frame: Any) -> Any:
        return frame

    with app_of(lake, entities, pipes) as app:
        store = app.service(EntityStore)
        store.write_to_entity("t.in", pa.table({"n": [0]}))
        store.write_to_entity("t.in", pa.table({"n": [1]}))
        report = app.run()
        assert [numbers(app, f"t.{name}") for name in ("first", "second", "fixed")] == [[1], [1], [0]]
        assert report.pipe("first").versions_read == {"t.in": 1}
        app.run(["second"])
        assert numbers(app, "t.second") == [99]


def test_other_entities_at_its_place_and_modes_that_it_lacks_are_refused(lake: Path) -> None:
    entities = Entities()
    entities.entity("t.a", provider="arrow")
    entities.entity("t.a.b", provider="arrow")
    with pytest.raises(Exception, match="it lies within the folder of 't.a'"):
        app_of(lake, entities, Pipes())
    for declared, message in (
        ({"write_mode": "merge", "keys": ["n"]}, "provider 'arrow' cannot merge"),
        ({"scd": 2, "keys": ["n"]}, "scd=2 needs provider 'delta', not 'arrow'"),
        ({"partition_columns": ["n"]}, "keeps no partitions. Use provider 'delta'"),
    ):
        entities = Entities()
        entities.entity("t.a", provider="arrow", **declared)
        with pytest.raises(Exception, match=message):
            app_of(lake, entities, Pipes())


JOB = """
[job]
name = "beats"
modules = ["beats"]
features = ["entities", "state", "heartbeat"]

[entities]
root = "./lake"

[state]
unfinished = "resume"
"""

MODULE = """
import pyarrow as pa
from kindling_core import Pipes
from kindling_entities import Entities

entities, pipes = Entities(), Pipes()
entities.entity("t.log", provider="arrow", write_mode="append")
entities.entity("t.total", provider="arrow")

@pipes.pipe("t.log", output="t.log")
def log():
    return pa.table({"n": [1, 2]})

@pipes.pipe("t.total", inputs={"log": "t.log"}, output="t.total")
def total(log):
    return log.selectExpr("sum(n) as total")
"""

# Kills the process at the n-th call of a method, before or after it has done its work.
RUNNER = """
import os, signal, sys
from kindling_core.cli.main import run_command_line
from kindling_heartbeat.storage import ArrowTables
from kindling_state.store import SqlStateStore

if len(sys.argv) > 1:
    method, number, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    owner = ArrowTables if method == "write" else SqlStateStore
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


def run(folder: Path, *arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "runner.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode


def stored(folder: Path, name: str) -> list[dict[str, Any]]:
    files = files_of(str(folder / "lake" / "t" / name))
    with pa.OSFile(str(files[max(files)])) as source:
        rows: list[dict[str, Any]] = pa.ipc.open_file(source).read_all().to_pylist()
    return rows


@pytest.mark.parametrize(
    "kill",
    [("write", "1", "after"), ("mark_succeeded", "1", "after"), ("write", "2", "before"), ("write", "2", "after")],
    ids="-".join,
)
def test_a_killed_run_is_resumed_and_appends_once(tmp_path: Path, kill: tuple[str, str, str]) -> None:
    (tmp_path / "kindling.toml").write_text(JOB)
    (tmp_path / "beats.py").write_text(MODULE)
    (tmp_path / "runner.py").write_text(RUNNER)
    assert run(tmp_path, *kill) == -signal.SIGKILL
    if kill[0] == "mark_succeeded":
        # Another writer, between the two runs: the resumed one reads what the run that it continues has written.
        (version,) = files_of(str(tmp_path / "lake" / "t" / "log"))
        assert put(pa.table({"n": [1, 2, 1000]}), tmp_path / "lake" / "t" / "log", version + 1)
    assert run(tmp_path) == 0
    assert stored(tmp_path, "total") == [{"total": 3}]
    assert [row["n"] for row in stored(tmp_path, "log") if row["n"] < 1000] == [1, 2]
    assert run(tmp_path) == 0
    assert len([row for row in stored(tmp_path, "log") if row["n"] < 1000]) == 4


class Shop:
    """A job with a table of an earlier declaration."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], module: str) -> None:
        self.folder, self.capsys, self.module = folder, capsys, module
        (folder / "kindling.toml").write_text(
            f'[job]\nmodules = ["{module}"]\nfeatures = ["entities", "heartbeat"]\n[entities]\nroot = "lake"\n'
        )

    def declare(self, text: str) -> None:
        sys.modules.pop(self.module, None)
        source = "from kindling_core import Pipes\nfrom kindling_entities import Entities\nentities = Entities()\n"
        (self.folder / f"{self.module}.py").write_text(source + textwrap.dedent(text))

    def call(self, *words: str, status: int = 0) -> Any:
        self.capsys.readouterr()
        sys.modules.pop(self.module, None)
        assert run_command_line([*words, "--json", "--job", str(self.folder / "kindling.toml")]) == status
        return json.loads(self.capsys.readouterr().out)


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, request: Any) -> Shop:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Shop(tmp_path, capsys, f"arrow_job_{abs(hash(request.node.name))}")
    made.declare('entities.entity("t.a", provider="arrow", columns={"n": "int", "m": "string"})')
    put(pa.table({"n": pa.array([1, 2], pa.int32())}), tmp_path / "lake" / "t" / "a", 0)
    return made


def test_kindling_entities_describes_it_and_migrate_brings_it_to_its_declaration(shop: Shop) -> None:
    (row,) = shop.call("entities")
    assert (row["provider"], row["version"], row["rows"], row["drift"]) == ("arrow", 0, 2, ["add m string"])
    assert row["size_bytes"] > 0
    shop.declare('entities.entity("t.a", provider="arrow", columns={"n": "bigint", "m": "string"})')
    (planned,) = shop.call("migrate")
    assert (planned["steps"], planned["version"]) == (["add m string", "rewrite n from int to bigint"], None)
    (done,) = shop.call("migrate", "--apply")
    assert done["version"] == 1
    assert shop.call("migrate") == []
    (row,) = shop.call("entities")
    assert row["columns"] == {"n": "bigint", "m": "string"}
    assert shop.call("show", "t.a") == [{"n": 1, "m": None}, {"n": 2, "m": None}]
    assert shop.call("show", "t.a", "--version", "0") == [{"n": 1}, {"n": 2}]


def test_maintain_removes_what_no_retained_moment_needs(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "t" / "a"
    for version in (1, 2):
        put(pa.table({"n": [version]}), folder, version)
    files = files_of(str(folder))
    long_ago = time.time() - 30 * 24 * 3600
    for version in (0, 1):
        os.utime(files[version], (long_ago, long_ago))
    (planned,) = shop.call("maintain")
    assert planned["files_removed"] == [str(files[0])]
    assert sorted(files_of(str(folder))) == [0, 1, 2]
    (done,) = shop.call("maintain", "t.*", "--apply")
    assert (done["files_removed"], done["version"]) == ([str(files[0])], 2)
    assert sorted(files_of(str(folder))) == [1, 2]


def test_damage_of_it_is_listed_and_doctor_asks_the_kind(shop: Shop, tmp_path: Path) -> None:
    subjects = {one["subject"]: one for one in shop.call("doctor")}
    assert subjects["arrow tables"]["message"] == "1 of 1 are written"
    (path,) = files_of(str(tmp_path / "lake" / "t" / "a")).values()
    path.write_bytes(b"no Arrow data")
    (row,) = shop.call("entities")
    assert "cannot be read" in row["damage"][0]


def test_rows_kept_out_of_it_are_listed_and_released(shop: Shop, tmp_path: Path) -> None:
    declared = """
        from kindling_entities import expect_or_quarantine
        import pyarrow as pa
        pipes = Pipes()
        entities.entity("t.b", provider="arrow", write_mode="append",
                        expectations=[expect_or_quarantine("small", "n < {limit}")])
        pipes.pipe("t.b", output="t.b")(lambda: pa.table({{"n": [1, 50, 100]}}))
    """
    shop.declare(declared.format(limit=10))
    shop.call("run")
    assert shop.call("quarantine", "list")[0]["rows"] == 2
    shop.declare(declared.format(limit=60))
    done = shop.call("quarantine", "retry", "t.b")
    assert (done["released"], done["failing"], done["version"]) == (1, 1, 1)
    assert [row["n"] for row in shop.call("show", "t.b")] == [1, 50]
    assert shop.call("quarantine", "purge", "t.b", "--yes") == {"entity_id": "t.b", "removed": 1, "left": 0}


def test_a_repeated_write_is_known_before_its_expectations_are_evaluated(lake: Path) -> None:
    from kindling_entities import Transaction, unique

    entities = Entities()
    entities.entity("t.a", provider="arrow", write_mode="append", expectations=[unique("n", action="quarantine")])
    with app_of(lake, entities, Pipes()) as app:
        store = app.service(EntityStore)
        first = store.append_to_entity("t.a", pa.table({"n": [1]}), transaction=Transaction("run/pipe", 1))
        again = store.append_to_entity("t.a", pa.table({"n": [1]}), transaction=Transaction("run/pipe", 1))
        assert (first.version, first.skipped) == (0, False)
        assert (again.version, again.skipped) == (0, True)
        assert not store.check_entity_exists("t.a__quarantine")
        assert store.newest_transaction("t.a", "/pipe") == "run/pipe"


def test_what_a_kind_has_no_methods_for_is_refused_by_name(lake: Path) -> None:
    entities = Entities()
    entities.entity("t.a", provider="arrow")
    entities.entity("t.m", provider="memory")
    entities.entity("t.q", provider="arrow", expectations=[expect_or_quarantine("small", "n < 10")])
    with app_of(lake, entities, Pipes()) as app:
        tables = app.service(EntityStore).tables
        assert tables.ids() == ["t.a", "t.q", "t.q__quarantine"]
        with pytest.raises(UnsupportedError, match="'t.a'.*provider 'arrow'"):
            tables.delete("t.a", "n = 1")
        with pytest.raises(UnsupportedError, match="'t.m' is no table"):
            tables.maintain("t.m")


def test_two_writers_make_two_versions(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entities = Entities()
    entities.entity("t.a", provider="arrow", write_mode="append")
    with app_of(lake, entities, Pipes()) as app:
        store = app.service(EntityStore)
        store.append_to_entity("t.a", pa.table({"n": [1]}))
        real, calls = ArrowTables._state, []

        def slow(self: ArrowTables, *arguments: Any) -> Any:
            state = real(self, *arguments)
            if not calls:
                calls.append(1)
                put(pa.table({"n": [1, 7]}), lake / "t" / "a", 1)
            return state

        monkeypatch.setattr(ArrowTables, "_state", slow)
        assert store.append_to_entity("t.a", pa.table({"n": [2]})).version == 2
        assert numbers(app, "t.a") == [1, 2, 7]
