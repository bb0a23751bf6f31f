"""What killed processes leave in the temporary folder is removed by later ones, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from kindling_core.errors import PipeAbandoned
from kindling_entities.engines._staging import Staging
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.engines.embedded._snapshots import Snapshots
from kindling_entities.protocols import Table
from kindling_entities.temporary import OwnFolder, sweep

PATIENCE_SECONDS = 60
STAGES = """
    import os, sys
    import pyarrow as pa
    from kindling_entities.engines.embedded import EmbeddedEngine
    from kindling_entities.protocols import Table

    folder = sys.argv[1]
    engine = EmbeddedEngine(spool_bytes=1000, temp_dir=os.path.join(folder, "tmp"))
    data = pa.table({"n": range(100_000), "f": [0.5] * 100_000})
    frame = engine.from_arrow(data)
    link = engine._places.plain(os.path.join(folder, "a b"))
    table = Table("t.t", os.path.join(folder, str(os.getpid())))
    engine.append(table, data)
    read = engine.read(table)

    def batches():
        yield from data.to_batches(max_chunksize=1000)
        print("ready", flush=True)
        sys.stdin.readline()

    # Killed while it spools, or let go on and asked what it still has.
    engine.merge(Table("t.m", table.location + "-m"), pa.RecordBatchReader.from_batches(data.schema, batches()), ["n"])
    print(frame.count(), read.count(), os.path.islink(link), flush=True)
    engine.stop()
