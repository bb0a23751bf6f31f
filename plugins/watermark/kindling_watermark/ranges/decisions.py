"""What a reader is to do next, as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kindling_watermark.ranges.values import Range, ReaderState, Watermark


@dataclass(frozen=True)
class Reset:
    """A watermark that is moved by something else than progress."""

    source: str
    old: Watermark | None
    new: int | None
    reason: str


@dataclass(frozen=True)
class Decision:
    """What is read next, or why nothing is.

    Attributes:
        state: of the reader, with the watermarks that were moved.
        ranges: source -> what is read of it; empty: there is nothing new.
        full: the output is computed anew.
        reason: why it is, or why nothing is read.
        resets: the watermarks that are moved.
        more: there is something behind these ranges that this run is to read, too.
    """

    state: ReaderState
    ranges: Mapping[str, Range]
    full: bool = False
    reason: str = ""
    resets: Sequence[Reset] = ()
    more: bool = False


def told(source: str, one: Range, mode: str) -> str:
    """What is read of a source, for people."""
    if one.cursor is not None:
        low = "all rows" if one.first else f"rows behind {one.cursor['low']}"
        return f"{source}: {low} up to {one.cursor['high']}"
    if one.start is None:
        return f"{source}: all rows of version {one.end}"
    if one.empty:
        return f"{source}: nothing new since version {one.start}"
    what = "rows added in" if mode == "appends" else "changes of"
    versions = f"version {one.end}" if one.end == one.start + 1 else f"versions {one.start + 1} to {one.end}"
    return f"{source}: {what} {versions}"
