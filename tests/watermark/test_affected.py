"""Keys that were touched are computed anew from the whole inputs, and exactly those are replaced in the output."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from kindling_core import RunFailed
from tests.watermark.conftest import FEED, Job
from tests.watermark.crashes import STEPS


def totals(bronze_orders: Any) -> Any:
    return bronze_orders.groupBy("customer").agg({"amount": "sum"}).withColumnRenamed("sum(amount)", "total")


@pytest.fixture(params=["overwrite", "merge"])
def sums(job: Job, request: pytest.FixtureRequest) -> Job:
    """An aggregate over a source that changes."""
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("gold.totals", write_mode=request.param, keys=["customer"])
    job.pipe(
        "gold.totals",
        ["bronze.orders"],
        totals,
        incremental={"bronze.orders": "affected"},
        affected_by={"bronze.orders": ["customer"]},
    )
    job.merge("bronze.orders", id=[1, 2, 3, 4], customer=["a", "a", "b", "c"], amount=[1, 2, 4, 8])
    job.run()
    return job


def test_the_first_run_computes_everything(sums: Job) -> None:
    assert sums.rows("gold.totals") == [("a", 3), ("b", 4), ("c", 8)]


def test_an_update_an_insert_and_a_delete_touch_their_groups(sums: Job) -> None:
    sums.merge("bronze.orders", id=[2, 5], customer=["a", "d"], amount=[20, 16])
    sums.delete("bronze.orders", "id = 3")
    sums.run()
    assert sums.rows("gold.totals") == [("a", 21), ("c", 8), ("d", 16)]


def test_a_row_that_moves_changes_both_groups(sums: Job) -> None:
    sums.merge("bronze.orders", id=[4], customer=["a"], amount=[8])
    sums.run()
    assert sums.rows("gold.totals") == [("a", 11), ("b", 4)]


def test_other_groups_are_neither_read_nor_written(sums: Job) -> None:
    # A mark that a full computation would remove.
    sums.store.merge_to_entity("gold.totals", pa.table({"customer": ["c"], "total": [800]}))
    sums.merge("bronze.orders", id=[1], customer=["a"], amount=[100])
    report = sums.run()
    assert sums.rows("gold.totals") == [("a", 102), ("b", 4), ("c", 800)]
    assert report.pipes[0].rows == 1


def test_what_is_replaced_is_one_commit(sums: Job) -> None:
    version = sums.store.get_entity_version("gold.totals")
    sums.merge("bronze.orders", id=[3], customer=["a"], amount=[4])
    sums.run()
    assert sums.store.get_entity_version("gold.totals") == version + 1


def test_nothing_new_skips(sums: Job) -> None:
    assert sums.run().pipes[0].status == "skipped"


def test_null_is_a_group_of_its_own_that_a_merge_refuses_as_ever(sums: Job) -> None:
    sums.merge("bronze.orders", id=[9], customer=pa.array([None], pa.string()), amount=[1])
    with pytest.raises(RunFailed, match="null"):
        sums.run()


def test_a_source_that_only_grows_needs_no_change_feed(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("gold.totals", keys=["customer"])
    job.pipe(
        "gold.totals",
        ["bronze.orders"],
        totals,
        incremental={"bronze.orders": "affected"},
        affected_by={"bronze.orders": ["customer"]},
    )
    job.append("bronze.orders", customer=["a", "b"], amount=[1, 2])
    job.run()
    job.append("bronze.orders", customer=["a"], amount=[4])
    job.run()
    assert job.rows("gold.totals") == [("a", 5), ("b", 2)]
    job.delete("bronze.orders", "customer = 'b'")
    with pytest.raises(RunFailed, match="DELETE"):
        job.run()


def joined(bronze_orders: Any, silver_products: Any) -> Any:
    return bronze_orders.join(silver_products, "product", "left").selectExpr("id", "customer", "product", "name")


@pytest.fixture
def join(job: Job) -> Job:
    """A join with a dimension that changes; rows belong together by customer."""
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.products", write_mode="merge", keys=["product"], properties=FEED)
    job.entities.entity("silver.orders", keys=["id"])
    job.pipe(
        "silver.orders",
        ["bronze.orders", "silver.products"],
        joined,
        incremental={"bronze.orders": "affected", "silver.products": "affected"},
        affected_by={"bronze.orders": ["customer"], "silver.products": {"product": "product"}},
    )
    job.merge("bronze.orders", id=[1, 2, 3], customer=["a", "a", "b"], product=[7, 8, 9])
    job.merge("silver.products", product=[7, 8], name=["seven", "eight"])
    job.run()
    return job


def whole(job: Job) -> list[tuple[Any, ...]]:
    """What a full computation gives."""
    frame = joined(job.store.read_entity("bronze.orders"), job.store.read_entity("silver.products"))
    read = job.store.engine.to_reader(frame).read_all().to_pylist()
    return sorted((tuple(row.values()) for row in read), key=repr)


def test_a_changed_dimension_row_corrects_the_rows_that_meet_it(join: Job) -> None:
    join.merge("silver.products", product=[7, 9], name=["SEVEN", "nine"])
    join.run()
    assert join.rows("silver.orders") == whole(join)
    assert (3, "b", 9, "nine") in join.rows("silver.orders")


def test_a_dimension_row_that_went_is_met_no_more(join: Job) -> None:
    join.delete("silver.products", "product = 8")
    join.run()
    assert (2, "a", 8, None) in join.rows("silver.orders")
    assert join.rows("silver.orders") == whole(join)


def test_rows_that_went_or_moved_leave_nothing_behind(join: Job) -> None:
    join.delete("bronze.orders", "id = 1")
    join.merge("bronze.orders", id=[2], customer=["b"], product=[7])
    join.merge("silver.products", product=[7], name=["SEVEN"])
    join.run()
    assert join.rows("silver.orders") == whole(join) == [(2, "b", 7, "SEVEN"), (3, "b", 9, None)]


def test_a_dimension_row_that_nobody_meets_changes_nothing(join: Job) -> None:
    join.merge("silver.products", product=[100], name=["hundred"])
    join.run()
    assert join.rows("silver.orders") == whole(join)


def test_a_result_without_the_columns_of_affected_by_is_refused(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("gold.totals", keys=["id"])
    job.pipe(
        "gold.totals",
        ["bronze.orders"],
        lambda bronze_orders: bronze_orders.select("id"),
        incremental={"bronze.orders": "affected"},
        affected_by={"bronze.orders": ["customer"]},
    )
    job.append("bronze.orders", id=[1], customer=["a"])
    with pytest.raises(RunFailed, match="returned no column 'customer'"):
        job.run()


@pytest.mark.parametrize("step", STEPS)
def test_an_end_at_any_step_and_a_plain_run_give_the_same(join: Job, step: str) -> None:
    from tests.watermark.test_exactly_once import crashed

    join.delete("bronze.orders", "id = 1")
    join.merge("silver.products", product=[7, 9], name=["SEVEN", "nine"])
    crashed(join, step)
    join.merge("bronze.orders", id=[4], customer=["a"], product=[7])
    join.run()
    assert join.rows("silver.orders") == whole(join)
