"""What ``kindling plan`` says of incremental pipes, also where the features cannot start."""

from __future__ import annotations

from typing import Any

from kindling_core import KindlingError, hookimpl
from tests.watermark.conftest import Job

OF_BRONZE: dict[str, Any] = {"incremental": {"bronze.orders": "appends"}}


def job_of(job: Job, **options: Any) -> Job:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", write_mode="append")
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders, **OF_BRONZE, **options)
    return job


def test_each_range_is_told_with_its_reason(job: Job) -> None:
    job_of(job, max_versions=1, on_rewrite="full_refresh")
    job.append("bronze.orders", id=[1])
    assert job.app.plan().notes == [
        "silver.orders reads bronze.orders: all rows of version 0, because it has no watermark so far"
    ]
    job.run()
    for number in (2, 3):
        job.append("bronze.orders", id=[number])
    assert job.app.plan().notes == [
        "silver.orders reads bronze.orders: rows added in version 1, and what is behind it, slice by slice"
    ]
    job.delete("bronze.orders", "id = 1")
    assert job.app.plan().notes == [
        "silver.orders reads bronze.orders: all rows of version 3, and replaces silver.orders, because bronze.orders: "
        "version 3 (DELETE) removed or changed rows"
    ]


def test_a_plan_changes_nothing_and_sends_no_signals(job: Job) -> None:
    job_of(job)
    job.append("bronze.orders", id=[1])
    job.told.clear()
    job.app.plan()
    assert job.told == []
    assert job.manager.records.get("silver.orders").version == 0


def test_where_the_features_cannot_start_the_plan_says_so(job: Job) -> None:
    class Broken:
        name = "broken"

        @hookimpl
        def kindling_start(self) -> None:
            raise KindlingError("there is no electricity")

    job_of(job)
    app = job.compose(plugins=[Broken()])
    assert app.plan().notes == ["What incremental pipes would read cannot be told: there is no electricity"]
    app.close()
