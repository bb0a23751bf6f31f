"""The contract of a state store, on SQLite and on PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from pathlib import Path

import pytest

from kindling_core.state import AttemptRecord, Owner, RunEnd, RunStart, StateConflict, StateError, StateStore, Success
from kindling_state.processes import this_process
from kindling_state.sql_store import SqlStateStore

HOST, PID, STARTED = this_process()


def owner(name: str, host: str = "elsewhere", pid: int = 1, started: str = "1") -> Owner:
    return Owner(name, host, pid, started, f"the run {name}")


def start(run_id: str, **fields: object) -> RunStart:
    values = {"root_run_id": run_id, "job": "job", "mode": "batch", "started_at": "2026-01-01T00:00:00+00:00"}
    return RunStart(**{"run_id": run_id, "host": HOST, "pid": PID, **values, **fields})  # type: ignore[arg-type]


def together(number: int, work) -> list:  # type: ignore[no-untyped-def]
    """Call ``work(index)`` on so many threads at the same moment."""
    results, meet = [None] * number, threading.Barrier(number)

    def run(index: int) -> None:
        meet.wait(30)
        try:
            results[index] = work(index)
        except StateError as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_it_is_a_state_store(store: SqlStateStore) -> None:
    assert isinstance(store, StateStore)


def test_reading_what_was_never_written_is_empty_and_makes_nothing(tmp_path: Path) -> None:
    store = SqlStateStore(f"sqlite:///{tmp_path / 'deep' / 'state.db'}")
    assert store.get("space", "key") is None
    assert store.scan("space") == store.runs() == store.attempts("r") == store.holders(["a"]) == []
    assert store.expected_seconds("job", ["a"]) == store.succeeded("r") == {}
    assert list(tmp_path.iterdir()) == []


# Records


def test_a_record_is_changed_only_from_the_version_that_was_read(store: SqlStateStore) -> None:
    assert store.put("w", "k", {"v": 1}, expected=0) == 1
    assert store.put("w", "k", {"v": [2, None, "ü"]}, expected=1) == 2
    for wrong in (0, 1, 3):
        with pytest.raises(StateConflict, match="version 2"):
            store.put("w", "k", {"v": 9}, expected=wrong)
    assert store.put("w", "k", {"v": 3}) == 3
    record = store.get("w", "k")
    assert record is not None
    assert (record.value, record.version) == ({"v": 3}, 3)
    assert store.get("other", "k") is None


def test_a_record_is_removed_only_from_the_version_that_was_read(store: SqlStateStore) -> None:
    store.put("w", "k", {})
    with pytest.raises(StateConflict):
        store.delete("w", "k", expected=2)
    assert store.delete("w", "k", expected=1)
    assert not store.delete("w", "k")
    assert store.put("w", "k", {}, expected=0) == 1


def test_a_scan_goes_by_prefix_in_the_order_of_keys(store: SqlStateStore) -> None:
    for key in ("b/2", "a_1", "B/3", "b/1", "ax1"):
        store.put("w", key, {"key": key})
    assert [record.key for record in store.scan("w", "b/")] == ["b/1", "b/2"]
    assert [record.key for record in store.scan("w", "a_")] == ["a_1"]
    assert len(store.scan("w")) == 5


def test_of_many_writers_at_once_one_wins_each_version(store: SqlStateStore) -> None:
    store.put("w", "k", {"n": 0})
    for version in range(1, 6):
        results = together(6, lambda index, version=version: store.put("w", "k", {"n": index}, expected=version))
        assert sorted(map(str, (type(one).__name__ for one in results))) == ["StateConflict"] * 5 + ["int"]
    made = together(6, lambda index: store.put("w", "new", {"n": index}, expected=0))
    assert made.count(1) == 1


# Leases


def test_a_lease_is_held_until_it_is_given_back(store: SqlStateStore) -> None:
    assert store.acquire(["a", "b"], owner("one"), 30) == []
    assert store.acquire(["a", "b"], owner("one"), 30) == []
    (held,) = store.acquire(["b", "c"], owner("two"), 30)
    assert (held.name, held.owner.description, held.expires_at) == ("b", "the run one", "1970-01-12T13:47:10+00:00")
    assert store.holders(["c"]) == []
    store.release(["a", "b"], "two")
    assert {lease.name for lease in store.holders(["a", "b", "c"])} == {"a", "b"}
    store.release(["a", "b"], "one")
    assert store.acquire(["b", "c"], owner("two"), 30) == []


def test_a_lease_that_has_expired_is_anybodys_and_its_old_owner_learns_that(store: SqlStateStore, clock) -> None:  # type: ignore[no-untyped-def]
    store.acquire(["a", "b"], owner("one"), 30)
    clock.now += 20
    assert store.renew(["a", "b"], "one", 30)
    clock.now += 29
    assert store.acquire(["a"], owner("two"), 30) != []
    clock.now += 2
    assert store.holders(["a"]) == []
    assert store.acquire(["a"], owner("two"), 30) == []
    assert not store.renew(["a", "b"], "one", 30)
    assert store.holders(["b"]) == [], "nothing of it is extended"


def test_the_lease_of_a_process_that_is_known_to_be_dead_is_anybodys(store: SqlStateStore) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat")
    if not stat.exists():
        pytest.skip("no /proc on this system")
    began = stat.read_text().rpartition(")")[2].split()[19]
    store.acquire(["a"], owner("dead", HOST, child.pid, began), 3600)
    assert store.acquire(["a"], owner("two"), 30) != []
    child.kill()
    child.wait(30)
    assert store.holders(["a"]) == []
    assert store.acquire(["a"], owner("two"), 30) == []


def test_of_many_who_want_a_lease_at_once_one_gets_it(store: SqlStateStore) -> None:
    for number in range(20):
        names = [f"x{number}", f"y{number}"]
        results = together(
            8, lambda index, names=names: store.acquire(names[:: 1 if index % 2 else -1], owner(f"o{index}"), 30)
        )
        assert results.count([]) == 1, results


def test_leases_that_come_and_go_are_never_held_twice(store: SqlStateStore) -> None:
    # Names that a dictionary sorts otherwise than Python does: whoever locks in another order waits for ever.
    names = ["job:B", "job:a", "job:_", "job:Z"]
    inside, most, lock = [0], [0], threading.Lock()

    def come_and_go(index: int) -> int:
        got = 0
        for turn in range(15):
            mine = names if (index + turn) % 2 else names[::-1]
            if store.acquire(mine, owner(f"o{index}"), 30):
                continue
            got += 1
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.003)
            with lock:
                inside[0] -= 1
            store.release(mine, f"o{index}")
        return got

    results = together(6, come_and_go)
    assert all(isinstance(one, int) for one in results), results
    assert most == [1]
    assert sum(results) > 0


def test_of_many_processes_that_want_a_lease_at_once_one_gets_it(url: str) -> None:
    SqlStateStore(url).put("w", "k", {})
    script = textwrap.dedent(
        """
        import sys
        from kindling_core.state import Owner
        from kindling_state.processes import this_process
        from kindling_state.sql_store import SqlStateStore
        store = SqlStateStore(sys.argv[1])
        owner = Owner(sys.argv[2], *this_process(), "told")
        print("ready", flush=True)
        input()
        print("won" if store.acquire(["a"], owner, 600) == [] else "lost", flush=True)
        input()
        """
    )
    pipe = subprocess.PIPE
    children = [
        subprocess.Popen([sys.executable, "-c", script, url, str(index)], stdin=pipe, stdout=pipe, text=True)
        for index in range(4)
    ]
    try:
        for child in children:
            assert child.stdout.readline() == "ready\n"  # type: ignore[union-attr]
        for child in children:
            child.stdin.write("\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
        assert sorted(child.stdout.readline() for child in children) == ["lost\n"] * 3 + ["won\n"]  # type: ignore[union-attr]
    finally:
        for child in children:
            child.communicate("\n", timeout=60)


# Runs


def test_a_run_comes_back_as_it_was_written(store: SqlStateStore) -> None:
    one = start(
        "r1",
        resumes="r0",
        root_run_id="r0",
        selection=["+a"],
        pipe_ids=["a", "b"],
        overrides=["x.y=1"],
        fingerprints={"a": "f"},
        pinned_versions={"t.a": 3},
        job_hash="h",
        depends_on={"setting entities.root": "'./lake'"},
    )
    store.begin_run(one)
    record = store.run("r1")
    assert record is not None
    assert (record.start, record.end, record.status) == (one, None, "running")
    end = RunEnd("r1", "failed", "2026-01-01T00:01:00+00:00", 60.5, 1, 1, 0, "broken", "ValueError")
    store.record([], [end])
    record = store.run("r1")
    assert record is not None
    assert (record.end, record.status) == (end, "failed")
    with pytest.raises(StateError, match="r1 is written down already"):
        store.begin_run(one)


def test_runs_come_newest_first_and_by_job(store: SqlStateStore) -> None:
    for run_id, job in (("1", "a"), ("2", "b"), ("3", "a")):
        store.begin_run(start(run_id, job=job))
    assert [record.start.run_id for record in store.runs()] == ["3", "2", "1"]
    assert [record.start.run_id for record in store.runs("a", limit=1)] == ["3"]


def test_the_newest_run_is_the_one_written_down_last_whatever_its_id_says(store: SqlStateStore) -> None:
    for run_id in ("9", "5", "7"):
        store.begin_run(start(run_id))
    assert [record.start.run_id for record in store.runs()] == ["7", "5", "9"]
    assert [record.start.run_id for record in store.runs("job", limit=1)] == ["7"]


def ended(run_id: str, status: str) -> RunEnd:
    return RunEnd(run_id, status, "2026-01-01T00:01:00+00:00", 60.5, 1, 1, 0)


def test_what_is_unfinished_is_known_with_what_was_done_of_it_and_since(store: SqlStateStore) -> None:
    assert store.unfinished("job") == []
    store.begin_run(start("9", pipe_ids=["a", "b", "c"]))
    store.mark_succeeded("9", "a", "9", 3)
    store.begin_run(start("8", job="other", pipe_ids=["a"]))
    store.mark_succeeded("8", "a", "8")
    # It is resumed, and dies again.
    store.begin_run(start("7", root_run_id="9", resumes="9", pipe_ids=["a", "b", "c"]))
    store.mark_succeeded("9", "b", "7")
    store.begin_run(start("6", pipe_ids=["c"]))
    store.mark_succeeded("6", "c", "6")
    store.record([], [ended("6", "succeeded")])
    (one,) = store.unfinished("job")
    assert (one.run_id, one.root_run_id) == ("7", "9")
    assert one.succeeded == {"a": Success("9", 3), "b": Success("7")}
    assert one.since == {"c": "6"}
    assert one.left == []
    store.begin_run(start("5", pipe_ids=["a", "d"]))
    store.record([], [ended("5", "failed")])
    assert [one.run_id for one in store.unfinished("job")] == ["5", "7"]
    assert store.unfinished("job")[0].left == ["a", "d"]
    store.settle(["9"], "6")
    assert [one.run_id for one in store.unfinished("job")] == ["5"]
    records = {run_id: store.run(run_id) for run_id in ("9", "7", "5")}
    assert {run_id: record and record.settled_by for run_id, record in records.items()} == {
        "9": "6",
        "7": "6",
        "5": None,
    }
    assert [one.run_id for one in store.unfinished("other")] == ["8"]


def test_a_run_whose_continuation_succeeded_is_finished(store: SqlStateStore) -> None:
    store.begin_run(start("1", pipe_ids=["a"]))
    store.record([], [ended("1", "failed")])
    store.begin_run(start("2", root_run_id="1", resumes="1", pipe_ids=["a"]))
    store.record([], [ended("2", "succeeded")])
    assert store.unfinished("job") == []


def test_what_succeeded_is_marked_once(store: SqlStateStore) -> None:
    store.mark_succeeded("r", "a", "r")
    store.mark_succeeded("r", "a", "later")
    store.mark_succeeded("r", "b", "later", 2**40)
    assert store.succeeded("r") == {"a": Success("r"), "b": Success("later", 2**40)}
    assert store.succeeded("other") == {}


def test_attempts_are_replaced_and_keep_their_order(store: SqlStateStore) -> None:
    store.record([AttemptRecord("r", "b", 1, "running"), AttemptRecord("r", "a", 1, "running")])
    full = AttemptRecord(
        "r", "b", 1, "succeeded", "2026", 1.5, 7, output_entity_id="t.b", version_written=4, versions_read={"t.a": 2}
    )
    store.record([full, AttemptRecord("r", "c", 0, "skipped", reason="pipe 'a' failed", caused_by="a")])
    assert [(one.pipe_id, one.status) for one in store.attempts("r")] == [
        ("b", "succeeded"),
        ("a", "running"),
        ("c", "skipped"),
    ]
    assert store.attempts("r")[0] == full


def test_expected_seconds_are_the_median_of_the_last_successes(store: SqlStateStore) -> None:
    for number in range(8):
        store.begin_run(start(f"r{number}"))
        status = "failed" if number == 7 else "succeeded"
        store.record([AttemptRecord(f"r{number}", "a", 1, status, "2026", float(number))])
    store.begin_run(start("x", job="other"))
    store.record([AttemptRecord("x", "a", 1, "succeeded", "2026", 1000.0)])
    assert store.expected_seconds("job", ["a", "b"], of_last=3) == {"a": 5.0}


def test_ten_thousand_attempts_are_written_in_one_go(store: SqlStateStore) -> None:
    records = [AttemptRecord("r", f"p{number}", 1, "succeeded", "2026", 0.1) for number in range(10_000)]
    store.record(records)
    assert len(store.attempts("r")) == 10_000
    store.acquire([f"pipe:{number}" for number in range(5_000)], owner("one"), 30)
    assert len(store.holders([f"pipe:{number}" for number in range(5_000)])) == 5_000


def test_a_store_may_be_used_after_it_was_closed(store: SqlStateStore) -> None:
    store.put("w", "k", {"n": 1})
    store.close()
    assert store.get("w", "k") is not None


def test_a_closed_store_is_made_anew_where_its_file_is_gone(tmp_path: Path) -> None:
    store = SqlStateStore(f"sqlite:///{tmp_path / 'state.db'}")
    store.put("w", "k", {"n": 1})
    store.close()
    for file in tmp_path.iterdir():
        file.unlink()
    assert store.get("w", "k") is None
    assert store.put("w", "k", {"n": 2}, expected=0) == 1
    store.close()


def test_who_reads_does_not_wait_for_who_writes(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = SqlStateStore(f"sqlite:///{file}")
    store.put("w", "k", {"n": 1})
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        fresh = SqlStateStore(f"sqlite:///{file}")
        record = fresh.get("w", "k")
        assert record is not None
        assert record.value == {"n": 1}
        fresh.close()
        writer.execute("ROLLBACK")
    store.close()


def test_odd_text_loses_no_history(store: SqlStateStore) -> None:
    store.begin_run(start("r"))
    odd = "file \udce9\0.csv: ünreadable"
    attempt = AttemptRecord("r", "a", 1, "failed", "2026", 1.0, error=odd, error_type="OSError")
    store.record([attempt], [RunEnd("r", "failed", "2026", 1.0, 0, 1, 0, odd, "OSError")])
    (kept,) = store.attempts("r")
    record = store.run("r")
    assert kept.error == "file \\udce9\N{REPLACEMENT CHARACTER}.csv: ünreadable"
    assert record is not None
    assert record.end is not None
    assert record.end.error == kept.error


# Errors


@pytest.mark.parametrize("value", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}])
def test_what_json_cannot_carry_is_refused_before_anything_is_written(store: SqlStateStore, value: dict) -> None:  # type: ignore[type-arg]
    store.put("w", "k", {"n": 1})
    with pytest.raises(StateError, match="'k' cannot be kept.*only what JSON can carry"):
        store.put("w", "k", value)
    record = store.get("w", "k")
    assert record is not None
    assert (record.value, record.version) == ({"n": 1}, 1)


def test_a_name_that_is_no_unicode_is_refused(store: SqlStateStore) -> None:
    with pytest.raises(StateError, match="not valid Unicode"):
        store.acquire(["job:\udce9"], owner("one"), 30)


def test_a_password_among_the_options_is_in_no_error() -> None:
    store = SqlStateStore("postgresql://me@127.0.0.1:1/x?password=hunter2")
    with pytest.raises(StateError) as caught:
        store.put("w", "k", {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://me:p@ss/hunter2@h/x", "postgresql://me:a@hunter2@h/x", "sqlite;hunter2"])
def test_a_url_with_an_unescaped_password_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(StateError) as caught:
        SqlStateStore(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_password_is_in_no_error() -> None:
    store = SqlStateStore("postgresql://me:hunter2@127.0.0.1:1/x")
    with pytest.raises(StateError, match="See that the server runs") as caught:
        store.put("w", "k", {})
    assert "hunter2" not in str(caught.value)
    assert "postgresql+psycopg://me:***@127.0.0.1:1/x" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("mysql://a/b", "SQLite or PostgreSQL|'mysql'"),
        ("nonsense", "sqlite:///FILE"),
        ("sqlite://", "Name a file"),
        ("kafka://x", "'kafka'"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, match: str) -> None:
    with pytest.raises(StateError, match=match):
        SqlStateStore(url)


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("this is not a database, it only has its name. " * 100)
    with pytest.raises(StateError, match="Move it away"):
        SqlStateStore(f"sqlite:///{tmp_path / 'state.db'}").put("w", "k", {})


def test_waiting_for_a_writer_takes_no_longer_than_the_writer(store: SqlStateStore) -> None:
    begun = time.monotonic()
    together(8, lambda index: [store.put("w", f"{index}/{number}", {}) for number in range(10)])
    assert len(store.scan("w")) == 80
    assert time.monotonic() - begun < 60
