from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindling_core.render._words import clean, columns_of, rows_text, seconds_text, shortened


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "<1 ms"),
        (0.0123, "12 ms"),
        (0.1, "0.10 s"),
        (1.5, "1.50 s"),
        (75.2, "1 min 15 s"),
        (119.7, "2 min 00 s"),
        (7500.0, "2 h 05 min"),
    ],
)
def test_a_duration_has_the_digits_that_matter(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_rows_have_a_unit_and_thousands() -> None:
    assert (rows_text(1), rows_text(336776)) == ("1 row", "336,776 rows")


@given(st.text(), st.integers(8, 40))
def test_a_shortened_name_fits(text: str, limit: int) -> None:
    assert columns_of(shortened(text, limit)) <= limit


@given(st.text(st.characters(), max_size=30))
def test_a_clean_name_stays_on_its_line_and_can_be_written(text: str) -> None:
    assert clean(text).encode("utf-8") is not None
    assert len(clean(text).splitlines()) <= 1


def test_a_wide_character_takes_two_columns() -> None:
    assert columns_of("金x") == 3
