"""Finds what has to be guarded in Connect expressions and in SQL text, and puts the guarded form in its place."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from kindling_entities.declare.quoting import quote_text
from kindling_entities.engines.embedded._guards import (
    ARITHMETIC,
    EXTREMES,
    MOMENTS,
    VOLATILE,
    Guard,
    Spot,
    all_spots,
    applies,
    shorten,
)
from kindling_entities.engines.embedded._sqltext import Part, Unreadable, parse

_KINDS = {"sum": "sum"} | dict.fromkeys(EXTREMES, "extreme") | dict.fromkeys(MOMENTS, "moment") | {"isnan": "isnan"}
_WATCHED = frozenset([*ARITHMETIC, *_KINDS])
# What fails by itself for some values, of what is common; casts besides.
_FALLIBLE = frozenset(
    [
        *["negative", "abs", "/", "%", "div", "mod", "pmod", "element_at", "raise_error", "assert_true", "to_number"],
        *["to_date", "to_timestamp", "make_date", "make_timestamp", "int", "bigint", "decimal", "timestamp", "date"],
    ]
)
_FALLIBLE_TEXT = re.compile(
    r"[-/%\[]|::|\b(?!try_)\w*(?:cast|abs|div|mod|negative|to_|make_|raise|int|dec|date|time)\w*\b"
)
_TRY = 3
_SIGNS = frozenset([*ARITHMETIC, "and", "or", "==", "<=", ">="])


class Root(ABC):
    """An expression with spots within it.

    Attributes:
        message: the Connect expression.
        spots: the outermost spots.
    """

    def __init__(self, message: Any, spots: list[Spot]) -> None:
        self.message = message
        self.spots = spots

    def needs_guard(self) -> bool:
        """Whether something is to be rewritten; asked once the types are known."""
        return any(map(applies, all_spots(self.spots)))

    @abstractmethod
    def rewrite(self, *, drop_alias: bool) -> None:
        """Put the guarded form in place.

        Args:
            drop_alias: whether an alias at the end of a text is left out.
        """


def roots_in(message: Any) -> Iterator[Root]:
    """The outermost expressions below a message that have spots within them."""
    name = message.DESCRIPTOR.name
    if name == "Relation":
        return
    if name == "Expression":
        root = _text_root(message) if message.HasField("expression_string") else _message_root(message)
        if root is not None:
            yield root
            return
    for one in messages(message):
        yield from roots_in(one)


def may_raise(message: Any) -> bool:
    """Whether an expression below a message may fail for some values without a guard."""
    name = message.DESCRIPTOR.name
    if name == "UnresolvedFunction" and message.function_name in _FALLIBLE:
        return True
    if name == "Cast" and message.eval_mode != _TRY:
        return True
    if name == "ExpressionString":
        return _FALLIBLE_TEXT.search(message.expression) is not None
    return name != "Relation" and any(map(may_raise, messages(message)))


def is_watched(message: Any) -> bool:
    """Whether something that may have to be guarded is named anywhere in a message."""
    name = message.DESCRIPTOR.name
    if name == "UnresolvedFunction" and message.function_name in _WATCHED:
        return True
    if name == "ExpressionString":
        return may_need_guard(message.expression)
    return any(map(is_watched, messages(message)))


def may_need_guard(text: str) -> bool:
    """Whether a text has a sign or a function that may need a guard, without reading it properly."""
    lowered = text.lower()
    return any(one in lowered for one in _WATCHED) and lowered.strip() != "*"


_NAME = re.compile(r"`(?:[^`]|``)+`|[^\W\d]\w*")


def names_in(message: Any) -> set[str]:
    """The names of columns, in lower case, that expressions below a message may look at, and more words of texts."""
    name = message.DESCRIPTOR.name
    if name == "UnresolvedAttribute":
        text = message.unparsed_identifier
    elif name == "ExpressionString":
        text = message.expression
    elif name == "Relation":
        return set()
    else:
        return {one for below in messages(message) for one in names_in(below)}
    return {one.strip("`").replace("``", "`").lower() for one in _NAME.findall(text)}


def messages(message: Any) -> Iterator[Any]:
    """The messages in the fields of a message, repeated ones each."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            # What is repeated is a container without a descriptor; a map yields its keys.
            yield from [value] if hasattr(value, "DESCRIPTOR") else (one for one in value if hasattr(one, "DESCRIPTOR"))


