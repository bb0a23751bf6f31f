"""The MERGE statement of Spark: its clauses, the rows that it inserts, and the keys that make it fail."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from kindling_entities.declare.quoting import quote
from kindling_entities.engines.spark import _frames
from kindling_entities.errors import MergeKeyError
from kindling_entities.protocols import MergeRules, Table
from kindling_entities.rules.refusals import SHOWN_KEYS, null_key, repeated_keys


def clauses(stored: pa.Schema, rules: MergeRules | None) -> str:
    """The WHEN clauses of a merge. For each row the first clause that applies counts."""
    rules = rules or MergeRules()
    names = list(map(quote, stored.names))
    # A star would store the helper columns, too.
    stars = not rules.helpers
    values = "*" if stars else ", ".join(f"t.{name} = s.{name}" for name in names)
    row = "*" if stars else f"({', '.join(names)}) values ({', '.join(f's.{name}' for name in names)})"
    clauses = [] if rules.delete_when is None else [f"when matched and ({rules.delete_when}) then delete"]
    condition = "" if rules.update_when is None else f" and ({rules.update_when})"
    clauses.append(f"when matched{condition} then update set {values}")
    condition = "" if rules.insert_flag is None else f" and s.{quote(rules.insert_flag)}"
    clauses.append(f"when not matched{condition} then insert {row}")
    if rules.delete_missing:
        clauses.append("when not matched by source then delete")
    return " ".join(clauses)


def without_helpers(schema: pa.Schema, rules: MergeRules | None) -> pa.Schema:
    """The columns of a source that the table stores."""
    return pa.schema([field for field in schema if rules is None or field.name not in rules.helpers])


def inserted(source: Any, schema: pa.Schema, keys: list[str], rules: MergeRules | None) -> tuple[Any, pa.Schema]:
    """The rows that a merge inserts where there is no table yet, and their schema."""
    guarded = _frames.guarded(source, schema, keys)
    if rules is None:
        return guarded, schema
    if rules.insert_flag is not None:
        guarded = guarded.where(quote(rules.insert_flag))
    stored = without_helpers(schema, rules)
    return guarded.selectExpr(*map(quote, stored.names)), stored


def bad_keys(table: Table, source: Any, keys: list[str]) -> MergeKeyError | None:
    """Find the keys that made a merge fail: null, or more than once; None if there are none.

    It reads the source once more, so it is called only after the failure.
    """
    from pyspark.sql.functions import expr

    columns = [quote(key) for key in keys]
    for key, column in zip(keys, columns, strict=True):
        nulls = source.filter(f"{column} is null").count()
        if nulls:
            return null_key(table, key, nulls)
    counted = source.groupBy(*columns).agg(expr("count(1) as __kindling_rows"))
    twice = counted.filter("__kindling_rows > 1").drop("__kindling_rows")
    rows = twice.limit(SHOWN_KEYS).collect()
    return repeated_keys(table, keys, twice.count(), rows) if rows else None
