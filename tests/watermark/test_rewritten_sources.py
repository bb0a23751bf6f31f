"""What becomes of a watermark when its source was overwritten, emptied, cleaned, made anew or put back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from kindling_core import RunFailed
from kindling_watermark import SourceRewritten
from tests.watermark.conftest import FEED, Job

Deed = Callable[[Job], None]


def place(job: Job) -> Path:
    return Path(job.store.location("bronze.orders"))


def overwritten(job: Job) -> None:
    job.store.write_to_entity("bronze.orders", pa.table({"id": [8, 9]}))


def emptied(job: Job) -> None:
    job.delete("bronze.orders", "id > 0")
    job.append("bronze.orders", id=[9])


def made_anew(job: Job) -> None:
    """With as many versions as before, so that the number tells nothing."""
    shutil.rmtree(place(job))
    job.append("bronze.orders", id=[8])
    job.append("bronze.orders", id=[9])


def made_anew_with_less(job: Job) -> None:
    shutil.rmtree(place(job))
    job.append("bronze.orders", id=[9])


def put_back(job: Job) -> None:
    """An older copy of the files."""
    shutil.rmtree(place(job))
    shutil.copytree(job.folder / "backup", place(job))


def put_back_and_written(job: Job) -> None:
    put_back(job)
    job.append("bronze.orders", id=[8])
    job.append("bronze.orders", id=[9])


def log_cleaned(job: Job) -> None:
    for number in (8, 9):
        job.append("bronze.orders", id=[number])
    DeltaTable(str(place(job))).create_checkpoint()
    for version in range(3):
        (place(job) / "_delta_log" / f"{version:020}.json").unlink()


DEEDS: dict[str, tuple[Deed, str, list[int], list[int]]] = {
    # What was done, what is said, and the rows of the output with full_refresh and with ignore.
    "overwritten": (overwritten, "version 2 (WRITE) removed or changed rows", [8, 9], [1, 2]),
    "emptied": (emptied, "version 2 (DELETE) removed or changed rows", [9], [1, 2, 9]),
    "made anew": (made_anew, "it was removed and made anew", [8, 9], [1, 2, 8, 9]),
    "made anew with less": (made_anew_with_less, "it was removed and made anew", [9], [1, 2, 9]),
    "put back": (put_back, "its version went back from 1 to 0", [1], [1, 2]),
    "put back and written": (put_back_and_written, "its version 1 is not the commit that it was", [1, 8, 9], [1, 2]),
    "log cleaned": (log_cleaned, "versions 2 to 3 are kept no more", [1, 2, 8, 9], [1, 2]),
}


def job_of(job: Job, policy: str) -> Job:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", write_mode="append")
    options: dict[str, Any] = {"incremental": {"bronze.orders": "appends"}, "on_rewrite": policy}
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders.select("id"), **options)
    job.append("bronze.orders", id=[1])
    shutil.copytree(place(job), job.folder / "backup")
    job.append("bronze.orders", id=[2])
    job.run()
    return job


def ids(job: Job) -> list[int]:
    return sorted(row[0] for row in job.rows("silver.orders"))


@pytest.mark.parametrize("deed", DEEDS)
def test_it_fails_with_the_reason_unless_the_pipe_says_otherwise(job: Job, deed: str) -> None:
    do, told, _, _ = DEEDS[deed]
    do(job_of(job, "fail"))
    for _ in range(2):
        with pytest.raises(RunFailed) as caught:
            job.run()
        error = caught.value.report.exceptions["silver.orders"]
        assert isinstance(error, SourceRewritten)
        assert told in str(error)
    assert ids(job) == [1, 2], "nothing was written"


@pytest.mark.parametrize("deed", DEEDS)
def test_full_refresh_computes_the_output_anew_and_tells_why(job: Job, deed: str) -> None:
    do, told, rows, _ = DEEDS[deed]
    do(job_of(job, "full_refresh"))
    job.run()
    assert ids(job) == rows
    ((_, reset),) = job.signals("watermark_reset")
    assert (reset["old_version"], reset["new_version"]) == (1, None)
    assert told in reset["reason"]
    job.append("bronze.orders", id=[10])
    job.run()
    assert ids(job) == [*rows, 10]


@pytest.mark.parametrize("deed", DEEDS)
def test_ignore_reads_on_behind_it_and_tells_what_was_left_out(job: Job, deed: str) -> None:
    do, told, _, rows = DEEDS[deed]
    do(job_of(job, "ignore"))
    job.run()
    ((_, reset),) = job.signals("watermark_reset")
    assert told in reset["reason"]
    job.run()
    assert ids(job) == rows
    job.append("bronze.orders", id=[10])
    job.run()
    assert ids(job) == [*rows, 10]


def test_ignore_reads_what_came_before_and_after_the_rewriting_commit(job: Job) -> None:
    job_of(job, "ignore")
    job.append("bronze.orders", id=[3])
    job.delete("bronze.orders", "id = 1")
    job.append("bronze.orders", id=[4])
    job.run()
    assert ids(job) == [1, 2, 3, 4]


def test_a_vacuum_past_the_watermark_is_found(job: Job) -> None:
    job_of(job, "fail")
    for number in (3, 4):
        job.append("bronze.orders", id=[number])
    table = DeltaTable(str(place(job)))
    table.optimize.compact()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(RunFailed, match="versions 2 to 5 are kept no more|are kept no more"):
        job.run()


def test_a_merge_target_is_replaced_as_a_whole_by_a_full_refresh(job: Job) -> None:
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", write_mode="merge", keys=["id"])
    options: dict[str, Any] = {"incremental": {"bronze.orders": "changes"}, "on_rewrite": "full_refresh"}
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders, **options)
    job.merge("bronze.orders", id=[1, 2])
    job.run()
    shutil.rmtree(place(job))
    job.merge("bronze.orders", id=[2, 3])
    job.run()
    assert ids(job) == [2, 3]
    assert job.store.get_entity_version("silver.orders") == 1, "one commit"


@pytest.mark.parametrize("policy", ["fail", "full_refresh", "ignore"])
def test_a_source_that_was_made_anew_after_a_run_had_begun_is_not_taken_for_the_old_one(job: Job, policy: str) -> None:
    from tests.watermark.test_exactly_once import crashed

    job_of(job, policy)
    job.append("bronze.orders", id=[3])
    crashed(job, "begun")
    shutil.rmtree(place(job))
    for number in (5, 6, 7):
        job.append("bronze.orders", id=[number])
    if policy == "fail":
        with pytest.raises(RunFailed, match="made anew, after a run had begun to read it"):
            job.run()
        job.run(options={"full_refresh": "silver.orders"})
    else:
        job.run()
    assert ids(job) == ([1, 2, 5, 6, 7] if policy == "ignore" else [5, 6, 7])
    assert job.run().pipes[0].status == "skipped"


@pytest.mark.parametrize("policy", ["fail", "full_refresh"])
def test_a_vacuum_past_the_watermark_of_changes_follows_the_policy(job: Job, policy: str) -> None:
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", write_mode="merge", keys=["id"])
    options: dict[str, Any] = {"incremental": {"bronze.orders": "changes"}, "on_rewrite": policy}
    job.pipe("silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders, **options)
    job.merge("bronze.orders", id=[1, 2], v=[1, 1])
    job.run()
    job.merge("bronze.orders", id=[1, 3], v=[2, 2])
    job.delete("bronze.orders", "id = 2")
    table = DeltaTable(str(place(job)))
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    if policy == "fail":
        with pytest.raises(RunFailed, match="are kept no more"):
            job.run()
        job.run(options={"full_refresh": "silver.orders"})
    else:
        job.run()
    assert job.rows("silver.orders") == [(1, 2), (3, 2)]
    assert job.run().pipes[0].status == "skipped"
