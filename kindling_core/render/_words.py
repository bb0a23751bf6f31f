"""Names and figures as short texts, the same in every kind of picture."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kindling_core.render._picture import GraphNode

KNOWN_STATUSES = ("succeeded", "failed", "skipped")


def clean(text: str) -> str:
    """Replace what would break a line, drive a terminal or not survive being written as UTF-8."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in _UNPRINTABLE else character
        for character in text
    )


# Control characters (escape sequences), direction overrides, lone surrogates, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def columns_of(text: str) -> int:
    """Return how many columns of a monospaced font the text fills; East Asian wide characters fill two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def shortened(text: str, limit: int) -> str:
    """Cut the middle out of a long name: its layer is at the front, what its siblings lack at the end."""
    text = clean(text)
    if columns_of(text) <= limit:
        return text
    tail = _fitting(text[::-1], limit // 2)[::-1]
    return f"{_fitting(text, limit - 1 - columns_of(tail))}…{tail}"


def _fitting(text: str, limit: int) -> str:
    filled = 0
    for index, character in enumerate(text):
        filled += columns_of(character)
        if filled > limit:
            return text[:index]
    return text


def seconds_text(seconds: float) -> str:
    """Return a duration with the digits that matter at its size."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.00095 else "<1 ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def rows_text(rows: int) -> str:
    """Return a number of rows with its unit."""
    return f"{rows:,} row" if rows == 1 else f"{rows:,} rows"


def figures(node: GraphNode) -> list[str]:
    """Return status (unless it succeeded), duration and rows of a pipe, as far as they are known."""
    shown = [] if node.status in (None, "succeeded") else [clean(str(node.status))]
    if node.duration_seconds is not None:
        shown.append(seconds_text(node.duration_seconds))
    if node.rows is not None and node.output is not None and node.status in (None, "succeeded"):
        shown.append(rows_text(node.rows))
    return shown
