"""A backlog is read slice by slice, each slice a commit of its own."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from kindling_core import RunFailed, hookimpl
from tests.watermark.conftest import FEED, Job
from tests.watermark.crashes import crashes


def job_of(job: Job, function: Any = lambda bronze_orders: bronze_orders, **options: Any) -> Job:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", write_mode="append")
    job.pipe("silver.orders", ["bronze.orders"], function, incremental={"bronze.orders": "appends"}, **options)
    job.append("bronze.orders", id=[0])
    job.run()
    return job


def ids(job: Job) -> list[int]:
    return sorted(row[0] for row in job.rows("silver.orders", "id"))


def ranges(job: Job) -> list[tuple[int | None, int | None]]:
    """What each commit of the output was made of."""
    import json

    from kindling_watermark.trace import METADATA

    commits = job.store.commits("silver.orders")
    return [tuple(json.loads(one.metadata[METADATA])["ranges"]["bronze.orders"]) for one in commits]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_versions": 2}, [(None, 0), (0, 2), (2, 4), (4, 5)]),
        ({"max_rows": 3}, [(None, 0), (0, 3), (3, 4), (4, 5)]),
        # A commit is never parted.
        ({"max_rows": 1}, [(None, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
        ({"max_bytes": 1}, [(None, 0), (0, 5)]),
        ({}, [(None, 0), (0, 5)]),
    ],
)
def test_a_run_works_off_all_slices(
    job: Job, options: dict[str, int], expected: list[tuple[int | None, int | None]]
) -> None:
    job_of(job, **options)
    for number in range(1, 4):
        job.append("bronze.orders", id=[number])
    job.append("bronze.orders", id=[10, 11, 12])
    job.append("bronze.orders", id=[20])
    report = job.run()
    assert ids(job) == [0, 1, 2, 3, 10, 11, 12, 20]
    assert ranges(job) == expected
    (pipe,) = report.pipes
    assert pipe.rows == 7
    if len(expected) > 2:
        assert (pipe.note, pipe.details["slices"]) == (f"{len(expected) - 1} slices", len(expected) - 1)


def test_without_catching_up_a_run_reads_one_slice(job: Job) -> None:
    job_of(job, max_versions=1)
    for number in (1, 2):
        job.append("bronze.orders", id=[number])
    job.anew(watermark={"catch_up": False})
    job.run()
    assert ids(job) == [0, 1]
    job.run()
    assert ids(job) == [0, 1, 2]


def test_a_slice_that_fails_leaves_those_before_it(job: Job) -> None:
    def picky(bronze_orders: Any) -> Any:
        rows = bronze_orders.where("id = 3").count()
        if rows and broken:
            raise RuntimeError("3 is broken")
        return bronze_orders

    broken = [True]
    job_of(job, picky, max_versions=1)
    for number in range(1, 5):
        job.append("bronze.orders", id=[number])
    with pytest.raises(RunFailed, match="3 is broken"):
        job.run()
    assert ids(job) == [0, 1, 2]
    broken.clear()
    job.run()
    assert ids(job) == [0, 1, 2, 3, 4]


def test_all_pipes_of_a_run_read_a_source_up_to_one_version(job: Job) -> None:
    """The first pipe adds to the source while it runs; the second reads no more than the first."""
    job.entities.entity("bronze.orders", write_mode="append")
    for name in ("one", "two"):
        job.entities.entity(f"silver.{name}", write_mode="append")

    def first(bronze_orders: Any) -> Any:
        job.append("bronze.orders", id=[9])
        return bronze_orders

    of_bronze = {"bronze.orders": "appends"}
    job.pipe("silver.one", ["bronze.orders"], first, incremental=of_bronze)
    job.pipe("silver.two", ["bronze.orders"], lambda bronze_orders: bronze_orders, incremental=of_bronze)
    job.append("bronze.orders", id=[1])
    job.anew(execution={"max_workers": 1})
    job.run()
    assert job.rows("silver.one") == job.rows("silver.two") == [(1,)]


def test_all_readers_of_what_a_run_writes_read_it_up_to_one_version(job: Job) -> None:
    for name in ("bronze.orders", "silver.orders", "gold.one", "gold.two"):
        job.entities.entity(name, write_mode="append")
    job.pipe(
        "silver.orders",
        ["bronze.orders"],
        lambda bronze_orders: bronze_orders,
        incremental={"bronze.orders": "appends"},
    )

    def first(silver_orders: Any) -> Any:
        job.append("silver.orders", id=[9])
        return silver_orders

    of_silver = {"silver.orders": "appends"}
    job.pipe("gold.one", ["silver.orders"], first, incremental=of_silver)
    job.pipe("gold.two", ["silver.orders"], lambda silver_orders: silver_orders, incremental=of_silver)
    job.append("bronze.orders", id=[1])
    job.anew(execution={"max_workers": 1})
    job.run()
    assert job.rows("gold.one") == job.rows("gold.two") == [(1,)]


def test_slices_of_changes_end_with_the_same_table(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", write_mode="merge", keys=["id"])
    options: dict[str, Any] = {"incremental": {"bronze.orders": "changes"}, "max_versions": 1}
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders, **options)
    job.merge("bronze.orders", id=[1, 2], at=[0, 0])
    job.run()
    job.merge("bronze.orders", id=[1, 3], at=[1, 1])
    job.delete("bronze.orders", "id = 2")
    job.merge("bronze.orders", id=[2], at=[3])
    job.run()
    assert job.rows("silver.orders") == job.rows("bronze.orders") == [(1, 1), (2, 3), (3, 1)]
    assert job.store.get_entity_version("silver.orders") == 3


def test_an_end_between_two_slices_loses_and_doubles_nothing(job: Job) -> None:
    job_of(job, max_versions=1)
    for number in range(1, 5):
        job.append("bronze.orders", id=[number])
    seen: list[str] = []

    def third(step: str) -> None:
        seen.append(step)
        if len(seen) == 3:
            raise KeyboardInterrupt

    inner, _ = crashes("committed", third)
    job.anew(plugins=[inner])
    with pytest.raises((RunFailed, KeyboardInterrupt)):
        job.run()
    job.anew()
    job.run()
    assert ids(job) == [0, 1, 2, 3, 4]


def test_a_run_that_is_cancelled_begins_no_further_slice(job: Job) -> None:
    calls: list[int] = []

    def cancels(bronze_orders: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            job.app.cancel()
        return bronze_orders

    job_of(job, cancels, max_versions=1)
    for number in range(1, 5):
        job.append("bronze.orders", id=[number])
    with contextlib.suppress(RunFailed):
        job.run()
    assert len(calls) == 3
    assert ids(job) in ([0, 1], [0, 1, 2])
    job.run()
    assert ids(job) == [0, 1, 2, 3, 4]


def test_a_pipe_that_is_out_of_time_begins_no_further_slice(job: Job) -> None:
    """The time limit ends while the second of many slices is computed."""
    import threading

    over = threading.Event()

    class Watches:
        name = "watches"

        @hookimpl
        def kindling_interrupt_pipe(self) -> None:
            over.set()

    calls: list[int] = []

    def waits(bronze_orders: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            assert over.wait(30)
        return bronze_orders

    job_of(job, waits, max_versions=1, timeout_seconds=1.0)
    for number in range(1, 9):
        job.append("bronze.orders", id=[number])
    job.anew(plugins=[Watches()])
    with contextlib.suppress(RunFailed):
        job.run()
    assert len(calls) == 3
    job.anew()
    job.run()
    assert ids(job) == list(range(9))
