"""When two values from different engines are the same. Pure functions of Python values."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

# Sums of doubles depend on the order of addition, which no engine promises.
RELATIVE_TOLERANCE = 1e-9


def identity(value: Any) -> str:
    """A text that is equal exactly where two values are: 1.50 and 1.5, 0.0 and -0.0, maps in another order are."""
    if value is None:
        return "~"
    if isinstance(value, str):
        return f"'{len(value)}:{value};"
    if isinstance(value, bool):
        return f"?{value:d}"
    if isinstance(value, float) and not math.isfinite(value):
        return "#nan" if math.isnan(value) else f"#{value}"
    if isinstance(value, int):
        text = str(value).rstrip("0")
        return f"#{text}e{len(str(value)) - len(text)}" if value else "#0"
    if isinstance(value, (float, Decimal)):
        return f"#{_number(value)}"
    if isinstance(value, bytes):
        return _framed("x", [value.hex()])
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo is None else value.astimezone(dt.timezone.utc)
        return f"@{moment.isoformat()}"
    if is_map(value):
        return _framed("m", sorted(identity(key) + identity(item) for key, item in value))
    if isinstance(value, (list, tuple)):
        return _framed("l", map(identity, value))
    if isinstance(value, dict):
        return _framed("s", map(identity, value.values()))
    return f"{type(value).__name__}:{value}"


def identities(values: Sequence[Any]) -> str:
    """The same for several values in their order."""
    return _framed("k", map(identity, values))


def is_map(value: Any) -> bool:
    """Whether this is how Arrow hands out a map that has entries."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, tuple) for item in value)


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same; floating-point ones to nine digits, wherever they are."""
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=RELATIVE_TOLERANCE)
    if is_map(left) and is_map(right):
        found = {identity(key): item for key, item in right}
        return len(left) == len(right) and all(
            (name := identity(key)) in found and same(item, found[name]) for key, item in left
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return identity(left) == identity(right)


def rank(value: Any) -> Any:
    """The sort key that pairs the rows of a key: values that are the same to nine digits nearly always meet."""
    if isinstance(value, float):
        return (0, 0.0, "nan") if math.isnan(value) else (1, float(f"{value:.7g}") + 0.0, "")
    return (2, 0.0, identity(value))


def _framed(sign: str, texts: Any) -> str:
    # The length before each text: no two lists of texts read alike.
    return sign + "".join(f"{len(text)}:{text}" for text in texts) + ";"


def _number(value: float | Decimal) -> str:
    if isinstance(value, Decimal) and not value.is_finite():
        return str(value)
    # A double is a binary fraction, so its decimal digits are exact and end.
    sign, digits, exponent = Decimal(value).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    return f"{'-' if sign else ''}{kept}e{exponent + len(text) - len(kept)}" if kept else "0"
