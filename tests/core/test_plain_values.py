"""What goes into signals and history can be carried by JSON, whatever a feature put there, and is bounded."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindling_core.plain_values import MOST_ITEMS, plain_values


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (1.5, 1.5),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        ("ü", "ü"),
        ("\udce9", "\\udce9"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00:00:00+00:00"),
        (Decimal("1.10"), "1.10"),
        ((1, [2]), [1, [2]]),
        ({"a": {1: None}}, {"a": {"1": None}}),
        (10**50, "an integer of 167 bits"),
        (Odd(), "a Odd whose text cannot be read (RuntimeError)"),
    ],
)
def test_each_value_becomes_a_plain_one(value: Any, plain: Any) -> None:
    assert plain_values({"x": value}) == {"x": plain}


def test_what_is_too_much_is_cut_and_says_so() -> None:
    many = plain_values({"x": list(range(10_000)), "y": "y" * 10_000, "z": {str(n): n for n in range(10_000)}})
    assert len(many["x"]) == MOST_ITEMS + 1
    assert many["x"][-1] == "..."
    assert many["y"].endswith("...")
    assert many["z"]["..."] == f"{10_000 - MOST_ITEMS} more"
    circle: list[Any] = []
    circle.append(circle)
    assert "..." in json.dumps(plain_values({"x": circle}))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=50,
)


@given(st.dictionaries(st.text(), ANY))
def test_whatever_is_given_json_carries_it(values: dict[str, Any]) -> None:
    text = json.dumps(plain_values(values), allow_nan=False)
    assert text.encode()
    assert plain_values(json.loads(text)) == json.loads(text)
