"""Column types and schemas: declared types, normal forms, comparison and lossless casts. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from kindling_entities.declare.names import same_but_for_case
from kindling_entities.errors import DataError, SchemaError

_SIMPLE: dict[str, pa.DataType] = {
    "string": pa.string(),
    "binary": pa.binary(),
    "boolean": pa.bool_(),
    "bool": pa.bool_(),
    "tinyint": pa.int8(),
    "byte": pa.int8(),
    "smallint": pa.int16(),
    "short": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "long": pa.int64(),
    "float": pa.float32(),
    "real": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}
_NAMES = {
    pa.string(): "string",
    pa.binary(): "binary",
    pa.bool_(): "boolean",
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp",
    pa.timestamp("us"): "timestamp_ntz",
    pa.null(): "void",
}
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
    def told(self) -> SchemaChange | None:
        """Itself, None where there is nothing to tell."""
        return self if self or self.missing else None

    def note(self, mode: str) -> str | None:
        """Word it for the report of a run, None where there is nothing to tell.

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
        found = {one: dict(getattr(self, one)) for one in ("added", "removed", "changed", "missing")}
        found["changed"] = {name: list(types) for name, types in self.changed.items()}
        return {name: columns for name, columns in found.items() if columns}

    def __str__(self) -> str:
        parts = [f"{name} {kind} added" for name, kind in self.added.items()]
        parts += [f"{name} {kind} removed" for name, kind in self.removed.items()]
        parts += [f"{name} changed from {old} to {new}" for name, (old, new) in self.changed.items()]
        parts += [f"{name} {kind} missing" for name, kind in self.missing.items()]
        return ", ".join(parts) or "no change"


def parse_type(text: str) -> pa.DataType:
    """Read a type as Spark SQL writes it, such as ``decimal(10,2)`` or ``array<struct<a:int>>``.

    Raises:
        SchemaError: the text is no type; the message lists what is.
    """
    kind, rest = _parse(text.strip(), text)
    if rest.strip():
        raise _bad_type(text)
    return kind


def _bad_type(text: str) -> SchemaError:
    return SchemaError(
        f"{text!r} is not a column type. Use one of {', '.join(sorted(_SIMPLE))}, "
        "decimal(p,s), array<type>, map<type,type> or struct<name:type,...>."
    )


