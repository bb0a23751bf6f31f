"""Counts the rows and values of files that do not parse, and keeps them where a quarantine is wanted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

import pyarrow as pa

from kindling_entities.declare.expectations import ExpectationResult
from kindling_entities.declare.reserved import QUARANTINE_KEY, QUARANTINED_AT, REASON
from kindling_entities.errors import CorruptTableError
from kindling_entities.formats._options import TextOptions

# Held in memory. A source with more of them is declared wrongly.
MOST_KEPT_ROWS = 1_000_000
QUARANTINE_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("raw", pa.string()),
        (REASON, pa.string()),
        (QUARANTINED_AT, pa.timestamp("us", tz="UTC")),
        (QUARANTINE_KEY, pa.string()),
    ]
)

_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
# A value that is no text, or is shown in part, ends where the sentence goes on.
_BAD_VALUE = re.compile(rf"({_QUOTED}): (?:{_QUOTED}|.*?) (is not an? [^;]+)(?:; |$)", re.DOTALL)


def bad_value(column: str, shown: str, kind: str) -> str:
    """Word the reason why a value is kept out; several of a row are joined by "; ".

    Args:
        shown: the value.
        kind: the name of the type that it is not.
    """
    return f"{column!r}: {shown} is not {with_article(kind)}"


def with_article(kind: str) -> str:
    """The name of a type in a sentence."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def reasons_of(text: str) -> list[tuple[str, str]]:
    """Take the reason of a row apart: each reason without what is of this row alone, and as it stands.

    ``'amount': 'abc' is not a double`` is of the kind ``'amount' is not a double``.
    """
    for kind in ("the line is no json object", "the line holds"):
        if text.startswith(kind):
            return [(kind if kind.endswith("object") else "the line holds no object", text)]
    found: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        match = _BAD_VALUE.match(text, place)
        if match is None:
            return [(text, text)]
        found.append((f"{match[1]} {match[2]}", match[0].removesuffix("; ")))
        place = match.end()
    return found or [(text, text)]


@dataclass(frozen=True)
class BadRow:
    """A row that was kept out.

    Attributes:
        file: its path below the source's folder, so that the row is recognized after the project has moved.
        line: on which it begins, from 1.
        raw: its text.
    """

    file: str
    line: int
    raw: str
    reason: str

    @property
    def key(self) -> str:
        """The same for the same row of the same file, however often it is read."""
        text = f"{self.file}\0{self.line}\0{self.raw}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Dirt:
    """The counts of a read.

    Attributes:
        rows_read: number of rows that were read.
        bad_rows: number of rows that could not be split into fields.
        bad_values: column -> number of values that do not parse.
        rows_with_bad_values: number of rows with such a value.
    """

    def __init__(self, what: str, options: TextOptions) -> None:
        self.rows_read = 0
        self.bad_rows = 0
        self.rows_with_bad_values = 0
        self.bad_values: dict[str, int] = {}
        self._kept: list[BadRow] = []
        self._what = what
        self._options = options

    def keep(self, row: BadRow) -> None:
        """Remember a row for the quarantine."""
        if len(self._kept) >= MOST_KEPT_ROWS:
            raise CorruptTableError(
                f"{self._what}: more than {MOST_KEPT_ROWS:,} rows do not parse; the last is line {row.line} of "
                f"{row.file}: {row.reason}. Check delimiter, quote and the declared columns."
            )
        self._kept.append(row)

    @property
    def kept(self) -> int:
        """Rows for the quarantine."""
        return len(self._kept)

    def forget(self) -> None:
        """Begin anew, since the same rows are read again."""
        self.rows_read = self.bad_rows = self.rows_with_bad_values = 0
        self.bad_values.clear()
        self._kept.clear()

    def results(self) -> list[ExpectationResult]:
        """What was counted, as expectations are; empty where the source takes no dirt."""
        found = []
        taken = self.rows_read + (self.rows_with_bad_values if self._options.on_bad_value == "quarantine" else 0)
        for name, action, kind, rows, failed in (
            ("rows parse", self._options.on_bad_row, "row", taken + self.bad_rows, self.bad_rows),
            ("values parse", self._options.on_bad_value, "value", taken, self.rows_with_bad_values),
        ):
            if action != "fail":
                found.append(ExpectationResult(name, action, kind, rows - failed, failed))
        return found

    def table(self, known: frozenset[str] = frozenset()) -> pa.Table:
        """The rows for the quarantine, without those whose key is known."""
        rows = list(self._new(known))
        now = datetime.now(timezone.utc)
        columns = [
            [row.file for row in rows],
            [row.line for row in rows],
            [row.raw for row in rows],
            [row.reason for row in rows],
            [now] * len(rows),
            [row.key for row in rows],
        ]
        return pa.table(columns, schema=QUARANTINE_SCHEMA)

    def _new(self, known: frozenset[str]) -> Iterator[BadRow]:
        seen = set(known)
        for row in self._kept:
            if row.key not in seen:
                seen.add(row.key)
                yield row