"""


@contextmanager
def process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has staged and linked files and a snapshot, and is spooling."""
    command = [sys.executable, "-c", textwrap.dedent(STAGES), str(folder)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
    watchdog = threading.Timer(PATIENCE_SECONDS, child.kill)
    watchdog.start()
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        watchdog.cancel()
        child.kill()
        child.communicate()


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_later_start_removes_what_killed_processes_left_and_nothing_of_living_ones(tmp_path: Path) -> None:
    (temporary := tmp_path / "tmp").mkdir()
    for _ in range(2):
        with process(tmp_path) as killed:
            killed.kill()
    dead = left(temporary)
    # Of the two the second has removed what the first left.
    assert [name.split("-")[1] for name in dead] == ["links", "staged"]
    with process(tmp_path) as living:
        mine = left(temporary)
        assert len(mine) == 2
        assert not set(mine) & set(dead)
        engine = EmbeddedEngine(temp_dir=str(temporary))
        engine.start()
        engine.stop()
        assert left(temporary) == mine
        out, _ = living.communicate("go on\n", timeout=PATIENCE_SECONDS)
        assert out == "100000 100000 True\n"
        assert living.returncode == 0
    assert left(temporary) == []


def test_a_process_that_ends_without_stopping_its_engine_leaves_nothing(tmp_path: Path) -> None:
    program = "import sys, pyarrow as pa; from kindling_entities.engines._staging import Staging\n"
    program += "kept = Staging(sys.argv[1]); kept.stage(pa.table({'n': [1]}).to_reader()); sys.exit(3)"
    done = subprocess.run([sys.executable, "-c", program, tmp_path], timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, left(tmp_path)) == (3, [])


def dead_folder(parent: Path) -> Path:
    """A folder with a file, as a killed process leaves it."""
    program = "import os, sys; from kindling_entities.temporary import OwnFolder\n"
    program += "folder = OwnFolder('staged', sys.argv[1]); print(folder.path, flush=True); os._exit(1)"
    command = [sys.executable, "-c", program, str(parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    folder = Path(done.stdout.strip())
    (folder / "staged.parquet").write_text("x")
    return folder


def test_only_folders_of_this_user_and_this_machine_are_removed(tmp_path: Path) -> None:
    dead = dead_folder(tmp_path)
    strange = "00000000-00000000"
    parts = dead.name.split("-")
    spared = [
        tmp_path / f"kindling-staged-{strange}-abcdefgh",
        tmp_path / "kindling-staged-abcdefgh",
        tmp_path / "-".join(["kindling", "other", *parts[2:]]),
        tmp_path / "somebody-elses",
    ]
    for folder in spared:
        folder.mkdir()
    link = tmp_path / "-".join([*parts[:4], "link"])
    link.symlink_to(spared[-1])
    file = tmp_path / "-".join([*parts[:4], "file"])
    file.write_text("x")
    if os.geteuid() == 0:
        spared.append(tmp_path / "-".join([*parts[:4], "other"]))
        spared[-1].mkdir()
        os.chown(spared[-1], 65534, 65534)
    assert sweep(str(tmp_path)) == [str(dead)]
    assert left(tmp_path) == sorted(path.name for path in (*spared, link, file))
    # A machine is known by its name after it has started anew, a container by its kernel.
    for changed in (2, 3):
        again = "-".join([*parts[:changed], "00000000", *parts[changed + 1 :]])
        (tmp_path / again).mkdir()
        assert sweep(str(tmp_path)) == [str(tmp_path / again)]
    assert sweep(str(tmp_path / "missing")) == []


def test_starters_that_sweep_at_the_same_time_do_each_other_no_harm(tmp_path: Path) -> None:
    template = dead_folder(tmp_path).name.rsplit("-", 1)[0]
    for number in range(50):
        (tmp_path / f"{template}-dead{number:04d}").mkdir()
    program = """
        import os, sys
        from kindling_entities.temporary import OwnFolder, sweep

        sys.stdin.readline()
        for _ in range(200):
            made = OwnFolder("staged", sys.argv[1])
            sweep(sys.argv[1])
            with open(os.path.join(made.path, "file"), "w") as file:
                file.write("x")
            made.close()
            assert not os.path.exists(made.path)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    starters = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        for one in starters:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        for one in starters:
            _, err = one.communicate(timeout=PATIENCE_SECONDS)
            assert one.returncode == 0, err
    finally:
        for one in starters:
            one.kill()
    assert left(tmp_path) == []


def test_a_child_process_leaves_the_folder_of_its_parent(tmp_path: Path) -> None:
    folder = OwnFolder("staged", str(tmp_path))
    child = os.fork()
    if child == 0:
        folder.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.path.isdir(folder.path)
    folder.close()
    assert left(tmp_path) == []


def test_what_is_staged_under_a_released_label_is_removed_and_refused(tmp_path: Path) -> None:
    staging = Staging(str(tmp_path))
    schema = pa.schema([("n", pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"n": pa.array([1])})
        staging.release("run-1:")

    staging.label("run-1:a")
    with pytest.raises(PipeAbandoned, match="'run-1:a' has ended"):
        staging.stage(pa.RecordBatchReader.from_batches(schema, batches()))
    assert left(Path(staging.folder())) == []
    with pytest.raises(PipeAbandoned):
        staging.stage(pa.table({"n": [1]}).to_reader())
    staging.label("run-2:a")
    staging.stage(pa.table({"n": [1]}).to_reader())
    assert len(left(Path(staging.folder()))) == 1
    staging.remove()


def test_a_log_that_hangs_keeps_no_other_table_from_being_read(tmp_path: Path) -> None:
    engine = EmbeddedEngine()
    tables = [Table(f"t.{name}", str(tmp_path / name)) for name in ("hangs", "other")]
    for table in tables:
        engine.append(table, pa.table({"f": [0.5]}))
    # A pipe in place of a commit file: who opens it waits for a writer.
    commit = tmp_path / "hangs" / "_delta_log" / f"{0:020d}.json"
    text = commit.read_text()
    staging = Staging(str(tmp_path))
    snapshots = Snapshots(staging, patience_seconds=0.1)
    commit.unlink()
    os.mkfifo(commit)
    found: list[str] = []
    hung = threading.Thread(target=lambda: found.append(snapshots.of(str(tmp_path / "hangs"), "1", 0)), daemon=True)
    hung.start()
    # Opens once somebody reads.
    with open(commit, "w") as writer:
        assert snapshots.of(str(tmp_path / "other"), "2", 0) == snapshots.of(str(tmp_path / "other"), "2", 0)
        os.unlink(commit)
        commit.write_text(text)
        mine = snapshots.of(str(tmp_path / "hangs"), "1", 0)
        writer.write(text)
    hung.join(PATIENCE_SECONDS)
    assert found == [mine], "the snapshot that comes second is dropped"
    assert len([name for name in left(Path(staging.folder())) if name.startswith("snapshot-")]) == 2
    engine.stop()
    staging.remove()
