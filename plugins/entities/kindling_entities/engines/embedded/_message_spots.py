"""Finds spots in Connect expressions, and puts their guarded form in place."""

from __future__ import annotations

from typing import Any

from kindling_entities.engines.embedded._guards import ARITHMETIC, SIGNS, SPOT_KINDS, VOLATILE, Guard, Spot, shorten
from kindling_entities.engines.embedded._messages import messages, place
from kindling_entities.engines.embedded._spots import Root, either, untyped


class _Messages:
    """Makes Connect expressions. A ``Maker``."""

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


class MessageRoot(Root):
    """A Connect expression with spots in its messages."""

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


def message_root(message: Any) -> Root | None:
    """The root of a Connect expression; None if it is no spot."""
    spot = _spot(message)
    return None if spot is None else MessageRoot(message, [spot])


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
        for expression in (*message.window.partition_spec, *message.window.order_spec):
            spot.inner += _inner(expression)
        return spot
    if kind != "unresolved_function":
        return None
    called = message.unresolved_function
    name, arguments = called.function_name, called.arguments
    if name in ("and", "or") and len(arguments) == 2:
        return either(name, message, [_operand(argument) for argument in arguments])
    if name in ARITHMETIC and len(arguments) == 2:
        what = "arithmetic"
    elif name in SPOT_KINDS and len(arguments) == 1:
        what = SPOT_KINDS[name]
    else:
        return None
    parts = [_operand(argument) for argument in arguments]
    made = Spot(what, name, message, parts, shown=shorten(_shown(message)), place=place(message), probe=message)
    return untyped(made) if what == "isnan" else made


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
    for below in messages(message):
        name = below.DESCRIPTOR.name
        if name in ("Relation", "LambdaFunction"):
            continue
        spot = _spot(below) if name == "Expression" else None
        found += [spot] if spot is not None else _inner(below)
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
        texts = [_shown(argument) for argument in arguments]
        if name in SIGNS and len(texts) == 2:
            return f"{texts[0]} {name} {texts[1]}"
        return f"{name}({', '.join(texts)})"
    if kind == "cast":
        return f"cast({_shown(message.cast.expr)})"
    return "..."
