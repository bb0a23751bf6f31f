"""Schemas: of declared columns, in normal form, compared and fitted to each other. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from kindling_entities.declare.names import same_but_for_case
from kindling_entities.declare.types import TYPE_NAMES, parse_type, type_name
from kindling_entities.errors import SchemaError

# What each integer type needs in decimal digits, to decide whether a decimal holds it.
_INT_RANK = {pa.int8(): 3, pa.int16(): 5, pa.int32(): 10, pa.int64(): 19}
_UNSIGNED = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}


@dataclass(frozen=True)
class SchemaChange:
    """How the schema of a table changed, as type names by column.

    Attributes:
        added: column -> type.
        removed: column -> type it had.
        changed: column -> (old type, new type).
        missing: column of the table -> type, where a frame that is added to it lacks the column. The table's schema
            stays as it is, so this alone is no change of it.
    """

    added: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def if_any(self) -> SchemaChange | None:
        """This change, or None if no column was added, removed, changed or missing."""
        return self if self or self.missing else None

    def note(self, mode: str) -> str | None:
        """Describe the change for the report of a run; None if there is none.

        Args:
            mode: of the write; "merge" keeps what a missing column held.
        """
        parts = [f"new column {name} {kind}" for name, kind in self.added.items()]
        parts += [f"column {name} is gone" for name in self.removed]
        parts += [f"column {name} was {old}, is {new}" for name, (old, new) in self.changed.items()]
        what = "missing, kept as it was" if mode == "merge" else "missing, null in the new rows"
        parts += [f"column {name} {what}" for name in self.missing]
        return "; ".join(parts) or None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the report of a run; only what there is."""
        found = {kind: dict(getattr(self, kind)) for kind in ("added", "removed", "changed", "missing")}
        found["changed"] = {name: list(types) for name, types in self.changed.items()}
        return {name: columns for name, columns in found.items() if columns}

    def __str__(self) -> str:
        parts = [f"{name} {kind} added" for name, kind in self.added.items()]
        parts += [f"{name} {kind} removed" for name, kind in self.removed.items()]
        parts += [f"{name} changed from {old} to {new}" for name, (old, new) in self.changed.items()]
        parts += [f"{name} {kind} missing" for name, kind in self.missing.items()]
        return ", ".join(parts) or "no change"


def to_arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """Make an Arrow schema of declared columns.

    Raises:
        SchemaError: a type cannot be read; the message names the column.
    """
    fields = []
    for name, text in columns.items():
        try:
            fields.append(pa.field(name, parse_type(text)))
        except SchemaError as error:
            raise SchemaError(f"Column {name!r}: {error}") from None
    return pa.schema(fields)


def normal_type(kind: pa.DataType) -> pa.DataType:
    """Return the Arrow type in which a Delta table holds values of this type: its normal form.

    Engines return string views, large lists or other time units, and not always the same. Without a normal form the
    schema of a table would change between writes.

    Raises:
        SchemaError: Delta tables have no such type.
    """
    t = pa.types
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return pa.string()
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind) or t.is_fixed_size_binary(kind):
        return pa.binary()
    if t.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if t.is_date(kind):
        return pa.date32()
    if t.is_dictionary(kind):
        return normal_type(kind.value_type)
    if t.is_map(kind):
        return pa.map_(normal_type(kind.key_type), normal_type(kind.item_type))
    if t.is_struct(kind):
        refuse_same_names([f.name for f in kind], "Fields")
        return pa.struct([pa.field(f.name, normal_type(f.type)) for f in kind])
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return pa.list_(normal_type(kind.value_type))
    if t.is_decimal(kind) and kind.precision <= 38 and kind.scale >= 0:
        return pa.decimal128(kind.precision, kind.scale)
    if t.is_float16(kind):
        return pa.float32()
    if kind in _UNSIGNED:
        return _UNSIGNED[kind]
    if kind in TYPE_NAMES:
        return kind
    raise SchemaError(f"type {kind} cannot be kept in a table; cast it to one that can.")


