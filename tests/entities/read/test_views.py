"""Views: computed when they are read, stored nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, PipeDefinitionError, Pipes, PlanError, RunFailed
from kindling_entities import Entities, EntityStore, UnsupportedError, expect, foreign_key
from kindling_entities.errors import EntityError


def job(tmp_path: Path, calls: list[str] | None = None) -> App:
    entities, pipes = Entities(), Pipes()
    for name in ("numbers", "even", "big", "total"):
        entities.entity(f"t.{name}")

    @pipes.pipe("numbers", output="t.numbers")
    def numbers() -> Any:
        return pa.table({"n": list(range(10))})

    @pipes.pipe("even", inputs=["t.numbers"], output="t.even", materialize="view")
    def even(t_numbers: Any) -> Any:
        if calls is not None:
            calls.append("even")
        return t_numbers.where("n % 2 = 0")

    @pipes.pipe("big", inputs=["t.even"], output="t.big", materialize="view")
    def big(t_even: Any) -> Any:
        return t_even.where("n > 3")

    @pipes.pipe("total", inputs=["t.big", "t.even"], output="t.total")
    def total(t_big: Any, t_even: Any) -> Any:
        return t_big.selectExpr("sum(n) as n").union(t_even.selectExpr("sum(n) as n"))

    app = App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={})
    # The pipes first: neither order of mounting may matter.
    app.mount(pipes)
    app.mount(entities)
    return app


def values(app: App, entity_id: str) -> list[int]:
    table = app.service(EntityStore).read_entity(entity_id).toArrow()
    return sorted(table["n"].to_pylist())


def test_readers_of_a_run_get_what_the_pipe_of_the_view_returned(tmp_path: Path) -> None:
    calls: list[str] = []
    with job(tmp_path, calls) as app:
        assert app.plan().generations == [["numbers"], ["even"], ["big"], ["total"]]
        report = app.run()
        assert calls == ["even"]
        assert values(app, "t.total") == [18, 20]
        assert (report.pipe("even").rows, report.pipe("even").note) == (0, "a view, nothing stored")
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["numbers", "total"]


def test_a_view_is_computed_anew_for_whoever_reads_it_outside_its_run(tmp_path: Path) -> None:
    calls: list[str] = []
    with job(tmp_path, calls) as app:
        app.run(["numbers"])
        assert values(app, "t.big") == [4, 6, 8]
        app.service(EntityStore).append_to_entity("t.numbers", pa.table({"n": [10]}))
        assert values(app, "t.big") == [4, 6, 8, 10]
        # The pipes of the views are not selected.
        app.run(["total"])
        assert values(app, "t.total") == [28, 30]
        assert len(calls) == 4


def test_a_view_has_neither_versions_nor_writes_nor_a_table(tmp_path: Path) -> None:
    with job(tmp_path) as app:
        app.run()
        store = app.service(EntityStore)
        assert store.check_entity_exists("t.even")
        assert store.tables.ids() == ["t.numbers", "t.total"]
        for call in (
            lambda: store.read_entity("t.even", version=1),
            lambda: store.get_entity_version("t.even"),
            lambda: store.write_to_entity("t.even", pa.table({"n": [1]})),
        ):
            with pytest.raises(UnsupportedError, match=r"'t\.even' is a view"):
                call()
        assert store.get_entity_versions(["t.even", "t.numbers"])["t.numbers"] == 0


def test_a_slip_in_a_view_fails_its_own_pipe(tmp_path: Path) -> None:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.v")

    @pipes.pipe("v", output="t.v", materialize="view")
    def v() -> Any:
        from pyspark.sql import SparkSession

        session = SparkSession.getActiveSession()
        assert session is not None
        return session.range(3).select("nope")

    with App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={}) as app:
        app.mount(entities, pipes)
        with pytest.raises(RunFailed, match="Pipe 'v' failed.*nope"):
            app.run()


@pytest.mark.parametrize(
    ("declared", "option", "told"),
    [
        ({}, {"materialize": "veiw"}, "materialize is 'veiw', not 'table' or 'view'. Did you mean 'view'"),
        ({"expectations": [expect("a", "n > 0")]}, {}, "it declares expectations"),
        ({"expectations": [foreign_key("n", "t.x")]}, {}, "it declares expectations"),
        ({"scd": 2, "keys": ["n"]}, {}, "it declares scd"),
        ({"write_mode": "append"}, {}, "it declares write_mode 'append'"),
        ({}, {"output": None}, "a view needs an output"),
    ],
)
def test_what_cannot_be_a_view_is_refused_when_the_job_is_composed(
    declared: dict[str, Any], option: dict[str, Any], told: str
) -> None:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.v", **declared)

    @pipes.pipe("v", **({"output": "t.v", "materialize": "view"} | option))
    def v() -> Any:
        return pa.table({"n": [1]})

    with App(["entities"], {}, environ={}) as app, pytest.raises(PipeDefinitionError, match=told):
        app.mount(entities, pipes)


def test_views_in_a_circle_are_told_when_planned_and_when_read(tmp_path: Path) -> None:
    entities, pipes = Entities(), Pipes()
    for name, other in (("a", "b"), ("b", "a")):
        entities.entity(f"t.{name}")
        pipes.pipe(name, inputs={"x": f"t.{other}"}, output=f"t.{name}", materialize="view")(lambda x: x)
    with App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={}) as app:
        app.mount(entities, pipes)
        with pytest.raises(PlanError, match="a -> b -> a"):
            app.plan()
        with pytest.raises(EntityError, match=r"circle: t\.a -> t\.b -> t\.a"):
            app.service(EntityStore).read_entity("t.a")
