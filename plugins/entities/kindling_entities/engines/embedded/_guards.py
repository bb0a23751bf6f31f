"""Expressions that treat overflow and NaN as Spark does, written with functions that Sail computes correctly.

Sail wraps integers that overflow, lets decimals grow beyond their digits, and leaves NaN out of ``min`` and ``max``
(and knows no infinity in them); ``isnan`` of null is null there, false on Spark. The expressions here are made of
calls, casts and cases alone, by a ``Maker``, since they are needed as Connect messages and as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

RANGES = {
    "tinyint": (-(2**7), 2**7 - 1),
    "smallint": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
FLOATING = frozenset({"float", "double"})
ARITHMETIC = {"+": "try_add", "-": "try_subtract", "*": "try_multiply"}
EXTREMES = frozenset({"min", "max"})
# Functions of a bigint that multiply it, with the factor.
MOMENTS = {"timestamp_seconds": 1_000_000, "timestamp_millis": 1_000}
# Functions whose result differs between evaluations.
VOLATILE = frozenset(
    ["rand", "random", "randn", "uuid", "randstr", "uniform", "shuffle", "monotonically_increasing_id"]
)
_MOST_DIGITS = 38
# Function -> the kind of its spot.
SPOT_KINDS = {
    "sum": "sum",
    **dict.fromkeys(EXTREMES, "extreme"),
    **dict.fromkeys(MOMENTS, "moment"),
    "isnan": "isnan",
}
# Functions that SQL text writes as a sign between two operands.
SIGNS = frozenset([*ARITHMETIC, "and", "or", "==", "<=", ">="])


class Maker(Protocol):
    """Makes expressions: Connect messages or SQL text."""

    def call(self, name: str, *arguments: Any) -> Any:
        """A function of expressions, or an operator between two."""

    def cast(self, inside: Any, kind: str) -> Any:
        """An expression cast to a type."""

    def text(self, value: str) -> Any:
        """A constant text."""

    def when(self, *branches: Any) -> Any:
        """A case: condition, value, condition, value, and so on; a last argument without a partner is the ``else``."""

    def null(self, kind: str) -> Any:
        """Null, as a type."""


@dataclass
class Spot:
    """A piece of an expression whose value may have to be guarded.

    Attributes:
        kind: "arithmetic", "sum", "extreme", "moment", "isnan", "either" (and, or), or "leaf" for any other operand.
        name: operator or function.
        handle: the piece itself, as its maker has it.
        parts: operands, or the argument.
        inner: of a leaf: the spots somewhere within it.
        constant: whether it is a number.
        volatile: whether it may give another value each time.
        shown: the piece as text, for messages.
        place: "file.py:line", where known.
        type: of its value, None where not known.
        certain: whether Sail takes it for this type, too, when it chooses functions.
        probe: the Connect expression whose type is asked of the server.
    """

    kind: str
    name: str
    handle: Any
    parts: list[Spot] = field(default_factory=list)
    inner: list[Spot] = field(default_factory=list)
    constant: bool = False
    volatile: bool = False
    shown: str = ""
    place: str = ""
    type: str | None = None
    certain: bool = True
    probe: Any = None

    def walk(self) -> Iterator[Spot]:
        """This spot and all below it."""
        yield self
        for spot in (*self.parts, *self.inner):
            yield from spot.walk()


class Guard:
    """Builds the guarded form of spots.

    Args:
        maker: of expressions.
        render: gives an operand with what lies within it guarded.
        substitute: gives an aggregate or function with another argument.
    """

    def __init__(self, maker: Maker, render: Any, substitute: Any) -> None:
        self._maker = maker
        self._render = render
        self._substitute = substitute

    def guarded(self, spot: Spot) -> Any | None:
        """The expression that takes the spot's place; None if it is right as it stands."""
        if not applies(spot):
            return None
        if spot.kind == "either":
            return self._either(spot)
        argument = spot.parts[0]
        if spot.kind == "arithmetic":
            kind = str(spot.type)
            return self._whole(spot) if kind in RANGES else self._within_digits(spot, kind)
        if spot.kind == "isnan":
            made = self._substitute(spot, self._render(argument))
            return self._maker.call("coalesce", made, self._maker.cast(self._maker.text("false"), "boolean"))
        kind = str(argument.type)
        if spot.kind == "sum":
            return self._sum(spot, "decimal(38,0)" if kind == "bigint" else None, kind)
        if spot.kind == "extreme":
            return self._extreme(spot)
        code, limit = self._render(argument), 2**63 // MOMENTS[spot.name] - 1
        return self._maker.when(
            self._between(code, "bigint", -limit, limit),
            self._substitute(spot, code),
            self._maker.call("isnotnull", code),
            self._error(spot, "timestamp"),
        )

    def _either(self, spot: Spot) -> Any:
        """``and`` and ``or`` whose right side is not evaluated where the left side decides; Sail evaluates both."""
        make = self._maker
        left, right = map(self._render, spot.parts)
        decided, test = (0, make.call("not", left)) if spot.name == "and" else (1, left)
        both = make.call(spot.name, left, right)
        # Of numbers, since the optimizer makes plain logic of a case of booleans.
        otherwise = make.when(both, self._number(1), make.call("not", both), self._number(0))
        return make.call("==", make.when(test, self._number(decided), otherwise), self._number(1))

    def _whole(self, spot: Spot) -> Any:
        if any(below.volatile for below in spot.walk()):
            # Not named in the error, but evaluated once.
            return self._by_decimals(spot)
        leaves: list[Any] = []
        chain = self._chain(spot, leaves)
        error = self._error(spot, str(spot.type))
        if leaves:
            nothing = self._maker.null(str(spot.type))
            nulls = [branch for leaf in leaves for branch in (self._maker.call("isnull", leaf), nothing)]
            error = self._maker.when(*nulls, error)
        return self._maker.call("coalesce", chain, error)

    def _chain(self, spot: Spot, leaves: list[Any]) -> Any:
        """A value that is null where some step overflows."""
        if spot.kind != "arithmetic" or spot.type not in RANGES or not applies(spot):
            code = self._render(spot)
            if not spot.constant:
                leaves.append(code)
            return code
        make, kind = self._maker, spot.type
        wanted = kind if kind == "bigint" else "int"
        sides = []
        for operand in spot.parts:
            side = self._chain(operand, leaves)
            # Messages may be nested 100 deep only, so a long sum gets no cast that it does not need.
            sides.append(side if operand.certain and operand.type == wanted else make.cast(side, wanted))
        if kind in ("int", "bigint"):
            return make.call(ARITHMETIC[spot.name], *sides)
        value = make.call(spot.name, *sides)
        return make.when(self._between(value, "int", *RANGES[kind]), make.cast(value, kind))

    def _by_decimals(self, spot: Spot) -> Any:
        if spot.kind != "arithmetic" or spot.type not in RANGES or not applies(spot):
            return self._render(spot)
        sides = [self._maker.cast(self._by_decimals(operand), "decimal(19,0)") for operand in spot.parts]
        return self._maker.cast(self._maker.call(spot.name, *sides), spot.type)

    def _within_digits(self, spot: Spot, kind: str) -> Any:
        value = self._maker.call(spot.name, *(self._render(operand) for operand in spot.parts))
        return self._maker.when(
            self._in_digits(value, kind),
            value,
            self._maker.call("isnotnull", value),
            self._error(spot, kind),
        )

    def _sum(self, spot: Spot, wider: str | None, kind: str) -> Any:
        argument = self._render(spot.parts[0])
        value = self._substitute(spot, self._maker.cast(argument, wider) if wider else argument)
        if wider:
            fits, result = self._between(value, wider, *RANGES[kind]), self._maker.cast(value, kind)
        else:
            kind = f"decimal(38,{_scale(kind)})"
            fits, result = self._in_digits(value, kind), value
        return self._maker.when(fits, result, self._maker.call("isnotnull", value), self._error(spot, kind))

    def _extreme(self, spot: Spot) -> Any:
        """``min`` or ``max``, decided by levels first: where all values are infinite or NaN, that is the result."""
        make, argument = self._maker, self._render(spot.parts[0])
        number = self._number
        kind = str(spot.parts[0].type)
        nan, present = make.call("isnan", argument), make.call("isnotnull", argument)
        low = spot.name == "min"
        edge = make.cast(make.text("Infinity" if low else "-Infinity"), kind)
        infinite = make.call("==", argument, edge)
        levels = (nan, number(2), infinite, number(1 if low else 0), present, number(0 if low else 1))
        level = self._substitute(spot, make.when(*levels))
        plain = self._substitute(spot, make.when(make.call("not", nan), argument))
        return make.when(
            make.call("==", level, number(2)),
            make.cast(make.text("NaN"), kind),
            make.call("==", level, number(1 if low else 0)),
            edge,
            make.call("isnotnull", level),
            plain,
        )

    def _number(self, value: int) -> Any:
        return self._maker.cast(self._maker.text(str(value)), "int")

    def _between(self, code: Any, kind: str, low: int, high: int) -> Any:
        make = self._maker
        least, most = (make.cast(make.text(str(value)), kind) for value in (low, high))
        return make.call("and", make.call(">=", code, least), make.call("<=", code, most))

    def _in_digits(self, code: Any, kind: str) -> Any:
        digits, scale = "9" * _MOST_DIGITS, _scale(kind)
        most = digits[: _MOST_DIGITS - scale] + ("." + digits[:scale] if scale else "")
        make = self._maker
        least, most = (make.cast(make.text(value), kind) for value in ("-" + most, most))
        return make.call("and", make.call(">=", code, least), make.call("<=", code, most))

    def _error(self, spot: Spot, kind: str) -> Any:
        where = f" at {spot.place}" if spot.place else ""
        advice = ""
        if kind in RANGES:
            instead = ARITHMETIC.get(spot.name, "try_sum")
            advice = f" Cast to a wider type, such as decimal(38,0), or use {instead}, which gives null."
        return self._maker.call(
            "raise_error",
            self._maker.text(f"[ARITHMETIC_OVERFLOW] {kind} overflow in {spot.shown}{where}.{advice}"),
        )


