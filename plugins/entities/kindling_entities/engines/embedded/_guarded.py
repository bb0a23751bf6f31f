"""Rewrites the plans that go to Sail, so that arithmetic which overflows fails there as on Spark.

An interceptor of the session's channel sees each plan that is to be executed, whoever made it. Types are asked of the
server, by a projection of the expressions in question on the relation that they look at: one question for each
relation that has any. Names and types of columns stay what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from kindling_entities.engines.embedded._guards import all_spots
from kindling_entities.engines.embedded._spots import Root, is_watched, messages, roots_in


class GuardedPlans(grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """Guards what is executed; the client is set once it exists."""

    def __init__(self) -> None:
        self.client: Any = None

    def intercept_unary_stream(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        """Called by gRPC for each stream that the client opens."""
        if self.client is not None and details.method.endswith("/ExecutePlan") and is_watched(request.plan):
            guarded = type(request)()
            guarded.CopyFrom(request)
            for relation in _relations(guarded.plan):
                _guard(self.client, relation)
            request = guarded
        return continuation(details, request)


def _relations(message: Any) -> Iterator[Any]:
    """The outermost relations below a message."""
    if message.DESCRIPTOR.name == "Relation":
        yield message
        return
    for one in messages(message):
        yield from _relations(one)


def _guard(client: Any, relation: Any) -> None:
    """Guard the expressions of a relation and of those below it, in place."""
    kind = relation.WhichOneof("rel_type")
    if kind is None:
        return
    node = getattr(relation, kind)
    children: list[Any] = []
    others: list[Any] = []
    for one in messages(node):
        (children if one.DESCRIPTOR.name == "Relation" else others).append(one)
    columns = _columns(kind, node)
    found = [(one, list(roots_in(one))) for one in (others if columns is None else columns)]
    roots = [root for _, inside in found for root in inside]
    scope = _scope(kind, node, children) if roots else None
    if scope is not None:
        _ask_types(client, scope, roots)
        changed = [(one, inside) for one, inside in found if any(root.needs_guard() for root in inside)]
        names = _names(client, relation, scope, columns, [one for one, _ in changed])
        for (one, inside), name in zip(changed, names, strict=True):
            # Without its name a column would come out under another.
            if name is None and columns is not None:
                continue
            for root in inside:
                if root.needs_guard():
                    root.rewrite(drop_alias=bool(name))
            if name:
                _rename(one, name)
    for child in children:
        _guard(client, child)


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


def _ask_types(client: Any, scope: Any, roots: list[Root]) -> None:
    wanted = [spot for root in roots for spot in all_spots(root.spots) if spot.probe is not None]
    # What aggregates does not go beside plain columns.
    grouped = [spot for spot in wanted if any(one.kind in ("sum", "extreme") for one in spot.walk())]
    plain = [spot for spot in wanted if spot not in grouped]
    for spots in (grouped, plain):
        fields = _fields(client, scope, [spot.probe for spot in spots], named=True)
        for spot, field in zip(spots, fields, strict=True):
            spot.type = None if field is None else field.dataType.simpleString()


def _names(client: Any, relation: Any, scope: Any, columns: list[Any] | None, changed: list[Any]) -> list[str | None]:
    """The names that changed columns must keep: empty where they have an alias, None where one cannot be found out."""
    if columns is None or all(one.HasField("alias") for one in changed):
        return [""] * len(changed)
    fields = _schema(client, relation)
    names: list[str | None] = []
    for one in changed:
        if one.HasField("alias"):
            names.append("")
        elif fields is not None and len(fields) == len(columns):
            names.append(fields[next(index for index, column in enumerate(columns) if column is one)].name)
        else:
            (field,) = _fields(client, scope, [one], named=False)
            names.append(None if field is None else field.name)
    return names


def _schema(client: Any, relation: Any) -> Any | None:
    import pyspark.sql.connect.proto as proto
    from pyspark.errors import PySparkException

    plan = proto.Plan()
    plan.root.CopyFrom(relation)
    try:
        return client.schema(plan).fields
    except PySparkException:
        return None


def _fields(client: Any, scope: Any, expressions: list[Any], *, named: bool) -> list[Any]:
    """The columns that expressions make of a relation; None for what does not resolve."""
    if not expressions:
        return []
    import pyspark.sql.connect.proto as proto

    projection = proto.Relation()
    projection.project.input.CopyFrom(scope)
    for index, expression in enumerate(expressions):
        if named:
            alias = projection.project.expressions.add().alias
            alias.expr.CopyFrom(expression)
            alias.name.append(f"c{index}")
        else:
            projection.project.expressions.add().CopyFrom(expression)
    fields = _schema(client, projection)
    if fields is not None and len(fields) == len(expressions):
        return list(fields)
    # Together they may not resolve, one by one most do.
    if len(expressions) == 1:
        return [None]
    return [_fields(client, scope, [one], named=named)[0] for one in expressions]
