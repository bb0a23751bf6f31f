"""Finds arithmetic whose overflow Sail does not report and that ``GuardedPlans`` cannot guard: in whole SQL queries and
in lambda functions. Whoever runs the frame can then warn before rows are computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kindling_entities.engines.embedded._guards import ARITHMETIC, shorten
from kindling_entities.engines.embedded._messages import messages, place
from kindling_entities.engines.embedded._sqltext import Unreadable, arithmetic_in, parse


@dataclass(frozen=True)
class Overflow:
    """Arithmetic that may wrap.

    Attributes:
        operator: "+", "-", "*" or "sum".
        where: what it stands in: "SQL text" or "a lambda function".
        place: "file.py:line" of the expression, or its text, where known.
    """

    operator: str
    where: str
    place: str


def overflows(frame: Any) -> list[Overflow]:
    """Look through the plan of a Spark Connect frame. Nothing is asked of the server."""
    return list(_found(frame._plan.to_proto(frame._session.client)))


def _found(message: Any) -> Iterator[Overflow]:
    name = message.DESCRIPTOR.name
    if name == "SQL":
        yield from _in_text(message.query, "SQL text", shorten(message.query, 60))
    elif name == "Expression" and message.HasField("expression_string"):
        text = message.expression_string.expression
        if any(sign in text for sign in (*ARITHMETIC, "->")):
            try:
                parse(text)
            except Unreadable:
                yield from _in_text(text, "SQL text", place(message) or shorten(text, 60))
    elif name == "Expression" and message.HasField("lambda_function"):
        yield from _in_lambda(message.lambda_function, place(message))
    else:
        for below in messages(message):
            yield from _found(below)


def _in_text(text: str, where: str, shown_place: str) -> Iterator[Overflow]:
    operator = arithmetic_in(text)
    if operator is not None:
        yield Overflow(operator, where, shown_place)


def _in_lambda(message: Any, shown_place: str) -> Iterator[Overflow]:
    if message.DESCRIPTOR.name == "UnresolvedFunction" and message.function_name in ARITHMETIC:
        yield Overflow(message.function_name, "a lambda function", shown_place)
        return
    for below in messages(message):
        inside = place(below) if below.DESCRIPTOR.name == "Expression" else ""
        yield from _in_lambda(below, inside or shown_place)
