"""Expectations of a job: how they are declared, planned with and reported."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, Pipes, PlanError, RunFailed
from kindling_core.cli.main import run_command_line
from kindling_entities import (
    Entities,
    EntityDefinitionError,
    EntityStore,
    Expectation,
    expect,
    expect_or_drop,
    expect_or_fail,
    expect_or_quarantine,
    foreign_key,
    not_null,
    unique,
)


def app_of(root: Path, *collections: Any) -> App:
    app = App(["entities"], {"entities": {"root": str(root)}}, environ={})
    for collection in collections:
        app.mount(collection)
    return app


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("delay >", r"expectation 'd' does not parse at line 1, column 7, near '>': .*: delay >"),
        ("delay > 1\n  and (delay <", r"does not parse at line 2, column \d+"),
        ("delay > 'x", "does not parse: a quote or a comment is not closed"),
        ("sum(delay) > 1", r"aggregates \(SUM\(delay\)\), but a condition looks at one row"),
        ("delay in (select d from other)", "holds a query, but a condition looks at one row"),
        ("dela > 1", "'dela' is not one of its columns. Did you mean 'delay'?"),
    ],
)
def test_a_condition_that_cannot_work_is_found_when_the_job_is_composed(
    tmp_path: Path, condition: str, told: str
) -> None:
    entities = Entities()
    entities.entity("t.f", columns={"delay": "int"}, expectations=[expect("d", condition)])
    with pytest.raises(EntityDefinitionError, match=r"test_expectations:\d+: entity 't\.f': ") as caught:
        app_of(tmp_path, entities)
    assert caught.match(told)


def test_a_condition_to_delete_by_is_parsed_too(tmp_path: Path) -> None:
    entities = Entities()
    entities.entity("t.f", scd=2, keys=["k"], delete_when="op = 'D' and")
    with pytest.raises(EntityDefinitionError, match="delete_when does not parse at line 1, column 12, near 'and'"):
        app_of(tmp_path, entities)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: expect("", "a > 0"), "is no name of an expectation"),
        (lambda: expect("a", " "), "has no condition"),
        (lambda: not_null("a", action="quarantin"), "action is 'quarantin'.*Did you mean 'quarantine'"),
        (lambda: unique(), "names no column"),
        (lambda: foreign_key(["a", "b"], "t.x", "a"), r"2 column\(s\) cannot refer to 1"),
        (lambda: Entities().entity("t.f", expectations=["a > 0"]), "'a > 0' is no expectation"),
        (lambda: Entities().entity("t.f", expectations=[expect("a", "a"), expect("a", "b")]), "two expectations"),
        (lambda: Entities().entity("t.f", columns={"a": "int"}, expectations=[not_null("b")]), "'b' is not one of"),
        (lambda: Entities().source("t.f", path="x.csv", expectations=[not_null("b")]), "a source is never written"),
    ],
)
def test_a_wrong_declaration_is_refused(make: Callable[[], Expectation], told: str) -> None:
    with pytest.raises(EntityDefinitionError, match=told):
        make()


def flights() -> tuple[Entities, Pipes]:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.airlines")
    entities.entity(
        "t.flights",
        expectations=[
            foreign_key("carrier", "t.airlines", action="quarantine"),
            expect_or_drop("positive", "id > 0"),
            expect("small", "id < 3"),
        ],
    )
    entities.entity("t.review")

    # Registered against the order in which they must run.
    @pipes.pipe("review", inputs=["t.flights__quarantine"], output="t.review")
    def review(t_flights__quarantine: Any) -> Any:
        return t_flights__quarantine.select("id", "_quarantine_reason")

    @pipes.pipe("flights", output="t.flights")
    def load() -> Any:
        return pa.table({"id": [-1, 1, 2, 3], "carrier": ["AA", "AA", "XX", "UA"]})

    @pipes.pipe("airlines", output="t.airlines")
    def airlines() -> Any:
        return pa.table({"carrier": ["AA", "UA"]})

    return entities, pipes


def test_what_a_foreign_key_refers_to_is_written_first_and_the_quarantine_is_read_last(tmp_path: Path) -> None:
    with app_of(tmp_path, *flights()) as app:
        assert app.plan().generations == [["airlines"], ["flights"], ["review"]]
        report = app.run()
        review = app.service(EntityStore).read_entity("t.review").toArrow().to_pylist()
    assert review == [{"id": 2, "_quarantine_reason": "carrier in t.airlines"}]
    told = report.pipe("flights")
    assert told.note == "carrier in t.airlines: 1 quarantined; positive: 1 dropped; small: 1 not met"
    assert told.rows == 2
    assert told.details["expectations"][2] == {
        "name": "small",
        "action": "warn",
        "kind": "condition",
        "rows_passed": 3,
        "rows_failed": 1,
    }
    assert "small: 1 not met" in str(report)
    json.dumps(report.to_dict())


def test_an_unknown_reference_and_a_pipe_into_a_quarantine_are_planning_errors(tmp_path: Path) -> None:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.f", expectations=[foreign_key("a", "t.airlins")])
    entities.entity("t.airlines")

    @pipes.pipe("f", output="t.f")
    def load() -> Any:
        return pa.table({"a": [1]})

    with app_of(tmp_path, entities, pipes) as app, pytest.raises(PlanError, match=r"'t\.airlins'.*'t\.airlines'"):
        app.plan()

    entities, pipes = Entities(), Pipes()
    entities.entity("t.f", expectations=[expect_or_quarantine("a", "a > 0")])

    @pipes.pipe("g", output="t.f__quarantine")
    def into() -> Any:
        return pa.table({"a": [1]})

    with app_of(tmp_path, entities, pipes) as app, pytest.raises(PlanError, match=r"written together with 't\.f'"):
        app.plan()


def test_a_failed_expectation_fails_the_pipe_and_its_counts_are_in_the_report(tmp_path: Path) -> None:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.f", expectations=[expect_or_fail("positive", "a > 0"), not_null("a", action="warn")])

    @pipes.pipe("f", output="t.f")
    def load() -> Any:
        return pa.table({"a": [1, -1, None]})

    with app_of(tmp_path, entities, pipes) as app, pytest.raises(RunFailed, match=r"'positive' \(2 of 3 rows\)") as run:
        app.run()
    report = pickle.loads(pickle.dumps(run.value.report))
    assert [one["rows_failed"] for one in report.pipe("f").details["expectations"]] == [2, 1]
    assert not (tmp_path / "t" / "f" / "_delta_log").exists()


def test_the_command_line_tells_what_was_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job_with_expectations.py").write_text(
        "import pyarrow as pa\n"
        "from kindling_core import Pipes\n"
        "from kindling_entities import Entities, expect_or_quarantine\n"
        "entities, pipes = Entities(), Pipes()\n"
        "entities.entity('t.f', expectations=[expect_or_quarantine('positive', 'a > 0')])\n"
        "@pipes.pipe('f', output='t.f')\n"
        "def f():\n"
        "    return pa.table({'a': [1, -1]})\n"
    )
    (tmp_path / "kindling.toml").write_text(
        '[job]\nname = "small"\nmodules = ["job_with_expectations"]\nfeatures = ["entities"]\n'
        '[entities]\nroot = "lake"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["run"]) == 0
    assert "positive: 1 quarantined" in capsys.readouterr().out
    assert run_command_line(["show", "t.f__quarantine", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(row["a"], row["_quarantine_reason"]) for row in shown] == [(-1, "positive")]
    assert run_command_line(["entities", "--json"]) == 0
    assert [row["entity_id"] for row in json.loads(capsys.readouterr().out)] == ["t.f", "t.f__quarantine"]
