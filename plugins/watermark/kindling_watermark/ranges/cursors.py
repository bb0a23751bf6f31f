"""Reading on by a column that grows, in a source that has no log: bounds as values, and the SQL that keeps to them.

The bound is the source's own maximum, never a clock. A later row may have a value that was read before: one that is
equal to the maximum, or within the lateness below it. So the rows that lie there are remembered by a digest each, and
the next read begins below them and leaves out those that are remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kindling_entities.declare.quoting import quote_text

# So many rows can be remembered in a commit and in the state store.
MOST_OPEN = 10_000


@dataclass(frozen=True)
class Cursor:
    """How a source is read on, as declared.

    Attributes:
        column: grows with each new or changed row.
        lateness: by how much a row may come late: a number, or an interval such as "2 hours"; None: not at all.
        tie_break: columns that tell rows of one value apart; none: all columns do.
    """

    column: str
    lateness: str | float | None = None
    tie_break: tuple[str, ...] = ()


@dataclass(frozen=True)
class Span:
    """What is read of a source by its cursor.

    Attributes:
        kind: SQL type of the column.
        high: rows up to and with this value, as text.
        open: digests of the rows from ``high`` less the lateness on; no other rows there are read.
        low: rows from this value less the lateness on; None: from the first.
        seen: digests of rows that were read before.
    """

    kind: str
    high: str
    open: Sequence[str]
    low: str | None = None
    seen: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "open": list(self.open), "seen": list(self.seen)}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Span:
        """What ``to_dict`` gave."""
        return cls(**given)

    @property
    def whole(self) -> Span:
        """All rows up to the end of this."""
        return Span(self.kind, self.high, self.open)


def text_of(expression: str, kind: str) -> str:
    """SQL of a value as text, from which ``value`` makes the same again, whatever the zone of the session."""
    return f"cast(unix_micros({expression}) as string)" if kind == "timestamp" else f"cast({expression} as string)"


def value(text: str, kind: str) -> str:
    """SQL of a value that was kept as text."""
    if kind == "timestamp":
        return f"timestamp_micros({int(text)})"
    return f"cast({quote_text(text)} as {kind})"


def floor(cursor: Cursor, text: str, kind: str) -> str:
    """SQL of the least value that rows may still come with."""
    at = value(text, kind)
    if cursor.lateness is None:
        return at
    if isinstance(cursor.lateness, str):
        return f"({at} - interval {cursor.lateness})"
    return f"({at} - {cursor.lateness})"
