"""Runs are found by what is known of them, page by page, and forgotten when nobody needs them any more."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from kindling_core.errors import PlanError
from kindling_core.state import AttemptRecord, Owner, RunEnd, RunRecord, RunStart, StateError
from kindling_core.state.resume import find_run, run_lease
from kindling_state.sql_store import SqlStateStore

FIRST = datetime(2026, 1, 1, tzinfo=timezone.utc)


def begin(
    store: SqlStateStore, run_id: str, end: str | None = "succeeded", settled: bool | None = None, **more: Any
) -> None:
    """Write down a run that took a day, as a process does."""
    fields = {"root_run_id": run_id, "job": "job", "pipe_ids": ["a"], "started_at": FIRST.isoformat(), **more}
    store.begin_run(RunStart(run_id, mode="batch", host="h", pid=1, **fields))
    store.record([AttemptRecord(run_id, "a", 1, end or "running")])
    if end == "succeeded":
        store.mark_succeeded(fields["root_run_id"], "a", run_id)
    if end is not None:
        store.record([], [RunEnd(run_id, end, "2026-01-02T00:00:00+00:00", 1.0, 1, 0, 0)])
    if settled if settled is not None else end == "succeeded":
        store.settle([fields["root_run_id"]], run_id)


def ids(records: list[RunRecord]) -> list[str]:
    return [record.start.run_id for record in records]


# Finding


def test_runs_are_chosen_by_status_time_pipe_and_beginning(store: SqlStateStore) -> None:
    begin(store, "a1", started_at=FIRST.isoformat())
    begin(store, "a2", "failed", started_at=(FIRST + timedelta(hours=1, microseconds=5)).isoformat(), pipe_ids=["A"])
    begin(store, "b1", None, started_at=(FIRST + timedelta(hours=2)).isoformat(), pipe_ids=["x", 'q"a"', "ü"])
    begin(store, "b2", "cancelled", job="other", started_at=(FIRST + timedelta(hours=3)).isoformat())
    assert ids(store.runs()) == ["b2", "b1", "a2", "a1"]
    assert ids(store.runs("job")) == ["b1", "a2", "a1"]
    assert ids(store.runs(status=["running"])) == ["b1"]
    assert ids(store.runs(status=["failed", "running"])) == ["b1", "a2"]
    assert ids(store.runs(status=["failed", "cancelled"])) == ["b2", "a2"]
    assert ids(store.runs(since=FIRST + timedelta(hours=1, microseconds=5))) == ["b2", "b1", "a2"]
    assert ids(store.runs(since=FIRST + timedelta(hours=1, microseconds=6))) == ["b2", "b1"]
    assert ids(store.runs(until=FIRST + timedelta(hours=1))) == ["a1"]
    berlin = timezone(timedelta(hours=1))
    assert ids(store.runs(until=datetime(2026, 1, 1, 2, tzinfo=berlin), since=FIRST.replace(tzinfo=None))) == ["a1"]
    assert ids(store.runs(pipe_id="a")) == ["b2", "a1"]
    assert ids(store.runs(pipe_id="A")) == ["a2"]
    assert ids(store.runs(pipe_id="ü")) == ids(store.runs(pipe_id='q"a"')) == ["b1"]
    assert ids(store.runs(prefix="b")) == ["b2", "b1"]
    assert ids(store.runs(prefix="B")) == ids(store.runs(prefix="%")) == ids(store.runs(prefix="_1")) == []


def test_pages_follow_each_other_whatever_the_ids_and_what_begins_meanwhile(store: SqlStateStore) -> None:
    for run_id in ("5", "9", "1", "7", "3"):
        begin(store, run_id)
    first = ids(store.runs("job", limit=2))
    begin(store, "8")
    second = ids(store.runs("job", limit=2, after=first[-1]))
    third = ids(store.runs("job", limit=2, after=second[-1]))
    assert [*first, *second, *third] == ["3", "7", "1", "9", "5"]
    assert store.runs("job", after="5") == []
    with pytest.raises(StateError, match="no run '4' to go on after"):
        store.runs(after="4")


def test_a_run_is_found_by_its_beginning_without_reading_the_others(store: SqlStateStore) -> None:
    for number in range(120):
        begin(store, f"2026{number:03}x")
    read: list[int] = []

    class Counting(SqlStateStore):
        def runs(self, *arguments: object, **named: object) -> list[RunRecord]:
            found = super().runs(*arguments, **named)  # type: ignore[arg-type]
            read.append(len(found))
            return found

    counting = Counting(str(store.database.url.render_as_string(hide_password=False)))
    assert find_run(counting, "job", "2026044").start.run_id == "2026044x"
    assert sum(read) == 1
    with pytest.raises(PlanError, match="10 runs or more begin with '2026'"):
        find_run(counting, "job", "2026")
    begin(store, "2026044y")
    with pytest.raises(PlanError, match="2 runs begin with"):
        find_run(counting, "job", "2026044")
    with pytest.raises(PlanError, match="Did you mean '2026119x'"):
        find_run(counting, "job", "2026119z")
    assert sum(read) < 120
    counting.close()


# Forgetting


def everything(store: SqlStateStore, run_id: str) -> tuple[bool, int, int]:
    return store.run(run_id) is not None, len(store.attempts(run_id)), len(store.succeeded(run_id))


def test_runs_go_with_their_attempts_and_marks(store: SqlStateStore) -> None:
    for run_id in ("1", "2", "3"):
        begin(store, run_id)
    assert store.forget(["1", "2", "unknown"], dry_run=True) == ["1", "2"]
    assert everything(store, "1") == (True, 1, 1)
    assert store.forget(["2", "1", "unknown"]) == ["2", "1"]
    assert everything(store, "1") == everything(store, "2") == (False, 0, 0)
    assert everything(store, "3") == (True, 1, 1)
    assert store.forget([]) == []


def test_the_newest_run_of_each_job_stays(store: SqlStateStore) -> None:
    begin(store, "1")
    begin(store, "2", job="other")
    begin(store, "3")
    assert store.forget(["1", "2", "3"]) == ["1"]


@pytest.mark.parametrize("end", [None, "failed", "cancelled"])
def test_a_run_that_has_still_to_be_finished_stays(store: SqlStateStore, end: str | None) -> None:
    begin(store, "1", end)
    begin(store, "2")
    assert store.forget(["1"]) == []
    store.settle(["1"], "2")
    assert store.forget(["1"]) == ["1"]


def test_a_run_that_runs_stays_with_what_it_continues(store: SqlStateStore) -> None:
    begin(store, "1", "failed", settled=True)
    begin(store, "2", None, root_run_id="1", resumes="1")
    store.acquire([run_lease("2")], Owner("2", "elsewhere", 1, "1", "run 2"), 600)
    begin(store, "3")
    assert store.forget(["1", "2"]) == []
    store.settle(["1"], "2")
    assert store.forget(["1", "2"]) == []
    store.release([run_lease("2")], "2")
    assert store.forget(["1", "2"]) == ["1", "2"]


def test_a_run_that_was_continued_and_died_again_keeps_what_had_succeeded(store: SqlStateStore) -> None:
    begin(store, "1", "failed", settled=True)
    begin(store, "2", "failed", root_run_id="1", resumes="1")
    begin(store, "3")
    assert store.forget(["1", "2"]) == []


def test_a_success_that_counts_for_an_unfinished_run_stays(store: SqlStateStore) -> None:
    begin(store, "1", "failed", pipe_ids=["a", "b"])
    begin(store, "2")
    begin(store, "3")
    begin(store, "4", pipe_ids=["z"])
    store.record([], [])
    assert store.unfinished("job")[0].since == {"a": "4"}
    begin(store, "5", "failed", pipe_ids=["z"], settled=True)
    assert store.forget(["1", "2", "3", "4"]) == ["2", "3"]
    assert store.unfinished("job")[0].since == {"a": "4"}


def test_a_run_that_only_a_forgotten_one_had_finished_stays_finished(store: SqlStateStore) -> None:
    # An earlier version settled nothing.
    begin(store, "1", "failed")
    begin(store, "2", settled=False, root_run_id="1", resumes="1")
    begin(store, "3")
    assert store.unfinished("job") == []
    assert store.forget(["2"]) == ["2"]
    assert store.unfinished("job") == []
    record = store.run("1")
    assert record is not None
    assert record.settled_by == "2"


# Spaces


def test_spaces_are_listed_and_removed_with_all_that_is_in_them(store: SqlStateStore) -> None:
    assert store.spaces() == []
    for space, key in (("watermark", "a"), ("files", "a"), ("files", "b")):
        store.put(space, key, {})
    assert store.spaces() == ["files", "watermark"]
    assert store.drop_space("files") == 2
    assert store.drop_space("files") == 0
    assert store.spaces() == ["watermark"]
    assert store.scan("files") == []


# Asking a run to cancel


def test_a_run_is_asked_to_cancel_once_and_only_while_it_has_no_end(store: SqlStateStore) -> None:
    assert not store.request_cancel("1", "nobody")
    begin(store, "1", None)
    assert store.cancel_request("1") is None
    assert store.request_cancel("1", "the first")
    assert store.request_cancel("1", "the second")
    asked = store.cancel_request("1")
    record = store.run("1")
    assert asked is not None
    assert asked.by == "the first"
    assert record is not None
    assert record.cancel == asked
    begin(store, "2")
    assert not store.request_cancel("2", "too late")
    assert store.cancel_request("2") is None
