"""Cuts csv text into blocks of whole records, so that each block can be parsed by itself.

The grammar is RFC 4180 with two liberties: a quote within a field that begins without a quote is text, and an escape
character may be declared. A quoted field ends at a delimiter or at the end of the line: text after its closing quote
means that a quote is missing somewhere, and would otherwise swallow rows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kindling_entities.formats._bytes import count_lines
from kindling_entities.formats._options import TextOptions
from kindling_entities.formats._quotes import end_of_records

# A record that is longer has lost a quote. It is also what a block may hold in memory.
LONGEST_RECORD_BYTES = 64 * 1024 * 1024
# Possessive quantifiers keep no way back, so a match over a whole block needs no memory for each field.
_POSSESSIVE = sys.version_info >= (3, 11)


@dataclass(frozen=True)
class Block:
    """Whole records.

    Attributes:
        line: on which the first begins, from 1.
    """

    data: bytes
    line: int


@dataclass(frozen=True)
class Broken:
    """A line whose quotes do not end as they must."""

    data: bytes
    line: int
    reason: str


class Grammar:
    """Where records end."""

    def __init__(self, options: TextOptions) -> None:
        self.quote = options.quote.encode() if options.quote else None
        self.escape = options.escape.encode() if options.escape else None
        self.delimiter = options.delimiter.encode()
        delimiter = re.escape(self.delimiter)
        often = b"*+" if _POSSESSIVE else b"*"
        once = b"++" if _POSSESSIVE else b"+"
        text = b"[^\r\n" + (re.escape(self.quote) if self.quote else b"")
        text += (re.escape(self.escape) if self.escape else b"") + b"]"
        parts = [text + once]
        q = re.escape(self.quote) if self.quote else b""
        e = re.escape(self.escape) if self.escape else b""
        inner = b""
        if self.escape:
            parts.append(e + b"[\\s\\S]" + (q + b"?" if q else b""))
        if self.quote:
            rest = b"[^" + q + e + b"]"
            others = b"|" + e + b"[\\s\\S]" if e else b""
            if _POSSESSIVE:
                inner = q + b"(?:" + rest + b"++|" + q + q + others + b")*+" + q
            else:
                # What gives back a doubled quote is no end.
                inner = q + rest + b"*(?:(?:" + q + q + others + b")" + rest + b"*)*" + q + b"(?!" + q + b")"
            parts.append(b"(?<![^" + delimiter + b"\r\n])" + inner + b"(?=[" + delimiter + b"\r\n]|\\Z)")
            parts.append(b"(?<=[^" + delimiter + b"\r\n])" + q)
        prefix = b"(?:" + b"|".join(parts) + b")" + often
        record = prefix + b"(?:\r\n|\n|\r(?=[^\n]))"
        self._prefix = re.compile(prefix)
        self._record = re.compile(record)
        self._last = re.compile(prefix + (e + b"?" if e else b"") + b"\r?")
        self._inner = re.compile(inner) if inner else None
        self._records = re.compile(b"(?:" + record + b")*+") if _POSSESSIVE else None
        self._newline = re.compile(b"\r\n|\n|\r")

    def end(self, data: bytes, start: int, final: bool) -> int:
        """Return the end of the last whole record of some bytes."""
        plain = self.escape is None and (self.quote is None or data.find(self.quote, start) < 0)
        if plain:
            if final:
                return len(data)
            found = data.rfind(b"\n", start)
            if found < 0:
                found = data.rfind(b"\r", start, len(data) - 1)
            return max(found + 1, start)
        if self.escape is None and self.quote is not None:
            quick = end_of_records(data, start, self.quote, self.delimiter, final)
            if quick is not None:
                return quick
        if self._records is not None:
            match = self._records.match(data, start)
            end = match.end() if match else start
        else:
            end = start
            while match := self._record.match(data, end):
                end = match.end()
        if final and end < len(data) and self._last.fullmatch(data, end):
            return len(data)
        return end

    def trouble(self, data: bytes, start: int, final: bool) -> tuple[int, str] | None:
        """Return what is wrong with the record at ``start``, which ``end`` did not pass.

        Returns:
            The end of its line and the reason; None if the record only goes on in bytes that are still to come.
        """
        match = self._prefix.match(data, start)
        at = match.end() if match else start
        if self._inner is None or at >= len(data) or self.quote is None or not data.startswith(self.quote, at):
            return self._long(data, start, final)
        closed = self._inner.match(data, at)
        if closed is None or closed.end() == len(data):
            if not final and len(data) - start < LONGEST_RECORD_BYTES:
                return None
            reason = "a quoted field begins here and does not end"
        else:
            reason = "text follows the closing quote of a field, so a quote is missing or not doubled"
        newline = self._newline.search(data, at)
        return (newline.end() if newline else len(data)), reason

    def _long(self, data: bytes, start: int, final: bool) -> tuple[int, str] | None:
        if final:
            return len(data), "it ends within an escape"
        if len(data) - start < LONGEST_RECORD_BYTES:
            return None
        return len(data), f"it is longer than {LONGEST_RECORD_BYTES >> 20} MiB"

    def is_plain(self, data: bytes) -> bool:
        """Whether every line of some whole records is a record."""
        return self.escape is None and (self.quote is None or self.quote not in data)

    def records(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield begin and end, without its newline, of each record of a block."""
        start = 0
        while start < len(data):
            match = self._record.match(data, start)
            end = match.end() if match else len(data)
            text = end
            while text > start and data[text - 1] in b"\r\n" and text > end - 2:
                text -= 1
                if data[text] == 13:
                    break
            yield start, text
            start = end

    def cut(self, chunks: Iterable[bytes], line: int = 1) -> Iterator[Block | Broken]:
        """Yield the whole records of a stream, and the lines that are none."""
        data = b""
        for chunk, final in _with_last(chunks):
            data = data + chunk if data else chunk
            start = 0
            while start < len(data):
                end = self.end(data, start, final)
                if end > start:
                    block = data if (start, end) == (0, len(data)) else data[start:end]
                    yield Block(block, line)
                    line += count_lines(block)
                    start = end
                    continue
                found = self.trouble(data, start, final)
                if found is None:
                    break
                yield Broken(data[start : found[0]], line, found[1])
                line += count_lines(data[start : found[0]])
                start = found[0]
            data = data[start:]


def _with_last(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    held = None
    for chunk in chunks:
        if held is not None:
            yield held, False
        held = chunk
    if held is not None:
        yield held, True
