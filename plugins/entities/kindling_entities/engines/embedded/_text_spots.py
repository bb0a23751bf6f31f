"""Finds spots in SQL text, and puts their guarded form in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kindling_entities.declare.quoting import quote_text
from kindling_entities.engines.embedded._guards import SIGNS, SPOT_KINDS, VOLATILE, Guard, Spot, shorten
from kindling_entities.engines.embedded._messages import may_need_guard, place
from kindling_entities.engines.embedded._spots import Root, either, untyped
from kindling_entities.engines.embedded._sqltext import Part, Unreadable, parse


class _Texts:
    """Makes SQL text. A ``Maker``."""

    def call(self, name: str, *arguments: str) -> str:
        if name in SIGNS:
            return f"(({arguments[0]}) {name} ({arguments[1]}))"
        return f"{name}({', '.join(arguments)})"

    def cast(self, inside: str, kind: str) -> str:
        return f"cast({inside} as {kind})"

    def text(self, value: str) -> str:
        return quote_text(value)

    def when(self, *branches: str) -> str:
        pairs = zip(branches[::2], branches[1::2], strict=False)
        cases = " ".join(f"when {condition} then {value}" for condition, value in pairs)
        rest = f" else {branches[-1]}" if len(branches) % 2 else ""
        return f"case {cases}{rest} end"

    def null(self, kind: str) -> str:
        return f"cast(null as {kind})"


class TextRoot(Root):
    """A Connect expression that holds SQL text with spots in it.

    Args:
        end: where the expression ends in the text, before an alias.
    """

    def __init__(self, message: Any, spots: list[Spot], end: int) -> None:
        super().__init__(message, spots)
        self._text: str = message.expression_string.expression
        self._end = end
        self._guard = Guard(_Texts(), self._render, self._substitute)

    def rewrite(self, *, drop_alias: bool) -> None:
        """Put the guarded text in place."""
        end = self._end if drop_alias else len(self._text)
        self.message.expression_string.expression = self._spliced(0, end, self.spots)

    def _spliced(self, start: int, end: int, spots: Iterable[Spot]) -> str:
        pieces, at = [], start
        for spot in sorted(spots, key=lambda spot: int(spot.handle.start)):
            pieces += [self._text[at : spot.handle.start], self._render(spot)]
            at = spot.handle.end
        return "".join([*pieces, self._text[at:end]])

    def _render(self, spot: Spot) -> str:
        code = self._guard.guarded(spot)
        if code is not None:
            return str(code)
        return self._spliced(spot.handle.start, spot.handle.end, (*spot.parts, *spot.inner))

    def _substitute(self, spot: Spot, argument: str) -> str:
        given = spot.handle.parts[0]
        return self._text[spot.handle.start : given.start] + argument + self._text[given.end : spot.handle.end]


def text_root(message: Any) -> Root | None:
    """The root of an expression that holds SQL text; None if the text has no spots or is not understood."""
    text = message.expression_string.expression
    if not may_need_guard(text):
        return None
    try:
        tree = parse(text)
    except Unreadable:
        return None
    spots = _text_spots(message, text, tree)
    return TextRoot(message, spots, tree.end) if spots else None


def _text_spots(message: Any, text: str, part: Part) -> list[Spot]:
    """The outermost spots of a part of a text."""
    spot = _text_spot(message, text, part)
    if spot is not None:
        return [spot]
    below = part.parts
    if part.name == "if" and below and below[0].name == "isnan":
        # A condition treats null as false, and the reads of tables with floats are written like this.
        below = below[1:]
    return [spot for inner in below for spot in _text_spots(message, text, inner)]


def _text_spot(message: Any, text: str, part: Part) -> Spot | None:
    if part.name in ("and", "or") and part.kind == "other" and len(part.parts) == 2:
        return either(part.name, part, [_text_operand(message, text, operand) for operand in part.parts])
    if part.kind == "arithmetic":
        what = "arithmetic"
    elif part.kind == "call" and part.name in SPOT_KINDS and len(part.parts) == 1:
        what = SPOT_KINDS[part.name]
    else:
        return None
    parts = [_text_operand(message, text, operand) for operand in part.parts]
    made = _text_made(message, text, part, what, parts)
    return untyped(made) if what == "isnan" else made


def _text_operand(message: Any, text: str, part: Part) -> Spot:
    while part.name == "(" and len(part.parts) == 1:
        part = part.parts[0]
    spot = _text_spot(message, text, part)
    if spot is not None:
        return spot
    leaf = _text_made(message, text, part, "leaf", [])
    leaf.inner = [spot for below in part.parts for spot in _text_spots(message, text, below)]
    leaf.constant = part.kind == "constant" and text[part.start : part.end].lower() != "null"
    leaf.volatile = any(below.kind == "call" and below.name in VOLATILE for below in part.walk())
    return leaf


def _text_made(message: Any, text: str, part: Part, what: str, parts: list[Spot]) -> Spot:
    piece = text[part.start : part.end]
    probe = type(message)()
    probe.expression_string.expression = piece
    return Spot(what, part.name, part, parts, shown=shorten(piece), place=place(message), probe=probe)
