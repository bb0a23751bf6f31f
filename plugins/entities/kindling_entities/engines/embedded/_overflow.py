"""Finds integer arithmetic in a frame's plan that wraps on Sail where Spark raises, before rows are computed.

The plan is the Spark Connect message; types are asked of the server, by a projection of the suspicious expressions on
the relation that they look at. What cannot be resolved so (a join's condition, SQL text as a whole) is passed over:
``kindling verify`` compares the results.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# Functions whose integers are too small for a sum or a product of a few to overflow.
_SMALL = frozenset(
    [
        "hour",
        "minute",
        "second",
        "day",
        "dayofmonth",
        "dayofweek",
        "dayofyear",
        "weekday",
        "weekofyear",
        "month",
        "quarter",
        "year",
        "length",
        "size",
        "char_length",
        "octet_length",
        "ascii",
        "bit_length",
        "cardinality",
        "levenshtein",
        "sign",
        "signum",
        "datediff",
    ]
)
_NARROW = frozenset({"tinyint", "smallint", "int"})
_LARGE_LITERAL = 1000
_ARITHMETIC = frozenset("+-*")


@dataclass(frozen=True)
class Overflow:
    """Arithmetic that may wrap.

    Attributes:
        operator: "+", "-" or "*".
        type: of its result.
        place: "file.py:line" of the expression, or its text, where known.
    """

    operator: str
    type: str
    place: str


def overflows(frame: Any, skip: Callable[[str], bool]) -> list[Overflow]:
    """Look through the plan of a Spark Connect frame.

    Args:
        skip: whether a place has been looked at; it costs a question to the server.
    """
    client = frame._session.client
    found = []
    for relation, expressions in _scopes(frame._plan.to_proto(client).root):
        suspects = [(one, operator, place) for one, operator, place in expressions if not skip(place)]
        kinds = _types(client, relation, [one for one, _, _ in suspects])
        for (_, operator, place), kind in zip(suspects, kinds, strict=True):
            if kind in _NARROW or (kind == "bigint" and operator == "*"):
                found.append(Overflow(operator, kind, place))
    return found


def _scopes(relation: Any) -> Iterator[tuple[Any, list[tuple[Any, str, str]]]]:
    """Each relation that others look at, with the suspicious arithmetic of what looks at it."""
    kind = relation.WhichOneof("rel_type")
    if kind is None:
        return
    node = getattr(relation, kind)
    children: list[Any] = []
    expressions: list[tuple[Any, str, str]] = []
    for one in _messages(node):
        if one.DESCRIPTOR.name == "Relation":
            children.append(one)
        else:
            expressions += _suspects(one)
    if len(children) == 1 and expressions:
        yield children[0], expressions
    for child in children:
        yield from _scopes(child)


def _suspects(message: Any) -> Iterator[tuple[Any, str, str]]:
    """The outermost suspicious arithmetic below a message: expression, operator, place."""
    name = message.DESCRIPTOR.name
    if name == "Relation":
        return
    if name == "Expression":
        kind = message.WhichOneof("expr_type")
        if kind == "expression_string":
            yield from _in_text(message)
            return
        if kind == "unresolved_function":
            function = message.unresolved_function
            binary = function.function_name in _ARITHMETIC and len(function.arguments) == 2
            if binary and not all(map(_is_small, function.arguments)) and not _by_little(function):
                yield message, function.function_name, _place(message)
                return
    for one in _messages(message):
        yield from _suspects(one)


def _by_little(function: Any) -> bool:
    """A column and a small constant: what everybody writes, and what overflows only at the very edge."""
    return any(_is_small(one) for one in function.arguments if one.WhichOneof("expr_type") == "literal")


def _is_small(message: Any) -> bool:
    kind = message.WhichOneof("expr_type")
    if kind == "literal":
        literal = message.literal
        value = getattr(literal, literal.WhichOneof("literal_type"))
        # Any other literal makes no integer.
        return not isinstance(value, int) or abs(value) < _LARGE_LITERAL
    if kind == "cast":
        return _is_small(message.cast.expr)
    if kind == "unresolved_function":
        function = message.unresolved_function
        if function.function_name in _SMALL:
            return True
        return function.function_name in _ARITHMETIC and all(map(_is_small, function.arguments))
    return False


def _in_text(message: Any) -> Iterator[tuple[Any, str, str]]:
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    text = message.expression_string.expression
    if not any(operator in text for operator in _ARITHMETIC):
        return
    operators = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
    try:
        tree = parse_one(text, dialect="spark")
    except SqlglotError:
        return
    for node in tree.find_all(*operators):
        inside = node.find_ancestor(*operators) is not None
        literal = any(isinstance(side, exp.Literal) for side in (node.this, node.expression))
        if inside or literal or all(_is_small_text(side) for side in (node.this, node.expression)):
            continue
        part = type(message)()
        part.expression_string.expression = node.sql(dialect="spark")
        yield part, operators[type(node)], part.expression_string.expression


def _is_small_text(node: Any) -> bool:
    from sqlglot import exp

    if isinstance(node, exp.Literal):
        return True
    if isinstance(node, (exp.Cast, exp.Paren)):
        return _is_small_text(node.this)
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
        return _is_small_text(node.this) and _is_small_text(node.expression)
    return isinstance(node, exp.Func) and node.sql_name().lower().replace("_", "") in _SMALL


def _types(client: Any, relation: Any, expressions: list[Any]) -> list[str | None]:
    if not expressions:
        return []
    import pyspark.sql.connect.proto as proto
    from pyspark.errors import PySparkException

    plan = proto.Plan()
    plan.root.project.input.CopyFrom(relation)
    for index, expression in enumerate(expressions):
        alias = plan.root.project.expressions.add().alias
        alias.expr.CopyFrom(expression)
        alias.name.append(f"c{index}")
    try:
        fields = client.schema(plan).fields
    except PySparkException:
        # Together they may not resolve (an aggregate beside a column), one by one most do.
        return [None] if len(expressions) == 1 else [_types(client, relation, [one])[0] for one in expressions]
    return [field.dataType.simpleString() for field in fields]


def _place(message: Any) -> str:
    origin = message.common.origin.python_origin.call_site if message.HasField("common") else ""
    file, _, line = origin.rpartition(":")
    return f"{os.path.basename(file)}:{line}" if file else str(message)[:80]


def _messages(message: Any) -> Iterator[Any]:
    """The messages in the fields of a message, repeated ones each."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            # What is repeated is a container without a descriptor; a map yields its keys.
            yield from [value] if hasattr(value, "DESCRIPTOR") else (one for one in value if hasattr(one, "DESCRIPTOR"))