def applies(spot: Spot) -> bool:
    """Whether a spot has to be guarded, now that the types are known."""
    if spot.kind == "isnan":
        return True
    if spot.kind == "either":
        # Only what may fail must not be evaluated in vain.
        return any(may_fail(below) for below in spot.parts[1].walk())
    kind = spot.type if spot.kind == "arithmetic" else spot.parts[0].type if spot.parts else None
    if kind is None:
        return False
    if spot.kind == "arithmetic":
        # A difference of dates is a number, too.
        of_numbers = all(part.type in RANGES or part.type in (None, "void", "string") for part in spot.parts)
        return (kind in RANGES and of_numbers) or _digits(kind) == _MOST_DIGITS
    if spot.kind == "sum":
        return kind == "bigint" or _digits(kind) > _MOST_DIGITS - 10
    return kind in FLOATING if spot.kind == "extreme" else kind == "bigint"


def _digits(kind: str) -> int:
    return int(kind[8:].split(",")[0]) if kind.startswith("decimal(") else 0


def _scale(kind: str) -> int:
    return int(kind[:-1].split(",")[1])


def shorten(text: str, most: int = 80) -> str:
    """A text for a message, on a single line and not too long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 3] + "..."


def may_fail(spot: Spot) -> bool:
    """Whether the guarded form of a spot raises an error for some values."""
    return spot.kind in ("arithmetic", "sum", "moment") and applies(spot)


def all_spots(spots: Sequence[Spot]) -> Iterator[Spot]:
    """Every spot, however deep."""
    for spot in spots:
        yield from spot.walk()
