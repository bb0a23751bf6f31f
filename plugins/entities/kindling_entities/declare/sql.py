"""SQL that users write beside a declaration: read before anything runs, so that a slip is found with its place."""

from __future__ import annotations

from kindling_entities.errors import EntityDefinitionError


def columns_of(condition: str) -> tuple[str, ...]:
    """Parse a condition over one row and return the columns that it names, in order.

    Columns of structs and parameters of lambdas are left out.

    Raises:
        EntityDefinitionError: it does not parse (with line and column), or does not look at one row alone.
    """
    from sqlglot import exp, parse_one
    from sqlglot.errors import ParseError, TokenError

    try:
        tree = parse_one(condition, dialect="spark", into=exp.Condition)
    except ParseError as error:
        details = error.errors[0] if error.errors else {}
        line, column, near = details.get("line"), details.get("col"), details.get("highlight")
        what = str(details.get("description") or error).split(" for <class")[0].rstrip(".")
        place = f" at line {line}, column {column}, near {near!r}" if line is not None else ""
        raise EntityDefinitionError(f"does not parse{place}: {what}") from None
    except TokenError:
        raise EntityDefinitionError("does not parse: a quote or a comment is not closed") from None
    if tree.find(exp.Query) is not None:
        raise EntityDefinitionError("holds a query, but a condition looks at one row. Join in the pipe")
    for aggregate in tree.find_all(exp.AggFunc):
        if not isinstance(aggregate.parent, exp.Window):
            name = aggregate.sql(dialect="spark")
            raise EntityDefinitionError(f"aggregates ({name}), but a condition looks at one row. Aggregate in the pipe")
    parameters = {p.name for function in tree.find_all(exp.Lambda) for p in function.expressions}
    found = (c.name for c in tree.find_all(exp.Column) if not c.table and c.name not in parameters)
    return tuple(dict.fromkeys(found))