def _parse(rest: str, whole: str) -> tuple[pa.DataType, str]:
    match = re.match(r"\s*([A-Za-z_]+)", rest)
    if match is None:
        raise _bad_type(whole)
    word, rest = match.group(1).lower(), rest[match.end() :].lstrip()
    if word in _SIMPLE:
        return _SIMPLE[word], rest
    if word in {"decimal", "numeric"}:
        sizes = re.match(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", rest)
        precision, scale = (int(sizes.group(1)), int(sizes.group(2) or 0)) if sizes else (10, 0)
        if not 1 <= precision <= 38 or scale > precision:
            raise SchemaError(f"{whole!r}: a decimal has 1 to 38 digits and no more of them after the point.")
        return pa.decimal128(precision, scale), rest[sizes.end() :] if sizes else rest
    if word == "array":
        item, rest = _parse(_skip(rest, "<", whole), whole)
        return pa.list_(item), _skip(rest, ">", whole)
    if word == "map":
        key, rest = _parse(_skip(rest, "<", whole), whole)
        value, rest = _parse(_skip(rest, ",", whole), whole)
        return pa.map_(key, value), _skip(rest, ">", whole)
    if word == "struct":
        rest = _skip(rest, "<", whole)
        fields: list[pa.Field] = []
        while True:
            name = re.match(r"\s*(?:`([^`]+)`|([^\s:,<>`]+))\s*(?::|\s)\s*", rest)
            if name is None:
                raise _bad_type(whole)
            kind, rest = _parse(rest[name.end() :], whole)
            fields.append(pa.field(name.group(1) or name.group(2), kind))
            if not rest.lstrip().startswith(","):
                return pa.struct(fields), _skip(rest, ">", whole)
            rest = _skip(rest, ",", whole)
    raise _bad_type(whole)


def _skip(rest: str, token: str, whole: str) -> str:
    rest = rest.lstrip()
    if not rest.startswith(token):
        raise _bad_type(whole)
    return rest[1:]


def type_name(kind: pa.DataType) -> str:
    """Write a type as Spark SQL does; the inverse of ``parse_type``."""
    if kind in _NAMES:
        return _NAMES[kind]
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_list(kind):
        return f"array<{type_name(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{type_name(kind.key_type)},{type_name(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{','.join(f'{f.name}:{type_name(f.type)}' for f in kind)}>"
    return str(kind)


def quote_text(value: str) -> str:
    """A text as SQL has it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote(name: str) -> str:
    """Write a column's name as Spark SQL takes it."""
    return "`" + name.replace("`", "``") + "`"


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
    """Return the one Arrow type in which a Delta table holds values of this type.

    Engines hand out string views, large lists or other time units from one query to the next; without one
    normal form the schema of a table would flip between writes.

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
    if kind in _NAMES:
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
        SchemaError: tells its place.
    """
    if "" in schema.names:
        place = f"{schema.names.index('') + 1} of {len(schema)}"
        raise SchemaError(f"Column {place} has no name, and a table cannot keep it. Name or drop it in the pipe.")


def compare(old: pa.Schema, new: pa.Schema) -> SchemaChange:
    """Tell what changes from one normal schema to another; the order of columns does not count."""
    before = {f.name: type_name(f.type) for f in old}
    after = {f.name: type_name(f.type) for f in new}
    return SchemaChange(
        added={name: kind for name, kind in after.items() if name not in before},
        removed={name: kind for name, kind in before.items() if name not in after},
        changed={name: (before[name], kind) for name, kind in after.items() if name in before and before[name] != kind},
    )


def widens(old: pa.DataType, new: pa.DataType) -> bool:
    """Tell whether every value of one type is exactly a value of the other."""
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
        SchemaError: a declared column is missing, or its type does not widen to the declared one.
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


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Cast a batch to a schema by column name; a column that it lacks becomes null.

    Raises:
        DataError: a value would not stay the same; names column and value.
    """
    if batch.schema.equals(schema):
        return batch
    arrays = []
    for column in schema:
        index = batch.schema.get_field_index(column.name)
        if index < 0:
            arrays.append(pa.nulls(batch.num_rows, column.type))
        else:
            array = batch.column(index)
            arrays.append(array if array.type == column.type else _cast(array, column))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def cast_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast a table as ``cast_batch`` does."""
    if table.schema.equals(schema):
        return table
    return pa.Table.from_batches([cast_batch(batch, schema) for batch in table.to_batches()], schema)


def _cast(array: pa.Array, column: pa.Field) -> pa.Array:
    try:
        return array.cast(column.type)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"Column {column.name!r}: {_lost(array, column.type)} of type {array.type} cannot be kept as "
            f"{type_name(column.type)} ({str(error).splitlines()[0]}). Cast or round it in the pipe."
        ) from None
    except pa.ArrowNotImplementedError:
        raise SchemaError(
            f"Column {column.name!r}: type {array.type} cannot be kept as {type_name(column.type)}. "
            "Cast it in the pipe."
        ) from None


def _lost(array: pa.Array, kind: pa.DataType) -> str:
    """The first value that a cast loses, found by halves."""
    while len(array) > 1:
        half = array[: len(array) // 2]
        try:
            half.cast(kind)
        except pa.ArrowInvalid:
            array = half
        else:
            array = array[len(half) :]
    return shown(array[0])


def shown(value: pa.Scalar) -> str:
    """A value for people; at most 80 characters of it."""
    try:
        text = str(value.as_py()) if pa.types.is_temporal(value.type) else repr(value.as_py())
    except (ValueError, OverflowError, pa.ArrowException):
        # Python has no such date or time.
        text = str(value.value) if pa.types.is_temporal(value.type) else "a value"
    return text if len(text) <= 80 else f"{text[:77]}..."


def cast_reader(reader: pa.RecordBatchReader, schema: pa.Schema) -> pa.RecordBatchReader:
    """Cast a stream of batches to a schema, one batch at a time."""
    if reader.schema.equals(schema):
        return reader

    def batches() -> Iterable[pa.RecordBatch]:
        for batch in reader:
            yield cast_batch(batch, schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
