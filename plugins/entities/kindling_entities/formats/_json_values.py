"""Values of json to Arrow, without loss: the kinds that they have, and declared types."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from kindling_entities.formats._values import parsed

# Integers up to here are exact as a double too, so that they may share a column with fractions.
_EXACT = 2**53
_LARGEST_INTEGER = 10**38
# Kinds while types are looked for: integers beyond _EXACT, and numbers that only their text holds.
LARGE = pa.decimal128(19, 0)
NUMBERS_AS_TEXT = pa.large_string()


class Fraction(float):
    """A number with a point or an exponent, which keeps its text."""

    text: str

    def __new__(cls, text: str) -> Fraction:
        made = super().__new__(cls, text)
        made.text = text
        return made

    @property
    def exact(self) -> bool:
        """Whether a double prints back the number that was written."""
        return Decimal(self.text) == Decimal(repr(float(self))) if abs(self) != float("inf") else False


class Mismatch(Exception):
    """Two values have no type in common.

    Attributes:
        column: with dots into structs.
    """

    def __init__(self, column: str, known: str, other: str) -> None:
        self.column, self.known, self.other = column, known, other
        super().__init__(f"column {column!r} holds {known} and {other}")


def loads(text: str) -> Any:
    """Parse json, keeping the text of fractions.

    Raises:
        ValueError: it is no json, or an object names a key twice.
    """
    return json.loads(text, parse_float=Fraction, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} comes twice in an object")
    return made


def kind_of(value: Any, column: str) -> pa.DataType:
    """The kind of a value."""
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        if abs(value) <= _EXACT:
            return pa.int64()
        if -(2**63) <= value < 2**63:
            return LARGE
        return pa.decimal128(38, 0) if abs(value) < _LARGEST_INTEGER else NUMBERS_AS_TEXT
    if isinstance(value, Fraction):
        return pa.float64() if value.exact else NUMBERS_AS_TEXT
    if isinstance(value, float):
        return pa.float64()
    if isinstance(value, str):
        return pa.string()
    if isinstance(value, list):
        item: pa.DataType = pa.null()
        for element in value:
            item = unify(item, kind_of(element, column), column)
        return pa.list_(item)
    return pa.struct([(name, kind_of(inner, f"{column}.{name}")) for name, inner in value.items()])


def unify(first: pa.DataType, other: pa.DataType, column: str) -> pa.DataType:
    """The kind that holds the values of both.

    Raises:
        Mismatch: there is none.
    """
    if first == other or pa.types.is_null(other):
        return first
    if pa.types.is_null(first):
        return other
    numbers = [pa.int64(), LARGE, pa.decimal128(38, 0), pa.float64(), NUMBERS_AS_TEXT]
    if first in numbers and other in numbers:
        small, great = sorted((first, other), key=numbers.index)
        if great == pa.float64() and small != pa.int64():
            return NUMBERS_AS_TEXT
        return great
    if pa.types.is_list(first) and pa.types.is_list(other):
        return pa.list_(unify(first.value_type, other.value_type, column))
    if pa.types.is_struct(first) and pa.types.is_struct(other):
        fields = {field.name: field.type for field in first}
        for field in other:
            known = fields.get(field.name, pa.null())
            fields[field.name] = unify(known, field.type, f"{column}.{field.name}")
        return pa.struct(list(fields.items()))
    raise Mismatch(column, _word(first), _word(other))


def _word(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return "an array"
    if pa.types.is_struct(kind):
        return "an object"
    if kind == pa.string():
        return "a text"
    return "true or false" if pa.types.is_boolean(kind) else "a number"


def final(kind: pa.DataType) -> pa.DataType:
    """The type of a column whose values are of a kind; text where it holds nothing but nulls."""
    if pa.types.is_null(kind) or kind == NUMBERS_AS_TEXT:
        return pa.string()
    if kind == LARGE:
        return pa.int64()
    if pa.types.is_list(kind):
        return pa.list_(final(kind.value_type))
    if pa.types.is_struct(kind):
        # Parquet and Delta have no struct without fields.
        return pa.struct([(field.name, final(field.type)) for field in kind]) if kind.num_fields else pa.string()
    return kind


def column_of(values: Sequence[Any], kind: pa.DataType) -> tuple[pa.Array, list[int]]:
    """Convert values of json to a type.

    Returns:
        The values, null where one is none of the type, and the positions of those.
    """
    if _scalar(kind) and not pa.types.is_string(kind):
        texts: list[str | None] = []
        odd: list[int] = []
        for index, value in enumerate(values):
            if isinstance(value, list | dict) or not _goes(value, kind):
                odd.append(index)
                texts.append(None)
            else:
                texts.append(_text(value))
        made, refused = parsed(pa.array(texts, pa.string()), kind)
        return made, sorted([*odd, *refused])
    out, bad = [], []
    for index, value in enumerate(values):
        try:
            out.append(_fitted(value, kind))
        except ValueError:
            bad.append(index)
            out.append(None)
    return pa.array(out, kind), bad


def _scalar(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind)


def _goes(value: Any, kind: pa.DataType) -> bool:
    """Whether a scalar may stand for a type: true is no number, and 1 is not true."""
    return value is None or isinstance(value, str) or isinstance(value, bool) == pa.types.is_boolean(kind)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Fraction):
        return value.text
    return json.dumps(value, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    """Write nested values as json again, fractions by their text where a double would change them."""
    if isinstance(value, Fraction):
        return float(value) if value.exact else value.text
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return value


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """What ``pa.array`` takes for a value of a type.

    Raises:
        ValueError: the value is none of the type.
    """
    if value is None:
        return None
    if pa.types.is_string(kind):
        return _text(_plain(value) if isinstance(value, list | dict) else value)
    if pa.types.is_list(kind):
        if not isinstance(value, list):
            raise ValueError
        return [_fitted(element, kind.value_type) for element in value]
    if pa.types.is_map(kind):
        return [(_fitted(key, kind.key_type), _fitted(item, kind.item_type)) for key, item in _entries(value)]
    if pa.types.is_struct(kind):
        if not isinstance(value, dict):
            raise ValueError
        return {field.name: _fitted(value.get(field.name), field.type) for field in kind}
    if isinstance(value, list | dict) or not _goes(value, kind):
        raise ValueError
    made, refused = parsed(pa.array([_text(value)], pa.string()), kind)
    if refused:
        raise ValueError
    scalar = made[0]
    # Python has no dates beyond the year 9999; Arrow takes the number of days or microseconds.
    return scalar.value if pa.types.is_temporal(kind) else scalar.as_py()


def _entries(value: Any) -> list[tuple[Any, Any]]:
    """The pairs of a map: an object, or an array of objects with ``key`` and ``value``."""
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list) and all(isinstance(entry, dict) and set(entry) == {"key", "value"} for entry in value):
        entries = [(entry["key"], entry["value"]) for entry in value]
    else:
        raise ValueError
    if any(key is None for key, _ in entries):
        raise ValueError
    return entries
