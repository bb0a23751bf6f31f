"""An output is computed anew from the whole inputs, in one commit."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from kindling_core import PlanError
from tests.watermark.conftest import FEED, Job
from tests.watermark.crashes import STEPS
from tests.watermark.test_exactly_once import crashed

KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "appends": ({"write_mode": "append"}, {"incremental": {"bronze.orders": "appends"}}),
    "appends into a merge": ({"write_mode": "merge", "keys": ["id"]}, {"incremental": {"bronze.orders": "appends"}}),
    "changes": ({"write_mode": "merge", "keys": ["id"]}, {"incremental": {"bronze.orders": "changes"}}),
    "affected": (
        {"keys": ["id"]},
        {"incremental": {"bronze.orders": "affected"}, "affected_by": {"bronze.orders": ["id"]}},
    ),
}


def job_of(job: Job, kind: str) -> Job:
    output, options = KINDS[kind]
    job.entities.entity("bronze.orders", write_mode="append", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", **output)
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders.select("id", "v"), **options)
    job.append("bronze.orders", id=[1], v=[1])
    job.run()
    job.append("bronze.orders", id=[2], v=[2])
    job.run()
    # What no input accounts for.
    job.store.append_to_entity("silver.orders", pa.table({"id": [9], "v": [9]}))
    job.append("bronze.orders", id=[3], v=[3])
    return job


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_what_the_whole_inputs_give_in_one_commit(job: Job, kind: str) -> None:
    job_of(job, kind)
    version = job.store.get_entity_version("silver.orders")
    job.run(options={"full_refresh": "silver.orders"})
    assert job.rows("silver.orders") == [(1, 1), (2, 2), (3, 3)]
    assert job.store.get_entity_version("silver.orders") == version + 1
    job.append("bronze.orders", id=[4], v=[4])
    job.run()
    assert job.rows("silver.orders", "id") == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["appends", "changes"])
def test_one_that_ended_at_any_step_is_brought_to_its_end_by_a_plain_run(job: Job, kind: str, step: str) -> None:
    job_of(job, kind)
    crashed(job, step, full_refresh="silver.orders")
    job.run()
    assert job.rows("silver.orders", "id") == [(1,), (2,), (3,)]


def test_an_increment_that_was_begun_gives_way(job: Job) -> None:
    job_of(job, "appends")
    crashed(job, "begun")
    job.run(options={"full_refresh": "silver.orders"})
    assert job.rows("silver.orders", "id") == [(1,), (2,), (3,)]
    assert job.run().pipes[0].status == "skipped"


def test_a_history_keeps_its_past_and_closes_what_is_there_no_more(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", scd=2, keys=["id"])
    changes = {"bronze.orders": "changes"}
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders, incremental=changes)
    job.merge("bronze.orders", id=[1], v=[1])
    job.run()
    job.merge("silver.orders", id=[9], v=[9])
    job.merge("bronze.orders", id=[1], v=[2])
    job.run(options={"full_refresh": "silver.orders"})
    assert job.rows("silver.orders", "id", "v", "is_current") == [(1, 1, False), (1, 2, True), (9, 9, False)]


def test_an_unknown_pipe_is_refused_before_anything_runs(job: Job) -> None:
    job_of(job, "appends")
    with pytest.raises(PlanError, match="Did you mean .silver.orders"):
        job.run(options={"full_refresh": "silver.order"})
