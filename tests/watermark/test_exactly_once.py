"""Whatever ends a pipe, and whatever is lost: nothing is doubled, nothing is missing, nothing happens silently."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from kindling_core import App, PlanError, RunFailed
from kindling_core.state import StateStore
from kindling_core.state.resume import resume_run
from kindling_watermark import OutputChanged, WatermarkLost
from kindling_watermark.plugin import WatermarkPlugin
from tests.watermark.conftest import FEED, Job
from tests.watermark.crashes import STEPS, crashes

OF_BRONZE = {"bronze.orders": "appends"}


def same(bronze_orders: Any) -> Any:
    return bronze_orders.selectExpr("id")


@pytest.fixture
def orders(job: Job) -> Job:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", write_mode="append")
    job.pipe("silver.orders", ["bronze.orders"], same, incremental=OF_BRONZE)
    job.append("bronze.orders", id=[1, 2])
    return job


def crashed(job: Job, step: str, **options: Any) -> None:
    """Run in an App of its own that ends at a step."""
    job.close()
    inner, outer = crashes(step)
    app = App(
        ["entities", "state"],
        {},
        name="job",
        base_dir=job.folder,
        environ={},
        plugins=[inner, WatermarkPlugin(), outer],
    )
    app.mount(job.entities, job.pipes)
    with app, pytest.raises((RunFailed, BaseException)) as caught:
        app.run(options=options)
    assert "Killed" in repr(caught.value) or "Killed" in repr(getattr(caught.value, "report", ""))


def state_file(job: Job) -> Path:
    return job.folder / "lake.state.db"


def lose_state(job: Job) -> None:
    job.close()
    for path in job.folder.glob("lake.state.db*"):
        path.unlink()


def ids(job: Job) -> list[int]:
    return [row[0] for row in job.rows("silver.orders", "id")]


@pytest.mark.parametrize("first", [True, False], ids=["first read", "increment"])
@pytest.mark.parametrize("step", STEPS)
def test_a_plain_run_after_an_end_at_any_step_gives_each_row_once(orders: Job, step: str, first: bool) -> None:
    if not first:
        orders.run()
        orders.append("bronze.orders", id=[3])
    crashed(orders, step)
    orders.append("bronze.orders", id=[4])
    orders.run()
    assert ids(orders) == ([1, 2, 4] if first else [1, 2, 3, 4])


@pytest.mark.parametrize("step", STEPS)
def test_the_same_with_the_state_lost_after_the_end(orders: Job, step: str) -> None:
    orders.run()
    orders.append("bronze.orders", id=[3])
    crashed(orders, step)
    lose_state(orders)
    orders.append("bronze.orders", id=[4])
    orders.run()
    assert ids(orders) == [1, 2, 3, 4]


@pytest.mark.parametrize("step", STEPS)
def test_the_same_with_an_older_copy_of_the_state_put_back(orders: Job, step: str) -> None:
    orders.run()
    orders.close()
    shutil.copy(state_file(orders), orders.folder / "copy.db")
    for number in (3, 4):
        orders.append("bronze.orders", id=[number])
        orders.run()
    orders.append("bronze.orders", id=[5])
    crashed(orders, step)
    lose_state(orders)
    shutil.copy(orders.folder / "copy.db", state_file(orders))
    orders.append("bronze.orders", id=[6])
    orders.run()
    assert ids(orders) == [1, 2, 3, 4, 5, 6]


def test_a_lost_state_is_read_back_from_the_table_and_told(orders: Job, caplog: Any) -> None:
    orders.run()
    lose_state(orders)
    assert orders.run().pipes[0].status == "skipped"
    ((_, told),) = orders.signals("watermark_reset")
    assert (told["old_version"], told["new_version"]) == (None, 0)
    assert told["reason"] == "read back from the log of silver.orders"
    assert "read back from the log" in caplog.text


def test_a_copy_with_an_open_intent_of_other_ranges_does_not_lose_what_came_since(orders: Job) -> None:
    crashed(orders, "begun")
    shutil.copy(state_file(orders), orders.folder / "copy.db")
    orders.append("bronze.orders", id=[3])
    orders.run()
    lose_state(orders)
    shutil.copy(orders.folder / "copy.db", state_file(orders))
    orders.append("bronze.orders", id=[4])
    orders.run()
    assert ids(orders) == [1, 2, 3, 4]


def test_an_append_target_with_rows_that_nothing_accounts_for_is_refused(orders: Job) -> None:
    orders.append("silver.orders", id=[1])
    with pytest.raises(RunFailed) as caught:
        orders.run()
    assert isinstance(caught.value.report.exceptions["silver.orders"], WatermarkLost)
    assert "double rows of 'silver.orders'" in str(caught.value)
    assert ids(orders) == [1]


def test_rows_that_another_pipe_appended_are_in_nobodys_way(orders: Job) -> None:
    orders.entities.entity("bronze.others", write_mode="append")
    orders.pipes.pipe(
        "others", inputs=["bronze.others"], output="silver.orders", incremental={"bronze.others": "appends"}
    )(lambda bronze_others: bronze_others)
    orders.anew()
    orders.append("bronze.others", id=[7])
    orders.run("others")
    orders.run("silver.orders")
    orders.run()
    assert ids(orders) == [1, 2, 7]
    lose_state(orders)
    orders.run()
    assert ids(orders) == [1, 2, 7]


def test_a_log_that_was_cleaned_of_all_that_the_pipe_wrote_is_told(orders: Job) -> None:
    orders.run()
    lose_state(orders)
    log = Path(orders.store.location("silver.orders")) / "_delta_log"
    orders.append("silver.orders", id=[9])
    DeltaTable(str(log.parent)).create_checkpoint()
    (log / f"{0:020}.json").unlink()
    with pytest.raises(RunFailed, match="the log that said what of its sources is in it was cleaned"):
        orders.run()
    assert ids(orders) == [1, 2, 9]


# An output that is not as the pipe left it


def test_an_output_that_was_removed_is_told(orders: Job) -> None:
    orders.run()
    shutil.rmtree(orders.store.location("silver.orders"))
    with pytest.raises(RunFailed) as caught:
        orders.run()
    assert isinstance(caught.value.report.exceptions["silver.orders"], OutputChanged)
    assert "there is no table any more" in str(caught.value)


def test_an_output_that_was_set_back_is_told(orders: Job) -> None:
    orders.run()
    orders.append("bronze.orders", id=[3])
    orders.run()
    DeltaTable(orders.store.location("silver.orders")).restore(0)
    with pytest.raises(RunFailed, match="version 2 set it back to an earlier version"):
        orders.run()


def test_an_output_of_a_backup_is_told_and_with_ignore_goes_on_where_the_table_says(orders: Job) -> None:
    orders.pipes = type(orders.pipes)()
    orders.pipe("silver.orders", ["bronze.orders"], same, incremental=OF_BRONZE, on_rewrite="ignore")
    orders.anew()
    orders.run()
    place = Path(orders.store.location("silver.orders"))
    shutil.copytree(place, orders.folder / "backup")
    orders.append("bronze.orders", id=[3])
    orders.run()
    shutil.rmtree(place)
    shutil.copytree(orders.folder / "backup", place)
    orders.run()
    assert ids(orders) == [1, 2, 3]
    assert "and the pipe wrote version 1" in orders.signals("watermark_reset")[0][1]["reason"]


@pytest.mark.parametrize("what", ["removed", "set back"])
def test_with_full_refresh_such_an_output_is_computed_anew(orders: Job, what: str) -> None:
    orders.pipes = type(orders.pipes)()
    orders.pipe("silver.orders", ["bronze.orders"], same, incremental=OF_BRONZE, on_rewrite="full_refresh")
    orders.anew()
    orders.run()
    orders.append("bronze.orders", id=[3])
    orders.run()
    if what == "removed":
        shutil.rmtree(orders.store.location("silver.orders"))
    else:
        DeltaTable(orders.store.location("silver.orders")).restore(0)
    orders.run()
    assert ids(orders) == [1, 2, 3]
    orders.append("bronze.orders", id=[4])
    orders.run()
    assert ids(orders) == [1, 2, 3, 4]


# Two at once


def test_two_that_run_at_once_write_each_change_once(orders: Job) -> None:
    """The second begins between the intent and the commit of the first, and does the same."""
    orders.run()
    orders.append("bronze.orders", id=[3])

    class Second:
        name = "second"
        ran = 0

        def other(self) -> None:
            if not self.ran:
                self.ran = 1
                app = orders.compose(state={"lease": "none"})
                with app:
                    app.run()

    second = Second()
    orders.close()
    inner, _ = crashes("begun", lambda step: second.other())
    app = App(
        ["entities", "state"],
        {"state": {"lease": "none"}},
        name="job",
        base_dir=orders.folder,
        environ={},
        plugins=[inner, WatermarkPlugin()],
    )
    app.mount(orders.entities, orders.pipes)
    with app:
        app.run()
    assert second.ran == 1
    orders.append("bronze.orders", id=[4])
    orders.run()
    assert ids(orders) == [1, 2, 3, 4]


def test_one_that_was_overtaken_writes_nothing_and_says_so(orders: Job) -> None:
    orders.run()
    orders.append("bronze.orders", id=[3])

    def overtake(step: str) -> None:
        state = orders.app.service(StateStore)  # type: ignore[type-abstract]
        assert state is not None
        orders.run()
        orders.append("bronze.orders", id=[4])
        orders.run()

    inner, _ = crashes("computed", overtake)
    orders.anew(state={"lease": "none"})
    config = {"state": {"lease": "none"}}
    app = App(
        ["entities", "state"],
        config,
        name="job",
        base_dir=orders.folder,
        environ={},
        plugins=[inner, WatermarkPlugin()],
    )
    app.mount(orders.entities, orders.pipes)
    with app:
        app.run()
    orders.run()
    assert ids(orders) == [1, 2, 3, 4]


@pytest.mark.parametrize("step", STEPS)
def test_changes_after_an_end_at_any_step(job: Job, step: str) -> None:
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", write_mode="merge", keys=["id"])
    job.pipe("silver.orders", ["bronze.orders"], same, incremental={"bronze.orders": "changes"})
    job.store.merge_to_entity("bronze.orders", pa.table({"id": [1, 2]}))
    job.run()
    job.merge("bronze.orders", id=[3])
    job.delete("bronze.orders", "id = 1")
    crashed(job, step)
    job.merge("bronze.orders", id=[1])
    job.delete("bronze.orders", "id = 2")
    job.run()
    assert ids(job) == [1, 3]


@pytest.mark.parametrize("step", STEPS)
def test_a_resumed_run_gives_each_row_once(orders: Job, step: str) -> None:
    orders.run()
    orders.append("bronze.orders", id=[3])
    crashed(orders, step)
    orders.append("bronze.orders", id=[4])
    with contextlib.suppress(PlanError):
        # There may be nothing left of it.
        resume_run(orders.app)
    assert ids(orders)[:3] == [1, 2, 3]
    orders.run()
    assert ids(orders) == [1, 2, 3, 4]


def test_a_sibling_that_fails_keeps_no_watermark_back(orders: Job) -> None:
    orders.entities.entity("silver.other", write_mode="append")

    def fails(bronze_orders: Any) -> Any:
        raise RuntimeError("broken")

    orders.pipe("silver.other", ["bronze.orders"], fails, incremental=OF_BRONZE)
    orders.anew()
    for number in (3, 4):
        with pytest.raises(RunFailed, match="broken"):
            orders.run()
        orders.append("bronze.orders", id=[number])
    found = orders.manager.get_watermark("bronze.orders", "silver.orders")
    assert found is not None
    assert found.version == 1
    assert orders.manager.get_watermark("bronze.orders", "silver.other") is None
    assert ids(orders) == [1, 2, 3]


def test_a_retry_reads_the_same_and_writes_it_once(orders: Job) -> None:
    tries: list[int] = []

    def second_time(bronze_orders: Any) -> Any:
        tries.append(bronze_orders.count())
        if len(tries) == 1:
            orders.append("bronze.orders", id=[3])
            raise ConnectionError("once")
        return bronze_orders

    orders.pipes = type(orders.pipes)()
    orders.pipe("silver.orders", ["bronze.orders"], second_time, incremental=OF_BRONZE, retry=2)
    orders.anew()
    orders.run()
    assert tries == [2, 2]
    orders.run()
    assert ids(orders) == [1, 2, 3]