def normal_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with every type in its normal form, all columns nullable, no metadata.

    Raises:
        SchemaError: a name occurs twice, or a type cannot be kept.
    """
    refuse_same_names(schema.names)
    fields = []
    for column in schema:
        try:
            fields.append(pa.field(column.name, normal_type(column.type)))
        except SchemaError as error:
            raise SchemaError(f"Column {column.name!r}: {error}") from None
    return pa.schema(fields)


def refuse_same_names(names: Iterable[str], what: str = "Columns") -> None:
    """Refuse names that differ by case alone.

    Raises:
        SchemaError: names both.
    """
    same = same_but_for_case(names)
    if same is not None:
        raise SchemaError(
            f"{what} {same[0]!r} and {same[1]!r} are one name to a table, which ignores case. Rename one of them."
        )


def refuse_nameless(schema: pa.Schema) -> None:
    """Refuse a column whose name is empty.

    Raises:
        SchemaError: names the position of the column.
    """
    if "" in schema.names:
        place = f"{schema.names.index('') + 1} of {len(schema)}"
        raise SchemaError(f"Column {place} has no name, and a table cannot keep it. Name or drop it in the pipe.")


def compare(old: pa.Schema, new: pa.Schema) -> SchemaChange:
    """Return what differs between two normal schemas; the order of columns does not count."""
    before = {f.name: type_name(f.type) for f in old}
    after = {f.name: type_name(f.type) for f in new}
    return SchemaChange(
        added={name: kind for name, kind in after.items() if name not in before},
        removed={name: kind for name, kind in before.items() if name not in after},
        changed={name: (before[name], kind) for name, kind in after.items() if name in before and before[name] != kind},
    )


def widens(old: pa.DataType, new: pa.DataType) -> bool:
    """Return whether every value of the old type is exactly a value of the new type."""
    t = pa.types
    if old == new or t.is_null(old):
        return True
    if old in _INT_RANK:
        digits = _INT_RANK[old]
        if new in _INT_RANK:
            return _INT_RANK[new] >= digits
        if t.is_decimal(new):
            return bool(new.precision - new.scale >= digits)
        return (new == pa.float32() and digits <= 5) or (new == pa.float64() and digits <= 10)
    if old == pa.float32():
        return bool(new == pa.float64())
    if t.is_decimal(old) and t.is_decimal(new):
        return bool(new.scale >= old.scale and new.precision - new.scale >= old.precision - old.scale)
    if old == pa.date32():
        return bool(new == pa.timestamp("us"))
    if t.is_list(old) and t.is_list(new):
        return widens(old.value_type, new.value_type)
    if t.is_map(old) and t.is_map(new):
        return widens(old.key_type, new.key_type) and widens(old.item_type, new.item_type)
    if t.is_struct(old) and t.is_struct(new):
        return [f.name for f in old] == [f.name for f in new] and all(
            widens(a.type, b.type) for a, b in zip(old, new, strict=True)
        )
    return False


def fit(actual: pa.Schema, declared: pa.Schema, what: str) -> pa.Schema:
    """Return the schema to which a frame must be cast to fit declared columns; extra columns come last.

    Args:
        actual: the frame's schema.
        declared: the columns it must have.
        what: names the frame in messages, such as "the frame for 'silver.flights'".

    Raises:
        SchemaError: a declared column is missing, or its type does not widen to the declared type.
    """
    actual = normal_schema(actual)
    missing = [name for name in declared.names if name not in actual.names]
    if missing:
        raise SchemaError(
            f"Column(s) {', '.join(map(repr, missing))} missing in {what}, "
            f"which has {', '.join(map(repr, actual.names)) or 'no columns'}."
        )
    for column in declared:
        have = actual.field(column.name).type
        if not widens(have, column.type):
            raise SchemaError(
                f"Column {column.name!r} of {what} is {type_name(have)}, declared is {type_name(column.type)}. "
                "Cast it in the pipe, or change the declaration."
            )
    extra = [f for f in actual if f.name not in declared.names]
    return pa.schema([pa.field(f.name, f.type) for f in declared] + extra)
