"""What the embedded engine alone must keep: flat memory, lost races, two processes at one new table."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest

from kindling_entities import ConflictError
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.protocols import Table, Transaction

PATIENCE_SECONDS = 120


def test_a_race_that_is_always_lost_ends_in_a_conflict_error_after_the_allowed_attempts(tmp_path: Path) -> None:
    table, waits = Table("test.t", str(tmp_path / "t")), []
    winner = EmbeddedEngine()
    winner.append(table, pa.table({"k": [0]}))

    class DataFrame:
        """A frame during whose every computation somebody else commits."""

        def toArrow(self) -> pa.Table:
            winner.append(table, pa.table({"k": [1]}))
            return pa.table({"k": [2]})

    loser = EmbeddedEngine(max_attempts=3, sleep=waits.append, jitter=lambda: 0.5)
    for write in (loser.append, loser.overwrite):
        waits.clear()
        with pytest.raises(ConflictError, match=r"3 times in a row; nothing of this write was kept"):
            write(table, DataFrame(), Transaction("a pipe", 1))
        assert len(waits) == 2
        assert waits[1] > waits[0] > 0
    assert 2 not in loser.to_reader(loser.read(table)).read_all()["k"].to_pylist()
    loser.stop()


def test_queries_that_keep_all_cores_busy_keep_the_server_from_nothing() -> None:
    # In a process that can be ended: a server that answers nobody could not be stopped here either.
    program = textwrap.dedent("""
        import os, queue, signal, threading
        from kindling_entities.engines.embedded import EmbeddedEngine

        # Minutes of work each, without a pause in it.
        endless = "select sum((a.id * b.id) % 7) as n from range(1000000) a cross join range(100000000) b"
        left = {f"query-{number}" for number in range(2 * os.cpu_count() + 2)}
        engine, ended = EmbeddedEngine(), queue.Queue()
        # Blocked before any thread is made, so that no thread takes it but the one that waits for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])
        engine.start()

        def compute(label):
            engine.activate()
            engine.label(label)
            try:
                engine.session.sql(endless).collect()
            except Exception:
                ended.put(label)

        for label in left:
            threading.Thread(target=compute, args=(label,), daemon=True).start()
        # Sent once this process has computed for a second a query.
        signal.setitimer(signal.ITIMER_PROF, len(left))
        signal.sigwait([signal.SIGPROF])
        engine.activate()
        print("answered", engine.session.sql("select 1 as n").collect()[0]["n"], flush=True)
        while left:
            # One whose query had not reached the server is interrupted in the next round.
            for label in left:
                engine.interrupt(label)
            left.discard(ended.get())
        engine.stop()
        print("interrupted", flush=True)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.stdout.split() == ["answered", "1", "interrupted"], done.stderr


def test_two_processes_that_make_one_table_both_commit(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys, pyarrow as pa
        from kindling_entities.engines.embedded import EmbeddedEngine
        from kindling_entities.protocols import Table
        engine = EmbeddedEngine()
        print("ready", flush=True)
        sys.stdin.readline()
        first = int(sys.argv[2])
        engine.merge(Table("test.t", sys.argv[1]), pa.table({"k": list(range(first, first + 50))}), ["k"])
    """)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "t"), str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, 25)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(60) for process in started] == [0, 0]
    for process in started:
        process.stdin.close()
        process.stdout.close()
    engine = EmbeddedEngine()
    try:
        table = Table("test.t", str(tmp_path / "t"))
        assert sorted(engine.to_reader(engine.read(table)).read_all()["k"].to_pylist()) == list(range(75))
    finally:
        engine.stop()


@pytest.mark.slow
def test_a_frame_larger_than_the_memory_allowed_is_streamed_into_its_table(tmp_path: Path) -> None:
    """20M rows of 48 bytes are 960 MB; the process may grow by 500 MB over its idle size."""
    program = textwrap.dedent("""
        import resource, sys
        from kindling_entities.engines.embedded import EmbeddedEngine
        from kindling_entities.protocols import Table
        engine = EmbeddedEngine()
        engine.session.range(10).toArrow()
        idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        frame = engine.session.range(20_000_000).selectExpr(
            "id", "id * 2 as a", "id * 3 as b", "id * 5 as c", "id * 7 as d", "id * 11 as e")
        commit = engine.append(Table("test.t", sys.argv[1]), frame)
        print(commit.rows_written, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) // 1024)
        engine.stop()
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "t")], capture_output=True, text=True, check=True, timeout=300
    )
    rows, grown_mb = map(int, done.stdout.split())
    assert rows == 20_000_000
    assert grown_mb < 500, f"grew by {grown_mb} MB"
