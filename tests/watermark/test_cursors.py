"""Sources without a log are read on by a column that grows: equal values are neither lost nor doubled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kindling_core import PipeDefinitionError, RunFailed
from tests.watermark.conftest import Job
from tests.watermark.crashes import STEPS, crashes
from tests.watermark.test_exactly_once import crashed, lose_state

COLUMNS = {"id": "bigint", "at": "timestamp"}


def csv(job: Job, name: str, *rows: tuple[int, str]) -> None:
    folder = job.folder / "data"
    folder.mkdir(exist_ok=True)
    lines = ["id,at", *(f"{number},{at}" for number, at in rows)]
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def job_of(job: Job, columns: dict[str, str] = COLUMNS, output: dict[str, Any] | None = None, **cursor: Any) -> Job:
    job.entities.source("raw.orders", path="data/*.csv", columns=columns)
    job.entities.entity("silver.orders", **(output or {"write_mode": "append"}))
    how = {"raw.orders": {"cursor": "at", **cursor}}
    job.pipe("silver.orders", ["raw.orders"], lambda raw_orders: raw_orders, incremental=how)
    return job


def ids(job: Job) -> list[int]:
    return sorted(row[0] for row in job.rows("silver.orders", "id"))


def test_what_is_behind_the_greatest_value_is_new(job: Job) -> None:
    job_of(job, tie_break=["id"])
    csv(job, "1", (1, "2024-01-01T10:00:00"), (2, "2024-01-01T11:00:00"))
    job.run()
    csv(job, "2", (3, "2024-01-01T12:00:00.123456"))
    job.run()
    assert ids(job) == [1, 2, 3]
    (pipe,) = job.run().pipes
    assert pipe.status == "skipped"
    assert pipe.reason == f"nothing new: raw.orders is read up to {1704110400123456}"


def test_equal_values_are_neither_lost_nor_doubled(job: Job) -> None:
    job_of(job, tie_break=["id"])
    csv(job, "1", (5, "2024-01-01T10:00:00"))
    job.run()
    # Less and greater than what was read, at the same moment.
    csv(job, "2", (4, "2024-01-01T10:00:00"), (6, "2024-01-01T10:00:00"))
    job.run()
    assert ids(job) == [4, 5, 6]
    assert job.run().pipes[0].status == "skipped"


def test_without_a_tie_break_equal_rows_are_counted(job: Job) -> None:
    job_of(job)
    csv(job, "1", (1, "2024-01-01T10:00:00"), (1, "2024-01-01T10:00:00"))
    job.run()
    csv(job, "2", (1, "2024-01-01T10:00:00"))
    job.run()
    assert ids(job) == [1, 1, 1]


def test_late_rows_within_the_lateness_are_read_and_no_others(job: Job) -> None:
    job_of(job, lateness="2 hours", tie_break=["id"])
    csv(job, "1", (1, "2024-01-01T08:00:00"), (2, "2024-01-01T12:00:00"))
    job.run()
    csv(job, "2", (3, "2024-01-01T10:00:00"), (4, "2024-01-01T09:59:59"), (5, "2024-01-01T11:00:00"))
    job.run()
    assert ids(job) == [1, 2, 3, 5]
    csv(job, "3", (6, "2024-01-01T14:00:00"), (7, "2024-01-01T10:30:00"))
    job.run()
    assert ids(job) == [1, 2, 3, 5, 6, 7]


def test_a_number_and_a_date_are_cursors_too(job: Job) -> None:
    job_of(job, {"id": "bigint", "at": "bigint"}, lateness=2, tie_break=["id"])
    csv(job, "1", (1, "10"))
    job.run()
    csv(job, "2", (2, "8"), (3, "7"), (4, "11"))
    job.run()
    assert ids(job) == [1, 2, 4]


def test_a_merge_target_takes_changed_rows(job: Job) -> None:
    job_of(job, output={"write_mode": "merge", "keys": ["id"]}, tie_break=["id"])
    csv(job, "1", (1, "2024-01-01T10:00:00"), (2, "2024-01-01T10:00:00"))
    job.run()
    csv(job, "1", (1, "2024-01-01T11:00:00"), (2, "2024-01-01T10:00:00"))
    report = job.run()
    assert (ids(job), report.pipes[0].rows) == ([1, 2], 1)


def test_a_view_is_read_on_by_its_column(job: Job) -> None:
    job.entities.entity("silver.recent")
    for name in ("bronze.orders", "gold.orders"):
        job.entities.entity(name, write_mode="append")
    job.pipe("silver.recent", ["bronze.orders"], lambda bronze_orders: bronze_orders.limit(9), materialize="view")
    how = {"silver.recent": {"cursor": "id"}}
    job.pipe("gold.orders", ["silver.recent"], lambda silver_recent: silver_recent, incremental=how)
    job.append("bronze.orders", id=[0, 1])
    job.run()
    job.append("bronze.orders", id=[2])
    job.run()
    assert job.rows("gold.orders") == [(0,), (1,), (2,)]


@pytest.mark.parametrize("lost", [False, True], ids=["state kept", "state lost"])
@pytest.mark.parametrize("step", STEPS)
def test_an_end_at_any_step_and_a_plain_run_give_each_row_once(job: Job, step: str, lost: bool) -> None:
    job_of(job, tie_break=["id"])
    csv(job, "1", (1, "2024-01-01T10:00:00"))
    job.run()
    csv(job, "2", (2, "2024-01-01T10:00:00"), (3, "2024-01-01T11:00:00"))
    crashed(job, step)
    if lost:
        lose_state(job)
    csv(job, "3", (4, "2024-01-01T11:00:00"), (5, "2024-01-01T10:30:00"))
    job.run()
    job.run()
    # What came too late for its value is not read: that is what the lateness is for.
    assert ids(job) in ([1, 2, 3, 4], [1, 2, 3, 4, 5])


def test_what_comes_while_a_pipe_reads_is_left_to_the_next_run(job: Job) -> None:
    """The source grows between the intent and the read, at the value that was its greatest."""
    job_of(job, tie_break=["id"])
    csv(job, "1", (1, "2024-01-01T10:00:00"))
    inner, _ = crashes("begun", lambda step: csv(job, "2", (2, "2024-01-01T10:00:00"), (3, "2024-01-01T12:00:00")))
    job.anew(plugins=[inner])
    job.run()
    job.anew()
    job.run()
    assert ids(job) == [1, 2, 3]


def test_rows_without_a_value_are_refused(job: Job) -> None:
    job_of(job)
    csv(job, "1", (1, ""), (2, "2024-01-01T10:00:00"))
    with pytest.raises(RunFailed, match="'at' is null in 1 rows, which would never be read"):
        job.run()


def test_an_unknown_column_is_named(job: Job) -> None:
    job_of(job, {"id": "bigint", "when": "timestamp"})
    (job.folder / "data").mkdir()
    (job.folder / "data" / "1.csv").write_text("id,when\n1,2024-01-01T10:00:00\n")
    with pytest.raises(RunFailed, match="has no column 'at'"):
        job.run()


@pytest.mark.parametrize(
    ("cursor", "told"),
    [
        ({"lateness": "soon"}, "lateness of 'raw.orders' is 'soon'"),
        ({"latenes": "1 hour"}, "Did you mean 'lateness'"),
        ({"cursor": None}, "needs {'cursor': column}"),
    ],
)
def test_a_wrong_cursor_is_refused(job: Job, cursor: dict[str, Any], told: str) -> None:
    job_of(job, **cursor)
    with pytest.raises(PipeDefinitionError) as caught:
        job.compose()
    assert told in str(caught.value)


@given(batches=st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=5))
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_with_few_values_that_never_come_late_are_read_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]
) -> None:
    job = Job(tmp_path_factory.mktemp("cursor"))
    job_of(job, {"id": "bigint", "at": "bigint"})
    expected: list[int] = []
    least = 0
    try:
        for number, batch in enumerate(batches):
            # Each row is at or behind the greatest of the batch before.
            rows = [(number * 10 + place, str(least + value)) for place, value in enumerate(sorted(batch))]
            if not rows:
                continue
            csv(job, str(number), *rows)
            least = max(int(at) for _, at in rows)
            expected += [one for one, _ in rows]
            job.run()
        assert not expected or ids(job) == sorted(expected)
    finally:
        job.close()
