"""How a text may write a secret other than as it is: escaped, percent-encoded, in base64."""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

# What a text was escaped by may have been escaped again, such as the repr of an error that quotes a repr.
_LEVELS = 3
# Of a shorter text too little is left in base64 to be distinguished from other text.
_SHORTEST_BASE64 = 8

_SLASHED = re.compile(
    r"\\(?:[\\'\"/abfnrtv0]|x[0-9A-Fa-f]{2}|u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}"
    r"|u[0-9A-Fa-f]{4}|U00[01][0-9A-Fa-f]{5})"
)
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|#39|#34|#x27|#x22);")

_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "#39": "'", "#34": '"'}
_ENTITIES |= {"#x27": "'", "#x22": '"'}


class Reading:
    """A text with its escapes undone, which knows where each of its characters stands in the text as it is.

    Attributes:
        text: without the escapes.
        is_plain: there were none.
    """

    def __init__(
        self, text: str, escapes: re.Pattern[str], decode: Callable[[str], list[tuple[str, int]]], of: Reading | None
    ) -> None:
        self._of = of
        self._at: list[int] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        parts: list[str] = []
        position = length = 0
        for match in escapes.finditer(text):
            parts.append(text[position : match.start()])
            length += match.start() - position
            position = match.start()
            for character, size in decode(match.group()):
                self._at.append(length)
                self._starts.append(position)
                position += size
                self._ends.append(position)
                parts.append(character)
                length += 1
        parts.append(text[position:])
        self.text = "".join(parts)
        self.is_plain = not self._at

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of this text stands in the text as it is."""
        first, last = self._place(start)[0], self._place(end - 1)[1]
        return (first, last) if self._of is None else self._of.origin(first, last)

    def _place(self, index: int) -> tuple[int, int]:
        before = bisect_right(self._at, index) - 1
        if before < 0:
            return index, index + 1
        if self._at[before] == index:
            return self._starts[before], self._ends[before]
        place = self._ends[before] + index - self._at[before] - 1
        return place, place + 1


def readings(text: str, with_spaces: bool) -> Iterator[Reading]:
    """Return the text with escapes undone: backslashes, percent-encoding, entities of HTML.

    Args:
        with_spaces: read ``+`` as a space, too, as forms and queries write it.
    """
    if "\\" in text:
        yield from _levels(text, "\\", _SLASHED, _slashed)
    if "%" in text:
        yield from _levels(text, "%", _PERCENT, _percent)
    if with_spaces and "+" in text:
        spaced = text.replace("+", " ")
        yield Reading(spaced, _PERCENT, _percent, None)
    if "&" in text:
        yield from _levels(text, "&", _ENTITY, _entity)


def _levels(
    text: str, sign: str, escapes: re.Pattern[str], decode: Callable[[str], list[tuple[str, int]]]
) -> Iterator[Reading]:
    reading: Reading | None = None
    for _ in range(_LEVELS):
        reading = Reading(text, escapes, decode, reading)
        if reading.is_plain:
            return
        text = reading.text
        yield reading
        if sign not in text:
            return


def _slashed(escape: str) -> list[tuple[str, int]]:
    kind = escape[1]
    if kind not in "xuU":
        return [(_CONTROLS.get(kind, kind), 2)]
    if len(escape) == 12:
        return [(bytes.fromhex(escape[2:6] + escape[8:]).decode("utf-16-be"), 12)]
    number = int(escape[2:], 16)
    return [(chr(number) if number <= 0x10FFFF else "?", len(escape))]


def _percent(escape: str) -> list[tuple[str, int]]:
    text = bytes.fromhex(escape.replace("%", "")).decode("utf-8", "surrogateescape")
    return [(character, 3 * len(character.encode("utf-8", "surrogateescape"))) for character in text]


def _entity(escape: str) -> list[tuple[str, int]]:
    return [(_ENTITIES[escape[1:-1]], len(escape))]


def as_bytes(secret: str) -> str:
    """Return a secret as the repr of its bytes has it once its escapes are undone: a character for each byte."""
    return secret.encode("utf-8", "surrogatepass").decode("latin-1")


def encoded(secret: str) -> set[str]:
    """Return the forms of a secret that no reading undoes: with doubled quotes, and in base64."""
    found = {secret.replace(quote, quote * 2) for quote in "'\"" if quote in secret}
    raw = secret.encode("utf-8", "surrogatepass")
    # Three bytes make four characters, so that there are three ways in which it may lie in a longer text.
    for skipped in range(3):
        whole = base64.b64encode(bytes(skipped) + raw).decode()
        first, last = (0, 2, 3)[skipped], len(whole.rstrip("=")) - (1 if whole.endswith("=") else 0)
        inner = whole[first:last]
        if len(inner) >= _SHORTEST_BASE64:
            found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found
