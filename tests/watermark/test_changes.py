"""Updates and deletes of a source, carried into a merge target: the same table as a full computation gives."""

from __future__ import annotations

from typing import Any

import pytest

from kindling_entities import expect_or_drop
from tests.watermark.conftest import FEED, Job

CHANGES = {"bronze.orders": "changes"}


def active(bronze_orders: Any) -> Any:
    """Keeps some rows and some columns, as pipes do."""
    return bronze_orders.where("state <> 'draft'").selectExpr("id", "upper(state) as state")


def job_of(job: Job, function: Any, **output: Any) -> Job:
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", **{"write_mode": "merge", "keys": ["id"], **output})
    job.pipe("silver.orders", ["bronze.orders"], function, incremental=CHANGES)
    job.merge("bronze.orders", id=[1, 2, 3], state=["new", "paid", "draft"])
    job.run()
    return job


@pytest.fixture
def orders(job: Job) -> Job:
    return job_of(job, active)


def test_updates_inserts_and_deletes_arrive(orders: Job) -> None:
    orders.merge("bronze.orders", id=[1, 4], state=["paid", "new"])
    orders.delete("bronze.orders", "id = 2")
    orders.run()
    assert orders.rows("silver.orders") == [(1, "PAID"), (4, "NEW")]


def test_a_key_that_changed_several_times_has_its_last_state(orders: Job) -> None:
    for state in ("paid", "sent", "back"):
        orders.merge("bronze.orders", id=[1], state=[state])
    orders.delete("bronze.orders", "id = 2")
    orders.merge("bronze.orders", id=[2], state=["again"])
    orders.merge("bronze.orders", id=[9], state=["short"])
    orders.delete("bronze.orders", "id = 9")
    orders.run()
    assert orders.rows("silver.orders") == [(1, "BACK"), (2, "AGAIN")]


def test_a_row_that_the_function_keeps_no_more_goes(orders: Job) -> None:
    orders.merge("bronze.orders", id=[1, 3], state=["draft", "new"])
    orders.run()
    assert orders.rows("silver.orders") == [(2, "PAID"), (3, "NEW")]


def test_a_row_whose_key_changes_moves(job: Job) -> None:
    job_of(job, lambda bronze_orders: bronze_orders.selectExpr("concat(state, id) as id"))
    job.merge("bronze.orders", id=[1], state=["sent"])
    job.run()
    assert job.rows("silver.orders") == [("draft3",), ("paid2",), ("sent1",)]


def test_an_overwrite_of_the_source_is_changes_like_any_others(orders: Job) -> None:
    import pyarrow as pa

    orders.store.write_to_entity("bronze.orders", pa.table({"id": [2, 7], "state": ["sent", "new"]}))
    orders.run()
    assert orders.rows("silver.orders") == [(2, "SENT"), (7, "NEW")]


def test_the_function_sees_the_kind_of_change(job: Job) -> None:
    job_of(
        job,
        lambda bronze_orders: bronze_orders.withColumnRenamed("state", "was").selectExpr("*", "_change_type as how"),
    )
    assert job.rows("silver.orders", "how") == [("insert",), ("insert",), ("insert",)]
    job.merge("bronze.orders", id=[1, 4], state=["x", "x"])
    job.run()
    assert job.rows("silver.orders", "id", "how") == [
        (1, "update_postimage"),
        (2, "insert"),
        (3, "insert"),
        (4, "insert"),
    ]
    assert job.store.read_entity("silver.orders").columns == ["id", "was", "how"]


def test_rows_and_deletes_are_one_commit(orders: Job) -> None:
    orders.merge("bronze.orders", id=[1], state=["paid"])
    orders.delete("bronze.orders", "id = 2")
    version = orders.store.get_entity_version("silver.orders")
    orders.run()
    assert orders.store.get_entity_version("silver.orders") == version + 1
    newest = orders.store.commits("silver.orders")[-1]
    assert (newest.rows_updated, newest.rows_deleted) == (1, 1)


def test_what_expectations_keep_out_is_not_left_behind_in_an_older_state(job: Job) -> None:
    job_of(job, active, expectations=[expect_or_drop("known", "state <> 'ODD'")])
    job.merge("bronze.orders", id=[1], state=["odd"])
    job.run()
    assert job.rows("silver.orders") == [(2, "PAID")]


def test_a_history_closes_what_was_deleted(job: Job) -> None:
    job_of(job, lambda bronze_orders: bronze_orders, scd=2)
    job.merge("bronze.orders", id=[1], state=["paid"])
    job.delete("bronze.orders", "id = 2")
    job.run()
    found = job.rows("silver.orders", "id", "state", "is_current")
    assert found == [(1, "new", False), (1, "paid", True), (2, "paid", False), (3, "draft", True)]


def test_newer_rows_win_by_their_sequence_and_deletes_still_delete(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", write_mode="merge", keys=["id"], sequence_by="at")
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders, incremental=CHANGES)
    job.merge("bronze.orders", id=[1, 2], at=[5, 5])
    job.run()
    job.merge("bronze.orders", id=[1], at=[6])
    job.delete("bronze.orders", "id = 2")
    job.run()
    assert job.rows("silver.orders") == [(1, 6)]


def test_a_compaction_of_the_source_is_no_news(orders: Job) -> None:
    orders.merge("bronze.orders", id=[4], state=["new"])
    orders.run()
    orders.store.tables.maintain("bronze.orders", dry_run=False)
    assert orders.run().pipes[0].status == "skipped"


def test_columns_that_went_are_refused_by_name(orders: Job) -> None:
    import pyarrow as pa

    from kindling_core import RunFailed

    orders.store.write_to_entity("bronze.orders", pa.table({"id": [2], "status": ["sent"]}))
    with pytest.raises(RunFailed, match="its columns changed: state is gone"):
        orders.run()
