"""Versions of a source go through a pipe once more; one that ended on the way goes on where it was."""

from __future__ import annotations

from typing import Any

import pytest

from kindling_watermark import WatermarkError
from kindling_watermark.backfill import Backfill
from kindling_watermark.declare.options import declared
from tests.watermark.conftest import FEED, Job
from tests.watermark.crashes import Killed, crashes


def backfill(job: Job, first: int, last: int, size: int | None = None) -> list[tuple[int | None, int | None]]:
    declaration = declared(job.app.pipes.get_pipe_definition("silver.orders"))
    assert declaration is not None
    job.store.engine.activate()
    slices = Backfill(job.app, declaration, next(iter(declaration.modes)), first, last, size).run()
    return [(one.range.start, one.range.end) for one in slices]


def job_of(job: Job, mode: str, output: dict[str, Any], factor: list[int]) -> Job:
    """The pipe multiplies by what stands in ``factor`` at the time."""
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", **output)
    job.pipe(
        "silver.orders",
        ["bronze.orders"],
        lambda bronze_orders: bronze_orders.selectExpr("id", f"v * {factor[0]} as v"),
        incremental={"bronze.orders": mode},
    )
    for number in range(4):
        job.append("bronze.orders", id=[number], v=[1])
    job.run()
    return job


@pytest.mark.parametrize("mode", ["appends", "changes"])
def test_rows_of_the_versions_are_written_again(job: Job, mode: str) -> None:
    factor = [1]
    job_of(job, mode, {"write_mode": "merge", "keys": ["id"]}, factor)
    factor[0] = 10
    assert backfill(job, 1, 2) == [(0, 2)]
    assert job.rows("silver.orders") == [(0, 1), (1, 10), (2, 10), (3, 1)]
    assert backfill(job, 1, 2) == [], "it was done"
    job.append("bronze.orders", id=[4], v=[1])
    job.run()
    assert job.rows("silver.orders") == [(0, 1), (1, 10), (2, 10), (3, 1), (4, 10)]


def test_from_the_first_version_on_the_whole_source_is_read(job: Job) -> None:
    factor = [1]
    job_of(job, "appends", {"write_mode": "merge", "keys": ["id"]}, factor)
    factor[0] = 10
    assert backfill(job, 0, 1) == [(None, 1)]
    assert job.rows("silver.orders") == [(0, 10), (1, 10), (2, 1), (3, 1)]


def test_one_that_ended_goes_on_where_it_was(job: Job) -> None:
    factor = [1]
    job_of(job, "appends", {"write_mode": "merge", "keys": ["id"]}, factor)
    factor[0] = 10
    seen: list[str] = []

    def second(step: str) -> None:
        seen.append(step)
        if len(seen) == 2:
            raise Killed(step)

    inner, _ = crashes("committed", second)
    job.anew(plugins=[inner])
    with pytest.raises(Killed):
        backfill(job, 1, 3, 1)
    job.anew()
    factor[0] = 100
    assert backfill(job, 1, 3, 1) == [(2, 3)]
    assert job.rows("silver.orders") == [(0, 1), (1, 10), (2, 10), (3, 100)]


def test_an_append_target_takes_only_versions_that_are_not_in_it(job: Job) -> None:
    job_of(job, "appends", {"write_mode": "append"}, [1])
    with pytest.raises(WatermarkError, match="would double rows"):
        backfill(job, 1, 2)
    # A gap that somebody has made by hand.
    for number in (4, 5, 6):
        job.append("bronze.orders", id=[number], v=[1])
    job.manager.save_watermark("bronze.orders", "silver.orders", 5)
    job.run()
    assert [row[0] for row in job.rows("silver.orders")] == [0, 1, 2, 3, 6]
    assert backfill(job, 4, 5, 1) == [(3, 4), (4, 5)]
    assert [row[0] for row in job.rows("silver.orders")] == [0, 1, 2, 3, 4, 5, 6]
    assert backfill(job, 4, 5, 1) == []


def test_versions_that_are_not_there_are_refused(job: Job) -> None:
    job_of(job, "appends", {"write_mode": "append"}, [1])
    with pytest.raises(WatermarkError, match="has no versions 2 to 9; the newest is 3"):
        backfill(job, 2, 9)
