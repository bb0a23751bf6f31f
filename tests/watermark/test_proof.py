"""``kindling watermarks verify`` finds what increments got wrong, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from kindling_watermark.declare.options import declared
from kindling_watermark.proof import Proof, Prover
from kindling_watermark.run.work import Works
from tests.watermark.conftest import FEED, Job


def prove(job: Job, folder: Path, pipe_id: str = "silver.orders") -> Proof:
    declaration = declared(job.app.pipes.get_pipe_definition(pipe_id))
    assert declaration is not None
    job.store.engine.activate()
    prover = Prover(job.app, job.store, job.app.service(Works), str(folder))
    return prover.prove(declaration, job.manager.records.get(pipe_id).state)


def job_of(job: Job, **output: Any) -> Job:
    job.entities.entity("bronze.orders", write_mode="merge", keys=["id"], properties=FEED)
    job.entities.entity("silver.orders", **output)
    changes = {"bronze.orders": "changes"}
    job.pipe(
        "silver.orders", ["bronze.orders"], lambda bronze_orders: bronze_orders.where("v < 5"), incremental=changes
    )
    job.merge("bronze.orders", id=[1, 2], v=[1, 2])
    job.run()
    job.merge("bronze.orders", id=[1, 3], v=[7, 3])
    job.delete("bronze.orders", "id = 2")
    job.run()
    return job


def test_what_increments_made_equals_a_full_computation(job: Job, tmp_path: Path) -> None:
    job_of(job, write_mode="merge", keys=["id"])
    # What was not read so far is no difference.
    job.merge("bronze.orders", id=[4], v=[4])
    proof = prove(job, tmp_path / "side")
    assert (proof.rows, proof.differences) == ((1, 1), [])
    assert job.rows("silver.orders") == [(3, 3)]


def test_a_row_that_should_not_be_there_is_shown(job: Job, tmp_path: Path) -> None:
    job_of(job, write_mode="merge", keys=["id"])
    job.store.merge_to_entity("silver.orders", pa.table({"id": [9], "v": [9]}))
    proof = prove(job, tmp_path / "side")
    assert proof.rows == (2, 1)
    assert any("9" in line for line in proof.differences)


def test_of_a_history_the_current_rows_are_compared(job: Job, tmp_path: Path) -> None:
    job_of(job, scd=2, keys=["id"])
    proof = prove(job, tmp_path / "side")
    assert (proof.rows, proof.differences, proof.note) == ((1, 1), [], "the rows that are current")


def test_a_pipe_that_has_not_run_is_not_compared(job: Job, tmp_path: Path) -> None:
    job.entities.entity("bronze.orders", write_mode="append")
    job.entities.entity("silver.orders", write_mode="append")
    job.pipe(
        "silver.orders",
        ["bronze.orders"],
        lambda bronze_orders: bronze_orders,
        incremental={"bronze.orders": "appends"},
    )
    assert prove(job, tmp_path / "side").note == "the pipe has not run so far"
