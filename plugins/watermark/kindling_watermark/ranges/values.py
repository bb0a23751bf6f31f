"""How far pipes have read their sources, and what they are about to read, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kindling_watermark.ranges.cursors import Span


@dataclass(frozen=True)
class Watermark:
    """How far a reader has read a source.

    Attributes:
        version: everything up to it was read; None for a source that is read by a cursor.
        table_id: the identity of the source's table; "" where it is not known.
        mark: when the commit of that version was made, by which it is known again; None where that is not told.
        columns: of the source, column -> type, when it was read; None where nobody noted them.
        cursor: what was read of a source without versions, see ``ranges/cursors.py``.
        saved_at: UTC, ISO 8601.
    """

    version: int | None
    table_id: str = ""
    mark: str | None = None
    columns: Mapping[str, str] | None = None
    cursor: Mapping[str, Any] | None = None
    saved_at: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without what is empty."""
        return {name: value for name, value in vars(self).items() if value not in (None, "")}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Watermark:
        """What ``to_dict`` gave."""
        return cls(**{"version": None, **given})


@dataclass(frozen=True)
class Range:
    """What one execution of a pipe reads of a source.

    Attributes:
        start: the rows or changes after this version; None: the whole source as of ``end``.
        end: up to and with this version; None for a source that is read by a cursor.
        table_id, mark, columns: of the source at ``end``, as in ``Watermark``.
        cursor: bounds of a source without versions.
    """

    start: int | None
    end: int | None
    table_id: str = ""
    mark: str | None = None
    columns: Mapping[str, str] | None = None
    cursor: Mapping[str, Any] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing lies between its ends."""
        return self.start is not None and self.start == self.end

    @property
    def first(self) -> bool:
        """Whether it begins at the beginning."""
        return self.start is None and (self.cursor is None or self.cursor["low"] is None)

    @property
    def ends(self) -> list[Any]:
        """What tells it from other ranges of the same source."""
        if self.cursor is None:
            return [self.start, self.end]
        return [self.cursor["low"], self.cursor["high"], len(self.cursor["open"]), len(self.cursor["seen"])]

    def watermark(self, saved_at: str) -> Watermark:
        """The watermark once it was read."""
        cursor = None if self.cursor is None else Span.of(self.cursor).whole.to_dict()
        return Watermark(self.end, self.table_id, self.mark, self.columns, cursor, saved_at)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without what is empty."""
        return {name: value for name, value in vars(self).items() if value not in (None, "")}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Range:
        """What ``to_dict`` gave."""
        return cls(**{"start": None, "end": None, **given})


@dataclass(frozen=True)
class Intent:
    """What a pipe is about to do: written down before it reads, and done once its output has it.

    Attributes:
        sequence: the version of the transaction that its output is written with; grows by one.
        ranges: source -> what is read of it.
        full: the output is replaced by what the whole inputs give.
        reason: why the output is replaced; "" for an increment.
    """

    sequence: int
    ranges: Mapping[str, Range]
    full: bool = False
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "sequence": self.sequence,
            "ranges": {name: one.to_dict() for name, one in self.ranges.items()},
            "full": self.full,
            "reason": self.reason,
        }

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Intent:
        """What ``to_dict`` gave."""
        ranges = {name: Range.of(one) for name, one in given["ranges"].items()}
        return cls(given["sequence"], ranges, given["full"], given["reason"])


@dataclass(frozen=True)
class Committed:
    """The newest commit of a pipe in its output.

    Attributes:
        sequence: of the intent that it did.
        version: of the output that it made.
    """

    sequence: int
    version: int


@dataclass(frozen=True)
class ReaderState:
    """All that is kept of a reader, in one record, so that it changes as one.

    Attributes:
        sequence: of the newest intent.
        watermarks: source -> how far it was read.
        committed: the newest commit of the reader that is known; None if it made none.
        intent: what was begun and is not known to be done.
    """

    sequence: int = 0
    watermarks: Mapping[str, Watermark] = field(default_factory=dict)
    committed: Committed | None = None
    intent: Intent | None = None

    def begun(self, ranges: Mapping[str, Range], full: bool, reason: str = "") -> ReaderState:
        """The state with a new intent."""
        sequence = self.sequence + 1
        return replace(self, sequence=sequence, intent=Intent(sequence, dict(ranges), full, reason))

    def done(self, saved_at: str, committed: Committed | None) -> ReaderState:
        """The state once the output has what the intent says.

        Args:
            committed: the commit that did it; None where there was nothing to commit.
        """
        assert self.intent is not None
        read = {name: one.watermark(saved_at) for name, one in self.intent.ranges.items()}
        return replace(self, watermarks={**self.watermarks, **read}, committed=committed or self.committed, intent=None)

    def moved(self, watermarks: Mapping[str, Watermark]) -> ReaderState:
        """The state once something else than progress has moved watermarks; what was begun counts no more.

        Args:
            watermarks: all of the reader.
        """
        # Whoever still does what was begun finds another number.
        return replace(self, sequence=self.sequence + (self.intent is not None), watermarks=watermarks, intent=None)

    def to_dict(self) -> dict[str, Any]:
        """What the record holds."""
        return {
            "sequence": self.sequence,
            "watermarks": {name: one.to_dict() for name, one in self.watermarks.items()},
            "committed": vars(self.committed) if self.committed is not None else None,
            "intent": self.intent.to_dict() if self.intent is not None else None,
        }

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ReaderState:
        """What ``to_dict`` gave."""
        return cls(
            given["sequence"],
            {name: Watermark.of(one) for name, one in given["watermarks"].items()},
            Committed(**given["committed"]) if given["committed"] else None,
            Intent.of(given["intent"]) if given["intent"] else None,
        )