def place(message: Any) -> str:
    """The "file.py:line" that made an expression, empty if that is not known."""
    origin = message.common.origin.python_origin.call_site if message.HasField("common") else ""
    file, _, line = origin.rpartition(":")
    return f"{os.path.basename(file)}:{line}" if file else ""


# Messages.


class _Messages:
    """Makes Connect expressions."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def call(self, name: str, *arguments: Any) -> Any:
        made = self._kind()
        made.unresolved_function.function_name = name
        made.unresolved_function.arguments.extend(arguments)
        return made

    def cast(self, inside: Any, kind: str) -> Any:
        made = self._kind()
        made.cast.expr.CopyFrom(inside)
        made.cast.type_str = kind
        return made

    def text(self, value: str) -> Any:
        made = self._kind()
        made.literal.string = value
        return made

    def when(self, *branches: Any) -> Any:
        return self.call("when", *branches)

    def null(self, kind: str) -> Any:
        nothing = self._kind()
        nothing.literal.null.null.SetInParent()
        return self.cast(nothing, kind)


class _MessageRoot(Root):
    def rewrite(self, *, drop_alias: bool) -> None:
        """Put the guarded form in place."""
        self._guard = Guard(_Messages(type(self.message)), self._render, self._substitute)
        self._put(self.spots)

    def _put(self, spots: list[Spot]) -> None:
        # Emptied, since what stands in place must not be put there again.
        while spots:
            spot = spots.pop()
            code = self._render(spot)
            if code is not spot.handle:
                spot.handle.CopyFrom(code)

    def _render(self, spot: Spot) -> Any:
        code = self._guard.guarded(spot)
        if code is not None:
            return code
        self._put(spot.parts)
        self._put(spot.inner)
        return spot.handle

    def _substitute(self, spot: Spot, argument: Any) -> Any:
        self._put(spot.inner)
        made = type(self.message)()
        made.CopyFrom(spot.handle)
        called = made.window.window_function if made.HasField("window") else made
        called.unresolved_function.arguments[0].CopyFrom(argument)
        return made


def _message_root(message: Any) -> Root | None:
    spot = _spot(message)
    return None if spot is None else _MessageRoot(message, [spot])


def _spot(message: Any) -> Spot | None:
    kind = message.WhichOneof("expr_type")
    if kind == "window":
        function = message.window.window_function
        if function.WhichOneof("expr_type") != "unresolved_function":
            return None
        spot = _spot(function)
        if spot is None or spot.kind not in ("sum", "extreme"):
            return None
        spot.handle = spot.probe = message
        for one in (*message.window.partition_spec, *message.window.order_spec):
            spot.inner += _inner(one)
        return spot
    if kind != "unresolved_function":
        return None
    called = message.unresolved_function
    name, arguments = called.function_name, called.arguments
    if name in ("and", "or") and len(arguments) == 2:
        return _either(name, message, [_operand(one) for one in arguments])
    if name in ARITHMETIC and len(arguments) == 2:
        what = "arithmetic"
    elif name in _KINDS and len(arguments) == 1:
        what = _KINDS[name]
    else:
        return None
    parts = [_operand(one) for one in arguments]
    made = Spot(what, name, message, parts, shown=shorten(_shown(message)), place=place(message), probe=message)
    return _untyped(made) if what == "isnan" else made


def _untyped(spot: Spot) -> Spot:
    """Ask for no types that do not matter."""
    spot.probe = None
    for part in spot.parts:
        if part.kind == "leaf":
            part.probe = None
    return spot


def _either(name: str, handle: Any, parts: list[Spot]) -> Spot | None:
    """A spot for what is decided by its left side now and then; None if nothing lies within the right one."""
    right = parts[1]
    if right.kind == "leaf" and not right.inner:
        return None
    for part in parts:
        if part.kind == "leaf":
            part.probe = None
    return Spot("either", name, handle, parts)


def _operand(message: Any) -> Spot:
    spot = _spot(message)
    if spot is not None:
        return spot
    constant = message.WhichOneof("expr_type") == "literal" and not message.literal.HasField("null")
    volatile = _is_volatile(message)
    return Spot("leaf", "", message, inner=_inner(message), constant=constant, volatile=volatile, probe=message)


def _inner(message: Any) -> list[Spot]:
    """The outermost spots below a message; those of lambda functions cannot be looked at from outside."""
    found: list[Spot] = []
    for one in messages(message):
        name = one.DESCRIPTOR.name
        if name in ("Relation", "LambdaFunction"):
            continue
        spot = _spot(one) if name == "Expression" else None
        found += [spot] if spot is not None else _inner(one)
    return found


def _is_volatile(message: Any) -> bool:
    if message.DESCRIPTOR.name == "UnresolvedFunction" and message.function_name in VOLATILE:
        return True
    return message.DESCRIPTOR.name == "CommonInlineUserDefinedFunction" or any(map(_is_volatile, messages(message)))


def _shown(message: Any) -> str:
    """An expression as a reader would write it."""
    kind = message.WhichOneof("expr_type")
    if kind == "unresolved_attribute":
        return str(message.unresolved_attribute.unparsed_identifier)
    if kind == "literal":
        value = getattr(message.literal, message.literal.WhichOneof("literal_type"))
        return repr(value) if isinstance(value, (int, float, str)) else "..."
    if kind == "expression_string":
        return str(message.expression_string.expression)
    if kind == "unresolved_function":
        name, arguments = message.unresolved_function.function_name, message.unresolved_function.arguments
        texts = [_shown(one) for one in arguments]
        if name in _SIGNS and len(texts) == 2:
            return f"{texts[0]} {name} {texts[1]}"
        return f"{name}({', '.join(texts)})"
    if kind == "cast":
        return f"cast({_shown(message.cast.expr)})"
    return "..."


# Text.


class _Texts:
    """Makes SQL text."""

    def call(self, name: str, *arguments: str) -> str:
        if name in _SIGNS:
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


class _TextRoot(Root):
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
        for spot in sorted(spots, key=lambda one: int(one.handle.start)):
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


def _text_root(message: Any) -> Root | None:
    text = message.expression_string.expression
    if not may_need_guard(text):
        return None
    try:
        tree = parse(text)
    except Unreadable:
        return None
    spots = _text_spots(message, text, tree)
    return _TextRoot(message, spots, tree.end) if spots else None


def _text_spots(message: Any, text: str, part: Part) -> list[Spot]:
    """The outermost spots of a part of a text."""
    spot = _text_spot(message, text, part)
    if spot is not None:
        return [spot]
    below = part.parts
    if part.name == "if" and below and below[0].name == "isnan":
        # Null and false are one there, and this is how tables with floats are read.
        below = below[1:]
    return [one for each in below for one in _text_spots(message, text, each)]


def _text_spot(message: Any, text: str, part: Part) -> Spot | None:
    if part.name in ("and", "or") and part.kind == "other" and len(part.parts) == 2:
        return _either(part.name, part, [_text_operand(message, text, one) for one in part.parts])
    if part.kind == "arithmetic":
        what = "arithmetic"
    elif part.kind == "call" and part.name in _KINDS and len(part.parts) == 1:
        what = _KINDS[part.name]
    else:
        return None
    parts = [_text_operand(message, text, one) for one in part.parts]
    made = _text_made(message, text, part, what, parts)
    return _untyped(made) if what == "isnan" else made


def _text_operand(message: Any, text: str, part: Part) -> Spot:
    while part.name == "(" and len(part.parts) == 1:
        part = part.parts[0]
    spot = _text_spot(message, text, part)
    if spot is not None:
        return spot
    leaf = _text_made(message, text, part, "leaf", [])
    leaf.inner = [one for below in part.parts for one in _text_spots(message, text, below)]
    leaf.constant = part.kind == "constant" and text[part.start : part.end].lower() != "null"
    leaf.volatile = any(one.kind == "call" and one.name in VOLATILE for one in part.walk())
    return leaf


def _text_made(message: Any, text: str, part: Part, what: str, parts: list[Spot]) -> Spot:
    piece = text[part.start : part.end]
    probe = type(message)()
    probe.expression_string.expression = piece
    return Spot(what, part.name, part, parts, shown=shorten(piece), place=place(message), probe=probe)
