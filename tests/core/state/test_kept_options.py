"""What is kept of the options of a run, and what of it a run that continues it gets."""

from __future__ import annotations

from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from kindling_core import PlanError
from kindling_core.state import RunStart
from kindling_core.state.kept_options import NOT_KEPT, kept_options, options_to_continue

SECRET = "hunter2hunter2"


class Colour(Enum):
    RED = "red"


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (3, 3),
        (None, None),
        ("x" * 50_000, "x" * 50_000),
        (("a", 1.5), ["a", 1.5]),
        ({"b", "a"}, ["a", "b"]),
        ({"from": date(2026, 1, 2)}, {"from": "2026-01-02"}),
        (Path("a") / "b", "a/b"),
        (Colour.RED, "red"),
        (object(), NOT_KEPT),
        (float("nan"), NOT_KEPT),
        (CIRCLE, NOT_KEPT),
        ([f"db {SECRET}"], NOT_KEPT),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_kept_as_json_carries_it_or_not_at_all(value: object, kept: object) -> None:
    assert kept_options({"x": value}, lambda text: text.replace(SECRET, "***")) == {"x": kept}


def test_a_value_whose_name_is_that_of_a_secret_is_not_kept() -> None:
    assert kept_options({"password": "a", "token": None}, str) == {"password": NOT_KEPT, "token": None}


def test_what_was_not_kept_has_to_be_given_again() -> None:
    start = RunStart("r1", "r1", "job", "batch", "2026", "h", 1, options={"days": 3, "password": NOT_KEPT})
    with pytest.raises(PlanError, match="kindling resume r1 --password=..."):
        options_to_continue(start, {"days": 4})
    assert options_to_continue(start, {"password": "a"}) == {"days": 3, "password": "a"}
