"""Rules that a table itself has: which they are, which of them delta-rs does not check, and which rule rows break."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import DeltaError

from kindling_entities.declare.casts import shown
from kindling_entities.errors import ConstraintError, UnsupportedError
from kindling_entities.protocols import Table

_CHECK = "delta.constraints."
_LENGTH = re.compile(r"(varchar|char)\((\d+)\)", re.IGNORECASE)
# What delta-rs says of rows that break any rule.
_BROKEN = "failed validation check"


@dataclass(frozen=True)
class Rules:
    """The rules of a table (Delta protocol, "Table Features").

    Attributes:
        append_only: rows are never changed or removed.
        checks: rule as people call it -> SQL that must be true: CHECK constraints, invariants, generated columns.
        required: columns that are NOT NULL.
        lengths: column -> ("varchar" or "char", characters).
        nested_lengths: columns within which a text has a length.
        computed: columns that the table fills itself where a frame lacks them.
    """

    append_only: bool = False
    checks: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    lengths: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    nested_lengths: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()


def rules_of(opened: DeltaTable) -> Rules:
    """Read the rules of a table from its metadata."""
    properties = opened.metadata().configuration
    checks = {
        f"CHECK constraint {key.removeprefix(_CHECK)!r}": value
        for key, value in properties.items()
        if key.startswith(_CHECK) and value is not None
    }
    required, computed, nested = [], [], []
    lengths: dict[str, tuple[str, int]] = {}
    for column in opened.schema().fields:
        name, metadata = column.name, column.metadata
        if not column.nullable:
            required.append(name)
        if not metadata:
            continue
        if "delta.invariants" in metadata:
            checks[f"invariant of column {name!r}"] = _invariant(metadata["delta.invariants"])
        if "delta.generationExpression" in metadata:
            expression = metadata["delta.generationExpression"]
            checks[f"generated column {name!r}"] = f"`{name.replace('`', '``')}` is not distinct from ({expression})"
            computed.append(name)
        if "delta.identity.start" in metadata:
            computed.append(name)
        length = metadata.get("__CHAR_VARCHAR_TYPE_STRING")
        if length is not None:
            match = _LENGTH.fullmatch(str(length))
            if match is None:
                nested.append(name)
            else:
                lengths[name] = (match[1].lower(), int(match[2]))
    return Rules(
        properties.get("delta.appendOnly") == "true",
        checks,
        tuple(required),
        lengths,
        tuple(nested),
        tuple(computed),
    )


def _invariant(text: Any) -> str:
    # {"expression": {"expression": "n > 0"}}, by the protocol, "Column Invariants".
    try:
        return str(json.loads(text)["expression"]["expression"])
    except (ValueError, KeyError, TypeError):
        return str(text)


def fillable(rules: Rules, target: pa.Schema, given: pa.Schema) -> pa.Schema:
    """The columns to write: without those that the frame lacks and the table computes."""
    if not set(rules.computed) - set(given.names):
        return target
    return pa.schema([f for f in target if f.name in given.names or f.name not in rules.computed])


def checker(table: Table, rules: Rules, *, all_stored: bool = True) -> Callable[[pa.RecordBatch], None] | None:
    """Make what refuses rows that break a rule which delta-rs does not check or does not name.

    Args:
        all_stored: False where some of the rows only delete others, and may lack what a stored row needs.

    Raises:
        UnsupportedError: a text within a nested column has a length.
    """
    if rules.nested_lengths:
        raise UnsupportedError(
            f"{table.entity_id!r}: texts within column {rules.nested_lengths[0]!r} have a greatest length, which the "
            'embedded engine does not check. Use engine = "spark" for this job.'
        )
    required = rules.required if all_stored else ()
    if not required and not rules.lengths:
        return None

    def check(batch: pa.RecordBatch) -> None:
        for name in required:
            index = batch.schema.get_field_index(name)
            nulls = batch.column(index).null_count if index >= 0 else 0
            if nulls:
                raise _broken(table, f"column {name!r} is NOT NULL", f"{nulls} row(s) have NULL")
        for name, (kind, length) in rules.lengths.items():
            index = batch.schema.get_field_index(name)
            if index >= 0:
                for value in _of_other_length(batch.column(index), kind, length):
                    wanted = f"column {name!r} is {kind}({length})"
                    raise _broken(table, wanted, f"{shown(value)} has {len(value.as_py())} characters")

    return check


def _of_other_length(texts: pa.Array, kind: str, length: int) -> Iterator[pa.Scalar]:
    found = pc.utf8_length(texts)
    bad = texts.filter(pc.greater(found, length) if kind == "varchar" else pc.not_equal(found, length))
    # A char is padded with blanks, so a shorter text would not come back equal.
    yield from bad[:1]


def _broken(table: Table, rule: str, how: str) -> ConstraintError:
    return ConstraintError(
        f"{table.entity_id!r} at {table.place}: {rule}, and {how}. Nothing was written. Correct the rows in the pipe."
    )


def explained(
    table: Table, rules: Rules, error: BaseException, rows: Callable[[], pa.RecordBatchReader], folder: str
) -> ConstraintError | None:
    """Name the rule that rows break by which delta-rs refused a write; None of any other error.

    Args:
        rows: reads them once more; only after such a failure.
        folder: for a temporary copy of them.
    """
    if _BROKEN not in str(error) or not (rules.checks or rules.required):
        return None
    with tempfile.TemporaryDirectory(prefix="broken-", dir=folder) as copy:
        for rule, condition in rules.checks.items() if len(rules.checks) > 1 or rules.required else ():
            found = _counted(copy, condition, rows)
            if found:
                return _broken(table, f"{rule} is {condition}", f"{found} row(s) do not meet it")
    every = [f"{rule} ({condition})" for rule, condition in rules.checks.items()]
    every += [f"NOT NULL of column {name!r}" for name in rules.required]
    count = re.search(r"(\d+) rows " + _BROKEN, str(error))
    how = f"{count[1] if count else 'some'} row(s) do not meet it"
    return _broken(table, every[0] if len(every) == 1 else f"one of its rules: {'; '.join(every)}", how)


def _counted(folder: str, condition: str, rows: Callable[[], pa.RecordBatchReader]) -> int:
    """How many rows break a condition, by the engine that checks it; 0 where the count fails."""
    try:
        if not DeltaTable.is_deltatable(folder):
            write_deltalake(folder, rows())
        query = f"select count(*) as n from t where not coalesce({condition}, false)"
        result = QueryBuilder().register("t", DeltaTable(folder)).execute(query).read_all()
        return int(pa.table(result)["n"][0].as_py())
    except (DeltaError, ValueError, OSError, pa.ArrowException):
        return 0
