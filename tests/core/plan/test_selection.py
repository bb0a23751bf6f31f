"""Selection expressions."""

from __future__ import annotations

import pytest

from kindling_core.errors import SelectionError
from kindling_core.pipes import PipeMetadata
from kindling_core.plan.selection import select


def pipe(pipe_id, inputs=(), output=None, tags=None):
    return PipeMetadata(pipe_id, pipe_id, list(inputs), output, tags or {}, lambda **inputs: None)


PIPES = [
    pipe("load", ["raw.flights"], "bronze.flights", {"nightly": ""}),
    pipe("clean", ["bronze.flights"], "silver.flights", {"team": "ops"}),
    pipe("weather", [], "silver.weather", {"team": "met"}),
    pipe("join", ["silver.flights", "silver.weather"], "gold.delays", {"nightly": "", "team": "ops"}),
    pipe("mail", ["gold.delays"]),
]
ALL = ["load", "clean", "weather", "join", "mail"]


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        ([], ALL),
        (["clean"], ["clean"]),
        (["silver.flights"], ["clean"]),
        (["mail", "load"], ["load", "mail"]),
        (["+gold.delays"], ["load", "clean", "weather", "join"]),
        (["clean+"], ["clean", "join", "mail"]),
        (["+clean+"], ["load", "clean", "join", "mail"]),
        (["tag:nightly"], ["load", "join"]),
        (["tag:team"], ["clean", "weather", "join"]),
        (["tag:team=ops"], ["clean", "join"]),
        (["tag:team=o*"], ["clean", "join"]),
        (["+tag:team=met+"], ["weather", "join", "mail"]),
        (["silver.*"], ["clean", "weather"]),
        (["!mail"], ["load", "clean", "weather", "join"]),
        (["!tag:nightly"], ["clean", "weather", "mail"]),
        (["+join", "!+clean"], ["weather", "join"]),
        (["raw.flights+"], ["load", "clean", "join", "mail"]),
    ],
)
def test_an_expression_selects(expressions, expected):
    assert select(expressions, PIPES) == expected


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("silver.flihgts", "Did you mean 'silver.flights'"),
        ("tag:nigthly", "Did you mean 'nightly'"),
        ("tag:team=opps", "Did you mean 'team=ops'"),
        ("platinum.*", "matches no pipe"),
        ("!mial", "Did you mean 'mail'"),
        ("raw.flights", "'raw.flights+'"),
        ("+", "is not a selection"),
        ("", "is not a selection"),
        ("!", "is not a selection"),
        ("++join", "is not a selection"),
        ("tag:", "has the tag"),
    ],
)
def test_an_expression_that_names_nothing_is_an_error_that_helps(expression, hint):
    with pytest.raises(SelectionError) as caught:
        select([expression], PIPES)
    assert hint in str(caught.value)


def test_a_selection_that_removes_everything_is_an_error():
    with pytest.raises(SelectionError, match="Nothing is left"):
        select(["clean", "!clean"], PIPES)


def test_a_job_without_pipes_selects_nothing_quietly():
    assert select([], []) == []


def test_a_long_chain_does_not_recurse():
    chain = [pipe(f"p{i}", [f"e{i - 1}"] if i else [], f"e{i}") for i in range(5000)]
    assert len(select(["+p4999"], chain)) == 5000
