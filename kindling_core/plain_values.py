"""Makes values that JSON can carry, bounded in size: what goes into signals and into the history of runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from numbers import Integral, Real
from typing import Any

MOST_CHARACTERS = 16_384
"""Of all texts and names of a mapping together."""

LONGEST_TEXT = 2_000
"""Characters of a text."""

MOST_ITEMS = 200
"""Items of a list or mapping."""

_DEEPEST = 6
# What a number may take in JSON.
_DIGITS = 20
_CUT = "..."


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy that JSON can carry, and that fits into a message.

    Times become ISO 8601, objects of other kinds their text, and numbers that JSON has no word for, such as NaN, too.
    What is too long, too many or too deep is cut, and ends with "...".
    Secrets have to be masked before: the half of a secret at a cut would be masked no more.
    """
    if not values:
        return {}
    made = _Writer().mapping(values, 0)
    assert isinstance(made, dict)
    return made


class _Writer:
    """Copies a mapping; knows how much room is left."""

    def __init__(self) -> None:
        self._left = MOST_CHARACTERS

    def value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (Integral, Real)):
            return self._number(value)
        if isinstance(value, (datetime, date, time)):
            return value.isoformat()
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._list(value, depth)
        return self.text(_text_of(value))

    def _number(self, value: Any) -> Any:
        try:
            number = int(value) if isinstance(value, Integral) else float(value)
        except (ValueError, OverflowError, TypeError):
            return self.text(_text_of(value))
        self._left -= _DIGITS
        if isinstance(number, float):
            return number if math.isfinite(number) else str(number)
        # Python refuses to print integers of some thousand digits, and JSON with it.
        return number if number.bit_length() <= 64 else f"an integer of {number.bit_length()} bits"

    def text(self, text: str) -> str:
        room = min(LONGEST_TEXT, max(self._left, 0))
        # A name of a file may hold what is no Unicode, which no JSON document can carry.
        cut = text[:room].encode("utf-8", "backslashreplace").decode()
        self._left -= len(cut)
        return cut if len(text) <= room else f"{cut}{_CUT}"

    def mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any] | str:
        if depth >= _DEEPEST:
            return _CUT
        made: dict[str, Any] = {}
        for index, (key, value) in enumerate(values.items()):
            if index >= MOST_ITEMS or self._left <= 0:
                made[_CUT] = f"{len(values) - index} more"
                break
            name = self.text(key if isinstance(key, str) else _text_of(key))
            self._left -= 1
            made[name] = self.value(value, depth + 1)
        return made

    def _list(self, values: Iterable[Any], depth: int) -> list[Any] | str:
        if depth >= _DEEPEST:
            return _CUT
        made: list[Any] = []
        for index, value in enumerate(values):
            if index >= MOST_ITEMS or self._left <= 0:
                made.append(_CUT)
                break
            self._left -= 1
            made.append(self.value(value, depth + 1))
        return made


def _text_of(value: object) -> str:
    """Return the text of an object, whatever its class does when it is asked for it."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - somebody else's class
        return f"a {type(value).__name__} whose text cannot be read ({type(error).__name__})"
