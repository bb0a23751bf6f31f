"""Texts to typed values without loss: a text that is not exactly a value of the type is reported, never changed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection

import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"
_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?"
_ZONE = r"(Z|[+-]\d{2}(:?\d{2})?)"
_ZONED = r"\d{2}:\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)$"


def is_instant(kind: pa.DataType) -> bool:
    """Whether this is a timestamp with a zone."""
    return pa.types.is_timestamp(kind) and kind.tz is not None


def parsed(
    texts: pa.Array, kind: pa.DataType, nulls: Collection[str] = (), hexadecimal: bool = True
) -> tuple[pa.Array, list[int]]:
    """Convert texts to a type.

    Args:
        nulls: texts that mean null, besides the empty text; those of text columns were replaced before.
        hexadecimal: False where the caller knows that no text holds ``0x``, which Arrow takes for a number.

    Returns:
        The values, null where a text is none, and the positions of those texts.
    """
    if pa.types.is_string(kind):
        return texts, []
    if pa.types.is_null(texts.type):
        return pa.nulls(len(texts), kind), []
    convert = _converter(kind)
    if not (hexadecimal and pa.types.is_integer(kind) and _holds_x(texts)):
        try:
            made = convert(texts)
        except pa.ArrowInvalid:
            pass
        else:
            if not (pa.types.is_floating(kind) and pc.any(pc.is_inf(made)).as_py()):
                return made, []
    cleaned = _cleaned(texts, kind, nulls)
    plausible = pc.match_substring_regex(cleaned, _pattern(kind))
    rest = pc.if_else(plausible, cleaned, pa.scalar(None, pa.string()))
    refused = _refused(rest, convert)
    if refused:
        out = set(refused)
        rest = pa.array([None if index in out else text for index, text in enumerate(rest.to_pylist())], pa.string())
    made = convert(rest)
    if pa.types.is_floating(kind):
        # A number beyond the type's range becomes infinite, and then it is not the number that was written.
        overflown = pc.and_(pc.is_inf(made), pc.invert(pc.match_substring_regex(rest, _INFINITE)))
        made = pc.if_else(pc.fill_null(overflown, False), pa.scalar(None, kind), made)
    lost = pc.and_(pc.is_valid(cleaned), pc.is_null(made))
    return made, pc.indices_nonzero(lost).to_pylist()


def _holds_x(texts: pa.Array) -> bool:
    return any(pc.any(pc.match_substring(texts, letter)).as_py() for letter in "xX")


def _pattern(kind: pa.DataType) -> str:
    t = pa.types
    if t.is_integer(kind):
        return r"^[+-]?\d+$"
    if t.is_floating(kind):
        return f"(?i)^({_NUMBER}|[+-]?(inf(inity)?|nan))$"
    if t.is_decimal(kind):
        return f"^{_NUMBER}$"
    if t.is_boolean(kind):
        return "(?i)^(true|false|1|0)$"
    if t.is_date(kind):
        return f"^{_DATE}$"
    if is_instant(kind):
        return f"^{_DATE}([ T]{_TIME}{_ZONE}?)?$"
    if t.is_timestamp(kind):
        return f"^{_DATE}([ T]{_TIME})?$"
    return ""


def _cleaned(texts: pa.Array, kind: pa.DataType, nulls: Collection[str]) -> pa.Array:
    """Take off what is no part of the value: spaces around it, a plus sign, zeros after the microseconds."""
    trimmed = pc.utf8_trim_whitespace(texts)
    # In a column that is not text a quoted empty field, or a quoted null value, can mean nothing else.
    empty = pc.is_in(trimmed, pa.array(["", *nulls], pa.string()))
    trimmed = pc.if_else(empty, pa.scalar(None, pa.string()), trimmed)
    if pa.types.is_integer(kind):
        return pc.replace_substring_regex(trimmed, r"^\+(\d)", r"\1")
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pc.replace_substring_regex(trimmed, r"^\+([\d.iInN])", r"\1")
    if pa.types.is_timestamp(kind):
        without = pc.replace_substring_regex(trimmed, r"(\.\d{6})0+", r"\1")
        return pc.replace_substring_regex(without, r" ?(UTC|Z|z)$", "Z") if is_instant(kind) else without
    return trimmed


def _converter(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    if is_instant(kind):
        return lambda texts: _instants(texts, kind)
    if pa.types.is_binary(kind):
        return _bytes
    return lambda texts: texts.cast(kind)


def _instants(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Instants of texts with an offset; those without are taken as UTC."""
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        pass
    zoned = pc.match_substring_regex(texts, _ZONED)
    nothing = pa.scalar(None, pa.string())
    with_offset = pc.if_else(zoned, texts, nothing).cast(kind)
    without = pc.assume_timezone(pc.if_else(zoned, nothing, texts).cast(pa.timestamp("us")), "UTC")
    return pc.coalesce(with_offset, without)


def _bytes(texts: pa.Array) -> pa.Array:
    try:
        values = [None if text is None else base64.b64decode(text, validate=True) for text in texts.to_pylist()]
    except (binascii.Error, ValueError) as error:
        raise pa.ArrowInvalid(str(error)) from None
    return pa.array(values, pa.binary())


def _refused(texts: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> list[int]:
    """Find the texts that do not convert, by halves."""
    found, open_ranges = [], [(0, len(texts))]
    while open_ranges:
        start, length = open_ranges.pop()
        try:
            convert(texts.slice(start, length))
        except pa.ArrowInvalid:
            if length == 1:
                found.append(start)
            else:
                half = length // 2
                open_ranges += [(start, half), (start + half, length - half)]
    return found
