"""Any history of a source, read at any moments and in any slices, ends with the target of a full computation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kindling_entities.engines.embedded import EmbeddedEngine
from tests.watermark.conftest import FEED, Job

IDS, GROUPS, VALUES = st.integers(1, 4), st.sampled_from("abc"), st.integers(0, 3)
ROWS = st.dictionaries(IDS, st.tuples(GROUPS, VALUES), min_size=1, max_size=4)
STEP = st.one_of(
    st.tuples(st.just("merge"), ROWS),
    st.tuples(st.just("overwrite"), ROWS),
    st.tuples(st.just("delete"), IDS),
    st.tuples(st.just("dimension"), st.tuples(GROUPS, VALUES)),
    st.tuples(st.just("forget dimension"), GROUPS),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("run"), st.none()),
)
# `make chaos` asks for more, and for others each time.
MORE = os.environ.get("KINDLING_TEST_EXAMPLES")
EXAMPLES = settings(
    max_examples=int(MORE or 15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=MORE is None,
)


def table(rows: dict[int, tuple[str, int]]) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(list(rows), pa.int64()),
            "grp": pa.array([row[0] for row in rows.values()], pa.string()),
            "v": pa.array([row[1] for row in rows.values()], pa.int64()),
        }
    )


def kept(bronze: Any) -> Any:
    """A filter and a key that depends on values: rows come, go and move."""
    return bronze.where("v > 0").selectExpr("concat(grp, id) as key", "id", "v")


def totals(bronze: Any) -> Any:
    return bronze.groupBy("grp").agg({"v": "sum", "id": "count"}).toDF("grp", "a", "b")


def named(bronze: Any, dim: Any) -> Any:
    return bronze.join(dim, "grp", "left").selectExpr("id", "grp", "v", "name")


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedEngine]:
    """One engine for all examples; each job would start one of its own."""
    made = EmbeddedEngine()
    made.start()
    yield made
    made.stop()


class World:
    """A source, a dimension, and pipes that read both in each way."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.job = job = Job(folder)
        job.entities.entity("s.bronze", write_mode="merge", keys=["id"], properties=FEED)
        job.entities.entity("s.dim", write_mode="merge", keys=["grp"], properties=FEED)
        job.entities.entity("t.kept", write_mode="merge", keys=["key"])
        job.entities.entity("t.history", scd=2, keys=["key"])
        job.entities.entity("t.totals", keys=["grp"])
        job.entities.entity("t.named", keys=["id"])
        one = {"bronze": "s.bronze"}
        both = {"bronze": "s.bronze", "dim": "s.dim"}
        changes: dict[str, Any] = {"incremental": {"s.bronze": "changes"}, **options}
        for name in ("t.kept", "t.history"):
            job.pipes.pipe(name, inputs=one, output=name, **changes)(kept)
        affected: dict[str, Any] = {"incremental": {"s.bronze": "affected"}, "affected_by": {"s.bronze": ["grp"]}}
        job.pipes.pipe("t.totals", inputs=one, output="t.totals", **affected)(totals)
        job.pipes.pipe(
            "t.named",
            inputs=both,
            output="t.named",
            incremental={"s.bronze": "affected", "s.dim": "affected"},
            affected_by={"s.bronze": ["grp"], "s.dim": {"grp": "grp"}},
        )(named)

    def do(self, step: str, what: Any) -> None:
        job = self.job
        if step == "merge":
            job.store.merge_to_entity("s.bronze", table(what))
        elif step == "overwrite":
            job.store.write_to_entity("s.bronze", table(what))
        elif step == "delete":
            job.delete("s.bronze", f"id = {what}")
        elif step == "dimension":
            job.store.merge_to_entity("s.dim", pa.table({"grp": [what[0]], "name": [f"name {what[1]}"]}))
        elif step == "forget dimension":
            job.delete("s.dim", f"grp = '{what}'")
        elif step == "compact":
            job.store.tables.maintain("s.bronze", dry_run=False)
        else:
            job.run()

    def check(self) -> None:
        job = self.job
        bronze, dim = job.store.read_entity("s.bronze"), job.store.read_entity("s.dim")
        for name, frame in (("t.kept", kept(bronze)), ("t.totals", totals(bronze)), ("t.named", named(bronze, dim))):
            assert job.rows(name) == self.plain(frame), name
        current = job.store.read_entity("t.history").where("is_current").select("key", "id", "v")
        assert self.plain(current) == self.plain(kept(bronze))

    def plain(self, frame: Any) -> list[tuple[Any, ...]]:
        read = self.job.store.engine.to_reader(frame).read_all().to_pylist()
        return sorted((tuple(row.values()) for row in read), key=repr)


@given(
    first=ROWS,
    history=st.lists(STEP, min_size=1, max_size=8),
    options=st.sampled_from([{}, {"max_versions": 1}, {"max_versions": 2}, {"max_rows": 2}]),
)
@EXAMPLES
def test_changes_and_affected(
    shared: EmbeddedEngine, first: dict[int, tuple[str, int]], history: list[tuple[str, Any]], options: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), options)
        try:
            use(world.job, shared)
            world.do("dimension", ("a", 0))
            world.do("merge", first)
            for step, what in history:
                world.do(step, what)
            world.job.run()
            world.check()
        finally:
            world.job.close()


@given(
    batches=st.lists(st.one_of(st.lists(IDS, min_size=0, max_size=3), st.just("run")), min_size=1, max_size=8),
    options=st.sampled_from([{}, {"max_versions": 1}, {"max_rows": 2}]),
)
@EXAMPLES
def test_appends(shared: EmbeddedEngine, batches: list[Any], options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder))
        job.entities.entity("s.bronze", write_mode="append")
        job.entities.entity("t.all", write_mode="append")
        more: dict[str, Any] = {"incremental": {"s.bronze": "appends"}, **options}
        job.pipes.pipe("t.all", inputs={"bronze": "s.bronze"}, output="t.all", **more)(lambda bronze: bronze)
        try:
            use(job, shared)
            job.append("s.bronze", id=[0])
            expected = [0]
            for batch in batches:
                if batch == "run":
                    job.run()
                else:
                    job.append("s.bronze", id=pa.array(batch, pa.int64()))
                    expected += batch
            job.run()
            assert [row[0] for row in job.rows("t.all")] == sorted(expected)
        finally:
            job.close()


def use(job: Job, engine: EmbeddedEngine) -> None:
    """Have a job compute on an engine that outlives it."""

    class Lasting:
        def __getattr__(self, name: str) -> Any:
            return (lambda: None) if name == "stop" else getattr(engine, name)

    class Lends:
        name = "lends"

        from kindling_core import hookimpl

        @hookimpl
        def kindling_engines(self) -> dict[str, Any]:
            return {"embedded": lambda app: Lasting()}

    job.anew(plugins=[Lends()])
