"""What Sail or a crowded disk would do silently wrong, at the level of a job."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, Pipes, PlanError, RunFailed
from kindling_entities import Entities, EntityStore


def composed(root: Path, *collections: object, **config: Any) -> App:
    app = App(["entities"], {"entities": {"root": str(root)}, **config}, environ={})
    app.mount(*collections)
    return app


def declared(**declarations: dict[str, Any]) -> Entities:
    entities = Entities()
    for name, settings in declarations.items():
        entities.entity(f"test.{name}", **settings)
    return entities


def rows(app: App, entity_id: str, **options: Any) -> list[dict[str, Any]]:
    frame = app.service(EntityStore).read_entity(entity_id, **options)
    found: list[dict[str, Any]] = frame.toArrow().to_pylist()
    return sorted(found, key=str)


def test_overwriting_partitions_keeps_the_others_and_the_column_order(tmp_path: Path) -> None:
    settings = {"partition_columns": ["day"], "overwrite_scope": "partitions"}
    with composed(tmp_path, declared(days=settings)) as app:
        store = app.service(EntityStore)
        store.write_to_entity("test.days", pa.table({"day": ["1", "2", None, "it's"], "n": [1, 2, 3, 4]}))
        store.write_to_entity("test.days", pa.table({"day": ["2", None, "it's"], "n": [20, 30, 40]}))
        frame = store.read_entity("test.days")
        assert frame.columns == ["day", "n"]
        found = {row["day"]: row["n"] for row in rows(app, "test.days")}
        assert found == {"1": 1, "2": 20, None: 30, "it's": 40}


def test_a_missing_table_is_an_error_and_not_an_empty_frame(tmp_path: Path) -> None:
    pipes = Pipes()
    pipes.pipe("test.copy", inputs=["test.never"], output="test.copy")(lambda test_never: test_never)
    with composed(tmp_path, declared(never={}, copy={}), pipes) as app:
        with pytest.raises(RunFailed, match=r"'test\.never' does not exist at .*never"):
            app.run()
        assert not app.service(EntityStore).check_entity_exists("test.copy")


def test_a_frame_stays_at_the_version_that_was_read(tmp_path: Path) -> None:
    with composed(tmp_path, declared(t={})) as app:
        store = app.service(EntityStore)
        store.write_to_entity("test.t", pa.table({"n": [1]}))
        before = store.read_entity("test.t")
        store.write_to_entity("test.t", pa.table({"n": [1, 2, 3]}))
        assert before.count() == 1
        assert rows(app, "test.t", version=0) == [{"n": 1}]


def test_a_pinned_version_is_an_input(tmp_path: Path) -> None:
    pipes = Pipes()
    pipes.pipe("test.old", inputs={"old": "test.t@v0"}, output="test.old")(lambda old: old)
    with composed(tmp_path, declared(t={}, old={}), pipes) as app:
        app.start()
        for numbers in ([1], [1, 2]):
            app.service(EntityStore).write_to_entity("test.t", pa.table({"n": numbers}))
        app.run()
        assert rows(app, "test.old") == [{"n": 1}]


def test_an_output_that_is_no_entity_is_refused_before_anything_ran(tmp_path: Path) -> None:
    pipes = Pipes()
    pipes.pipe("test.a", output="test.tt")(lambda: pa.table({"n": [1]}))
    with composed(tmp_path, declared(t={}), pipes) as app, pytest.raises(PlanError, match=r"test\.tt"):
        app.run()
    assert list(tmp_path.iterdir()) == []


def test_a_failing_pipe_leaves_its_table_as_it_was(tmp_path: Path) -> None:
    pipes = Pipes()
    pipes.pipe("test.t", inputs=["test.t0"], output="test.t")(lambda test_t0: test_t0.selectExpr("raise_error('no')"))
    with composed(tmp_path, declared(t0={}, t={}), pipes) as app:
        app.start()
        for name in ("test.t0", "test.t"):
            app.service(EntityStore).write_to_entity(name, pa.table({"n": [1]}))
        with pytest.raises(RunFailed):
            app.run()
        assert rows(app, "test.t") == [{"n": 1}]
        assert app.service(EntityStore).get_entity_version("test.t") == 0


def test_apps_with_different_roots_run_beside_each_other(tmp_path: Path) -> None:
    found: dict[int, list[dict[str, Any]]] = {}

    def run(number: int) -> None:
        from pyspark.sql import SparkSession

        pipes = Pipes()
        # A pipe without inputs asks for the active session, which must be that of its own App.
        pipes.pipe("test.a", output="test.a")(lambda: SparkSession.getActiveSession().range(number))  # type: ignore[union-attr]
        pipes.pipe("test.b", inputs=["test.a"], output="test.b")(lambda test_a: test_a)
        with composed(tmp_path / str(number), declared(a={}, b={}), pipes) as app:
            app.run()
            found[number] = rows(app, "test.b")

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: len(table) for number, table in found.items()} == {1: 1, 2: 2, 3: 3}


WRITER = """
import sys
import pyarrow as pa
from kindling_core import App
from kindling_entities import Entities, EntityStore

