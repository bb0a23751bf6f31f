"""Rewrites the plans that go to Sail, so that arithmetic which overflows fails there as on Spark.

An interceptor of the session's channel sees each plan that is to be executed, whoever made it. Types are asked of the
server, by a projection of the expressions on the relation whose rows they read, with one request for each relation
that has such expressions. Names and types of columns stay what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from kindling_entities.declare.quoting import quote
from kindling_entities.engines.embedded._guards import all_spots, may_fail
from kindling_entities.engines.embedded._message_spots import message_root
from kindling_entities.engines.embedded._messages import is_watched, may_raise, messages, names_in
from kindling_entities.engines.embedded._schemas import Schemas, has_branches
from kindling_entities.engines.embedded._spots import Root
from kindling_entities.engines.embedded._text_spots import text_root


class GuardedPlans(grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """Guards the expressions of each plan that is executed.

    Attributes:
        schemas: asks the server for types; None until the session's client exists.
    """

    def __init__(self) -> None:
        self.schemas: Schemas | None = None

    def intercept_unary_stream(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        """Called by gRPC for each stream that the client opens."""
        schemas = self.schemas
        executed = details.method.endswith("/ExecutePlan") and schemas is not None and not schemas.asking
        if schemas is not None and executed and _concerns(request.plan):
            guarded = type(request)()
            guarded.CopyFrom(request)
            for relation in _relations(guarded.plan):
                _guard(schemas, relation, frozenset())
            request = guarded
        return continuation(details, request)


def _concerns(plan: Any) -> bool:
    return is_watched(plan) or any(map(_filters, _relations(plan)))


def _filters(relation: Any, *, fallible: bool = False) -> bool:
    """Whether something that may fail is computed above a filter."""
    kind = relation.WhichOneof("rel_type")
    if kind is None:
        return False
    if kind == "filter" and fallible:
        return True
    below = list(messages(getattr(relation, kind)))
    fallible = fallible or any(map(may_raise, below))
    return any(_filters(item, fallible=fallible) for item in below if item.DESCRIPTOR.name == "Relation")


def _relations(message: Any) -> Iterator[Any]:
    """The outermost relations below a message."""
    if message.DESCRIPTOR.name == "Relation":
        yield message
        return
    for below in messages(message):
        yield from _relations(below)


def _roots_in(message: Any) -> Iterator[Root]:
    """The outermost expressions below a message that have spots within them."""
    name = message.DESCRIPTOR.name
    if name == "Relation":
        return
    if name == "Expression":
        root = text_root(message) if message.HasField("expression_string") else message_root(message)
        if root is not None:
            yield root
            return
    for below in messages(message):
        yield from _roots_in(below)


def _guard(schemas: Schemas, relation: Any, above: frozenset[str]) -> None:
    """Guard the expressions of a relation and of those below it, in place.

    Args:
        above: the names that relations above use, empty where none of these has a guard that may fail.
    """
    kind = relation.WhichOneof("rel_type")
    if kind is None:
        return
    node = getattr(relation, kind)
    children: list[Any] = []
    others: list[Any] = []
    for below in messages(node):
        (children if below.DESCRIPTOR.name == "Relation" else others).append(below)
    fails = False
    columns = _columns(kind, node)
    found = [(expression, list(_roots_in(expression))) for expression in (others if columns is None else columns)]
    roots = [root for _, inside in found for root in inside]
    scope = _scope(kind, node, children) if roots else None
    if scope is not None:
        _ask_types(schemas, scope, roots)
        changed = [(expression, inside) for expression, inside in found if any(root.needs_guard() for root in inside)]
        names = _names(schemas, relation, scope, columns, [expression for expression, _ in changed])
        for (expression, inside), name in zip(changed, names, strict=True):
            # Without its name a column would come out under another.
            if name is None and columns is not None:
                continue
            fails = fails or any(map(may_fail, all_spots([spot for root in inside for spot in root.spots])))
            for root in inside:
                if root.needs_guard():
                    root.rewrite(drop_alias=bool(name))
            if name:
                _rename(expression, name)
    if above or fails or any(map(may_raise, others)):
        above = above.union(*map(names_in, others))
    if kind == "filter" and above and children:
        _hold_back(schemas, node, above)
    for child in children:
        _guard(schemas, child, above)


def _hold_back(schemas: Schemas, node: Any, names: frozenset[str]) -> None:
    """Keep expressions that are computed above a filter from being moved below it.

    Sail moves a projection below a filter where it has fewer columns than go in, so that expressions fail for rows that
    the filter leaves out. It cannot where the filter looks at a column that the projection does not hand on.
    """
    found = [name for name, _ in schemas.of(node.input) or [] if name.lower() in names]
    if not found:
        return
    condition = type(node.condition)()
    condition.CopyFrom(node.condition)
    held = type(node.condition)()
    # Always true, which the optimizer does not see; it costs a look at which values are null.
    held.expression_string.expression = " and ".join(
        f"({quote(name)} is null or {quote(name)} is not null)" for name in dict.fromkeys(found)
    )
    node.condition.Clear()
    node.condition.unresolved_function.function_name = "and"
    node.condition.unresolved_function.arguments.extend([condition, held])


def _columns(kind: str, node: Any) -> list[Any] | None:
    """The expressions whose names are those of columns; None for a relation without such."""
    if kind == "project":
        return list(node.expressions)
    if kind != "aggregate":
        return None
    # The names of a pivot's columns are made of its expressions, and grouping sets name expressions again.
    if node.HasField("pivot"):
        return []
    return [*([] if node.grouping_sets else node.grouping_expressions), *node.aggregate_expressions]


def _rename(expression: Any, name: str) -> None:
    inside = type(expression)()
    inside.CopyFrom(expression)
    expression.Clear()
    expression.alias.expr.CopyFrom(inside)
    expression.alias.name.append(name)


def _scope(kind: str, node: Any, children: list[Any]) -> Any | None:
    """The relation that the expressions of a node look at."""
    if len(children) == 1:
        return children[0]
    if kind != "join":
        return None
    import pyspark.sql.connect.proto as proto

    both = proto.Relation()
    both.join.left.CopyFrom(node.left)
    both.join.right.CopyFrom(node.right)
    both.join.join_type = proto.Join.JoinType.JOIN_TYPE_CROSS
    return both


def _ask_types(schemas: Schemas, scope: Any, roots: list[Root]) -> None:
    wanted = [spot for root in roots for spot in all_spots(root.spots) if spot.probe is not None]
    # What aggregates does not go beside plain columns.
    grouped = [spot for spot in wanted if any(below.kind in ("sum", "extreme") for below in spot.walk())]
    apart = set(map(id, grouped))
    certain = not has_branches(scope)
    for spots in (grouped, [spot for spot in wanted if id(spot) not in apart]):
        columns = schemas.expressions(scope, [spot.probe for spot in spots], named=True)
        for spot, column in zip(spots, columns, strict=True):
            spot.type = None if column is None else column[1]
            spot.certain = certain and not has_branches(spot.probe)


def _names(
    schemas: Schemas, relation: Any, scope: Any, columns: list[Any] | None, changed: list[Any]
) -> list[str | None]:
    """The name that each changed column must keep: "" where it has an alias, None where the name is not known."""
    if columns is None or all(expression.HasField("alias") for expression in changed):
        return [""] * len(changed)
    known = schemas.of(relation)
    names: list[str | None] = []
    for expression in changed:
        if expression.HasField("alias"):
            names.append("")
        elif known is not None and len(known) == len(columns):
            names.append(known[next(index for index, column in enumerate(columns) if column is expression)][0])
        else:
            (found,) = schemas.expressions(scope, [expression], named=False)
            names.append(None if found is None else found[0])
    return names
