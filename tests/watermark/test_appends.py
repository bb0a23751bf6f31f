"""Rows added since a pipe last succeeded, each once."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from kindling_core import RunFailed
from kindling_entities import CommitOptions
from kindling_watermark import SourceRewritten
from kindling_watermark.trace import METADATA
from tests.watermark.conftest import Job

OF_BRONZE, OF_SILVER = {"bronze.orders": "appends"}, {"silver.orders": "appends"}


@pytest.fixture
def orders(job: Job) -> Job:
    """Appends what is appended to bronze."""
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", write_mode="append")
    job.pipe("silver.orders", ["bronze.orders"], doubled, incremental=OF_BRONZE)
    job.append("bronze.orders", id=[1, 2], amount=[10, 20])
    return job


def doubled(bronze_orders: Any) -> Any:
    return bronze_orders.selectExpr("id", "amount * 2 as amount")


def test_each_row_is_appended_once(orders: Job) -> None:
    orders.run()
    orders.append("bronze.orders", id=[3], amount=[30])
    report = orders.run()
    assert orders.rows("silver.orders") == [(1, 20), (2, 40), (3, 60)]
    (pipe,) = report.pipes
    assert (pipe.rows, pipe.ranges_read) == (1, {"bronze.orders": (0, 1)})


def test_nothing_new_skips_the_pipe_with_that_reason_and_commits_nothing(orders: Job) -> None:
    orders.run()
    report = orders.run()
    (pipe,) = report.pipes
    assert (pipe.status, pipe.reason) == ("skipped", "nothing new: bronze.orders is read up to version 0")
    assert orders.store.get_entity_version("silver.orders") == 0


def test_a_compaction_is_no_news(orders: Job) -> None:
    orders.append("bronze.orders", id=[3], amount=[30])
    orders.run()
    orders.store.tables.maintain("bronze.orders", dry_run=False)
    assert orders.store.get_entity_version("bronze.orders") > 1
    assert orders.run().pipes[0].status == "skipped"
    orders.append("bronze.orders", id=[4], amount=[40])
    orders.run()
    assert orders.rows("silver.orders", "id") == [(1,), (2,), (3,), (4,)]


def test_an_append_of_no_rows_is_no_news(orders: Job) -> None:
    orders.run()
    orders.append("bronze.orders", id=pa.array([], pa.int64()), amount=pa.array([], pa.int64()))
    assert orders.run().pipes[0].status == "skipped"


def test_what_depends_on_a_skipped_pipe_sees_nothing_new_either(orders: Job) -> None:
    orders.entities.entity("gold.orders", write_mode="append")
    orders.pipe(
        "gold.orders", ["silver.orders"], lambda silver_orders: silver_orders, incremental={"silver.orders": "appends"}
    )
    orders.anew()
    orders.run()
    report = orders.run()
    assert [pipe.status for pipe in report.pipes] == ["skipped", "skipped"]
    orders.append("bronze.orders", id=[3], amount=[30])
    orders.run()
    assert orders.rows("gold.orders", "id") == [(1,), (2,), (3,)]


def test_the_commit_says_what_it_was_made_of(orders: Job) -> None:
    orders.run()
    orders.append("bronze.orders", id=[3], amount=[30])
    orders.run()
    _, second = orders.store.commits("silver.orders")
    assert '"ranges": {"bronze.orders": [0, 1]}' in second.metadata[METADATA]
    assert [(one.app_id, one.version) for one in second.transactions] == [("kindling.watermark:silver.orders", 2)]


def test_the_watermark_survives_the_process(orders: Job) -> None:
    orders.run()
    orders.append("bronze.orders", id=[3], amount=[30])
    orders.anew()
    orders.run()
    assert orders.rows("silver.orders", "id") == [(1,), (2,), (3,)]


def test_a_merge_target_takes_the_newest_rows_of_what_was_appended(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", write_mode="merge", keys=["id"])
    job.pipe("silver.orders", ["bronze.orders"], doubled, incremental=OF_BRONZE)
    job.append("bronze.orders", id=[1, 2], amount=[10, 20])
    job.run()
    job.append("bronze.orders", id=[2], amount=[25])
    job.run()
    assert job.rows("silver.orders") == [(1, 20), (2, 50)]


def test_two_sources_of_one_pipe_advance_with_one_commit(job: Job) -> None:
    job.entities.entity("bronze.a", write_mode="append")
    job.entities.entity("bronze.b", write_mode="append")
    job.entities.entity("silver.all", write_mode="append")
    both = {"bronze.a": "appends", "bronze.b": "appends"}
    job.pipe("silver.all", list(both), lambda bronze_a, bronze_b: bronze_a.unionByName(bronze_b), incremental=both)
    job.append("bronze.a", id=[1])
    job.append("bronze.b", id=[2])
    job.run()
    job.append("bronze.b", id=[3])
    job.run()
    assert job.rows("silver.all") == [(1,), (2,), (3,)]
    assert job.store.get_entity_version("silver.all") == 1


def test_a_new_column_of_the_source_is_read(orders: Job) -> None:
    orders.pipes = type(orders.pipes)()
    orders.pipe(
        "silver.orders",
        ["bronze.orders"],
        lambda bronze_orders: bronze_orders,
        incremental=OF_BRONZE,
    )
    orders.anew()
    orders.run()
    orders.append("bronze.orders", id=[3], amount=[30], note=["late"])
    orders.run()
    assert orders.rows("silver.orders") == [(1, 10, None), (2, 20, None), (3, 30, "late")]


def test_all_signals_are_sent_as_contracted(orders: Job) -> None:
    orders.run()
    common = {"source_entity_id": "bronze.orders", "reader_id": "silver.orders"}
    assert [name for name, _ in orders.told] == [
        "before_get", "watermark_missing", "before_save", "after_save", "watermark_advanced",
    ]  # fmt: skip
    assert all(fields.items() >= common.items() for _, fields in orders.told)
    orders.append("bronze.orders", id=[3], amount=[30])
    orders.run()
    told = dict(orders.told)
    assert [name for name, _ in orders.told] == [
        "before_get", "watermark_found", "version_changed", "before_save", "after_save", "watermark_advanced",
    ]  # fmt: skip
    assert told["watermark_found"]["version"] == 0
    assert told["watermark_found"]["saved_at"].endswith("+00:00")
    for name in ("version_changed", "before_save", "after_save", "watermark_advanced"):
        assert (told[name]["old_version"], told[name]["new_version"]) == (0, 1), name
    assert told["watermark_advanced"]["rows"] == 1


def test_a_failed_pipe_reads_the_same_again(orders: Job) -> None:
    broken = [True]

    def sometimes(bronze_orders: Any) -> Any:
        if broken:
            raise RuntimeError("broken")
        return bronze_orders

    orders.pipes = type(orders.pipes)()
    orders.pipe("silver.orders", ["bronze.orders"], sometimes, incremental=OF_BRONZE)
    orders.anew()
    with pytest.raises(RunFailed):
        orders.run()
    # What was begun is done first, and then what came since.
    orders.append("bronze.orders", id=[3], amount=[30])
    broken.clear()
    (pipe,) = orders.run().pipes
    assert (pipe.versions_read, pipe.note) == ({"bronze.orders": 0}, "2 slices")
    assert orders.rows("silver.orders", "id") == [(1,), (2,), (3,)]


def test_a_source_that_was_changed_is_refused_by_version_and_operation(orders: Job) -> None:
    orders.run()
    orders.append("bronze.orders", id=[3], amount=[30])
    orders.delete("bronze.orders", "id = 1")
    with pytest.raises(RunFailed) as caught:
        orders.run()
    error = caught.value.report.exceptions["silver.orders"]
    assert isinstance(error, SourceRewritten)
    assert "version 2 (DELETE) removed or changed rows" in str(error)
    assert "kindling run --full-refresh silver.orders" in str(error)
    assert orders.rows("silver.orders", "id") == [(1,), (2,)], "nothing was written"


def test_a_pipe_that_has_no_table_yet_fails_as_it_would_without_the_feature(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", write_mode="append")
    job.pipe("silver.orders", ["bronze.orders"], doubled, incremental=OF_BRONZE)
    with pytest.raises(RunFailed, match="does not exist"):
        job.run()
    assert job.manager.get_watermark("bronze.orders", "silver.orders") is None


def test_metadata_of_others_stays(orders: Job) -> None:
    orders.store.append_to_entity(
        "bronze.orders", pa.table({"id": [9], "amount": [1]}), options=CommitOptions({"who": "me"})
    )
    orders.run()
    assert orders.rows("silver.orders", "id") == [(1,), (2,), (9,)]