root, mode, me, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
entities = Entities()
entities.entity("test.t", keys=["writer", "n"], write_mode=mode)
with App(["entities"], {"entities": {"root": root}}, environ={}) as app:
    app.mount(entities)
    store = app.service(EntityStore)
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(count):
        frame = pa.table({"writer": [me, 9], "n": [n, 0], "seen": [me, me]})
        if mode == "merge":
            store.merge_to_entity("test.t", frame)
        else:
            store.append_to_entity("test.t", frame)
"""


@pytest.mark.parametrize("mode", ["merge", "append"])
def test_two_processes_writing_one_table_lose_no_update(tmp_path: Path, mode: str) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), mode]
    writers = [
        subprocess.Popen([*command, str(me), "8"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for me in (1, 2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    with composed(tmp_path, declared(t={"keys": ["writer", "n"], "write_mode": mode})) as app:
        app.start()
        mine = sorted((row["writer"], row["n"]) for row in rows(app, "test.t") if row["writer"] != 9)
        assert mine == [(me, n) for me in (1, 2) for n in range(8)]
        shared = [row for row in rows(app, "test.t") if row["writer"] == 9]
        assert len(shared) == (1 if mode == "merge" else 16)


FULL_DISK = """
import sys
import pyarrow as pa
from kindling_core import App
from kindling_entities import Entities, EntityStore
from kindling_entities.errors import StorageError

entities = Entities()
entities.entity("test.t")
with App(["entities"], {"entities": {"root": sys.argv[1]}}, environ={}) as app:
    app.mount(entities)
    store = app.service(EntityStore)
    store.write_to_entity("test.t", pa.table({"n": [1]}))
    make_it_worse(sys.argv[1])
    try:
        store.write_to_entity("test.t", pa.table({"n": range(2_000_000)}))
    except StorageError as error:
        print("refused:", error)
    print("rows:", store.read_entity("test.t").count(), "version:", store.get_entity_version("test.t"))
"""
FULL = "def make_it_worse(root): pass\n"
READ_ONLY = (
    "import subprocess\ndef make_it_worse(root): subprocess.run(['mount', '-o', 'remount,ro', root], check=True)\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [FULL, READ_ONLY], ids=["full", "read-only"])
def test_a_disk_that_refuses_leaves_the_table_as_it_was(tmp_path: Path, trouble: str) -> None:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare to mount a small file system")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(trouble) + FULL_DISK)
    disk = tmp_path / "disk"
    disk.mkdir()
    shell = f"mount -t tmpfs -o size=2m none {disk} && exec {sys.executable} {script} {disk}"
    ended = subprocess.run(["unshare", "-m", "sh", "-c", shell], capture_output=True, text=True, check=False)
    if "mount:" in ended.stderr:
        pytest.skip(f"mounts are not allowed here: {ended.stderr.strip()}")
    assert "refused:" in ended.stdout, ended.stderr
    assert "rows: 1 version: 0" in ended.stdout


def test_a_stream_of_batches_is_written_in_one_commit(tmp_path: Path) -> None:
    pipes = Pipes()

    def big() -> pa.RecordBatchReader:
        batches = (pa.record_batch({"n": pa.array(range(i * 10_000, (i + 1) * 10_000))}) for i in range(50))
        return pa.RecordBatchReader.from_batches(pa.schema({"n": pa.int64()}), batches)

    pipes.pipe("test.big", output="test.big")(big)
    with composed(tmp_path, declared(big={}), pipes) as app:
        assert app.run().pipe("test.big").rows == 500_000
        assert app.service(EntityStore).get_entity_version("test.big") == 0
