"""What is refused when a job is composed, and what a job does without the feature."""

from __future__ import annotations

from typing import Any

import pytest

from kindling_core import PipeDefinitionError
from tests.watermark.conftest import FEED, Job

OF_BRONZE = {"bronze.orders": "appends"}
COLUMNS = {"id": "bigint", "customer_id": "bigint", "amount": "bigint"}


def compose(job: Job, output: dict[str, Any], source: dict[str, Any] | None = None, **options: Any) -> None:
    job.entities.entity("bronze.orders", **(source or {"write_mode": "append", "columns": COLUMNS}))
    job.entities.entity("silver.orders", **output)
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders, **options)
    job.compose().close()


CHANGES = {"incremental": {"bronze.orders": "changes"}}
MERGED = {"write_mode": "merge", "keys": ["id"]}
KEEPS_CHANGES = {"keys": ["id"], "properties": FEED}


@pytest.mark.parametrize(
    ("output", "source", "options", "told"),
    [
        ({}, None, {"incremental": OF_BRONZE}, "overwritten as a whole, so each increment would remove"),
        ({"write_mode": "append"}, KEEPS_CHANGES, CHANGES, "updates and deletes"),
        ({"provider": "parquet"}, None, {"incremental": OF_BRONZE}, "cannot hold transaction ids"),
        ({"provider": "memory"}, None, {"incremental": OF_BRONZE}, "cannot hold transaction ids"),
        (MERGED, None, {"incremental": {"bronze.orders": "append"}}, "Did you mean 'appends'"),
        (MERGED, None, {"incremental": {"bronze.order": "appends"}}, "its inputs. Did you mean 'bronze.orders'"),
        (MERGED, None, {"incremental": "appends"}, "give a mapping such as"),
        (MERGED, None, {"max_rows": 3}, "max_rows belong to an incremental pipe"),
        (MERGED, None, {"incremental": OF_BRONZE, "max_rows": 0}, "max_rows is 0, not a whole number of at least 1"),
        (MERGED, None, {"incremental": OF_BRONZE, "max_rows": True}, "max_rows is True"),
        (MERGED, None, {"incremental": OF_BRONZE, "on_rewrite": "full-refresh"}, "Did you mean 'full_refresh'"),
        (MERGED, None, {"incremental": {"bronze.orders": "changes"}}, "keeps no record of its changes"),
        (MERGED, {"properties": FEED}, {"incremental": {"bronze.orders": "changes"}}, "needs its keys"),
        (MERGED, {"provider": "parquet"}, {"incremental": OF_BRONZE}, "parquet keeps no versions"),
        ({**MERGED, "missing_rows": "delete"}, None, {"incremental": OF_BRONZE}, "each write for a full snapshot"),
        (
            {"scd": 2, "keys": ["id"], "sequence_by": "at"},
            KEEPS_CHANGES,
            {"incremental": {"bronze.orders": "changes"}},
            "has no 'at' at which the history",
        ),
        (MERGED, None, {"incremental": {"bronze.orders": "affected"}}, "needs affected_by"),
        (MERGED, None, {"incremental": OF_BRONZE, "affected_by": {"bronze.orders": ["id"]}}, "affected_by belongs to"),
        (
            MERGED,
            None,
            {"incremental": {"bronze.orders": "affected"}, "affected_by": {"bronze.orders": ["customer"]}},
            "names the column 'customer', which 'bronze.orders' lacks. Did you mean 'customer_id'",
        ),
        (
            {"write_mode": "merge", "keys": ["id"], "columns": {"id": "bigint"}},
            None,
            {"incremental": {"bronze.orders": "affected"}, "affected_by": {"bronze.orders": ["customer_id"]}},
            "lacks 'customer_id' of affected_by",
        ),
        (
            {},
            None,
            {"incremental": {"bronze.orders": "affected"}, "affected_by": {"bronze.orders": ["customer_id"]}},
            "Declare keys=",
        ),
        (
            {"write_mode": "append"},
            None,
            {"incremental": {"bronze.orders": "affected"}, "affected_by": {"bronze.orders": ["customer_id"]}},
            "'silver.orders' is appended to",
        ),
        (
            MERGED,
            None,
            {"incremental": {"bronze.orders": "affected"}, "affected_by": {"bronze.orders": ["id"]}, "max_rows": 1},
            "whole inputs have no slices",
        ),
        (MERGED, None, {"incremental": OF_BRONZE, "mode": "streaming"}, "checkpoint of its own"),
    ],
)  # fmt: skip
def test_what_would_lose_or_double_rows_is_refused(
    job: Job, output: dict[str, Any], source: dict[str, Any] | None, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(PipeDefinitionError, match=r"Pipe 'silver\.orders' \(tests\.watermark") as caught:
        compose(job, output, source, **options)
    assert told in str(caught.value)


def test_an_overwrite_of_partitions_is_taken(job: Job) -> None:
    compose(job, {"overwrite_scope": "partitions", "partition_columns": ["day"]}, incremental=OF_BRONZE)


def test_a_fixed_version_has_nothing_new(job: Job) -> None:
    job.entities.entity("bronze.orders")
    job.entities.entity("silver.orders", **MERGED)
    fixed = "bronze.orders@v3"
    job.pipe("silver.orders", [fixed], lambda bronze_orders: bronze_orders, incremental={fixed: "appends"})
    with pytest.raises(PipeDefinitionError, match="nothing is ever new"):
        job.compose()


def test_an_output_is_needed(job: Job) -> None:
    job.entities.entity("bronze.orders")
    job.pipes.pipe("send", inputs=["bronze.orders"], incremental=OF_BRONZE)(lambda bronze_orders: None)
    with pytest.raises(PipeDefinitionError, match="nothing tells what is done"):
        job.compose()


def test_without_the_feature_a_merge_reads_everything_and_gives_the_same(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", **MERGED)
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders, incremental=OF_BRONZE)
    job.anew(feature=False)
    for number in (1, 2):
        job.append("bronze.orders", id=[number], amount=[number])
        job.run()
    assert job.rows("silver.orders") == [(1, 1), (2, 2)]


def test_without_the_feature_an_append_is_refused(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", write_mode="append")
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders, incremental=OF_BRONZE)
    with pytest.raises(PipeDefinitionError, match="'incremental'|'watermark'"):
        job.compose(feature=False)
