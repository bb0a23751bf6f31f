"""Parquet files of any writer: types that tables do not have are cast without loss, or refused by name."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kindling_core.errors import did_you_mean
from kindling_entities.declare.nested import leaves, with_leaves
from kindling_entities.declare.schema import normal_type, refuse_same_names, widens
from kindling_entities.declare.types import type_name
from kindling_entities.errors import CorruptTableError, SchemaError
from kindling_entities.formats._csv import Source
from kindling_entities.formats._tables import partition_values

_UTC = pa.timestamp("us", tz="UTC")


class ParquetFile:
    """A file, with the types that its columns have in a table.

    Attributes:
        schema: in table types.
        footer: of the file, as it was when this was made.
        native: every engine's own reader gives these very values.
    """

    def __init__(self, what: str, source: Source) -> None:
        self.source = source
        self._what = what
        try:
            with pq.ParquetFile(source.path) as file:
                found, noted, self.footer = file.schema_arrow.remove_metadata(), _noted(file), file.metadata
        except (pa.ArrowInvalid, EOFError) as error:
            raise self._corrupt(error) from error
        columns = self.footer.schema
        physical = iter([columns.column(index).physical_type for index in range(len(columns))])
        fields = []
        old: list[str] = []
        for field in found:
            try:
                kind = table_type(field.type)
            except SchemaError as error:
                raise SchemaError(
                    f"{what}: column {field.name!r} of {source.path} is {field.type}: {error} Convert the file, or "
                    "leave the column out of it."
                ) from None
            made = _with_instants(kind, physical)
            fields.append(pa.field(field.name, kind if made is None else made))
            if made is not None:
                old.append(field.name)
        self._int96 = old
        self.schema = pa.schema(fields)
        # Sail goes by the writer's note where pyarrow goes by the file.
        self.native = not old and found.equals(self.schema) and (noted is None or noted.equals(found))

    def _corrupt(self, error: Exception) -> CorruptTableError:
        return CorruptTableError(
            f"{self._what}: {self.source.path} cannot be read as parquet: {error}. Restore it, or move it away."
        )

    def batches(self, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows cast to a schema; a column that the file lacks is null.

        Raises:
            SchemaError: a value has no equal in the column's type; names the column.
            CorruptTableError: the file is damaged.
        """
        own = [name for name in wanted.names if name in self.schema.names]
        try:
            self._refuse_nanoseconds([name for name in own if name in self._int96])
            with self._open("us") as file:
                for batch in file.iter_batches(columns=own):
                    yield self._cast(batch, wanted)
        except (pa.ArrowInvalid, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise self._corrupt(error) from error

    def _open(self, unit: str) -> pq.ParquetFile:
        return pq.ParquetFile(self.source.path, coerce_int96_timestamp_unit=unit)

    def _cast(self, batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
        columns = []
        for field in wanted:
            if field.name in batch.schema.names:
                columns.append(self._column(batch.column(field.name), field))
            elif field.name in self.source.partition:
                columns.append(partition_values(self._what, self.source, field, batch.num_rows))
            else:
                columns.append(pa.nulls(batch.num_rows, field.type))
        return pa.RecordBatch.from_arrays(columns, schema=wanted)

    def _column(self, column: pa.Array, field: pa.Field) -> pa.Array:
        try:
            made = table_array(column)
            if field.name in self._int96:
                made = made.cast(self.schema.field(field.name).type)
            return made if made.type == field.type else made.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
            raise SchemaError(
                f"{self._what}: column {field.name!r} of {self.source.path} is {column.type} and does not become "
                f"{type_name(field.type)} without loss: {error}. Convert the file."
            ) from error

    def _refuse_nanoseconds(self, names: Sequence[str]) -> None:
        """Refuse INT96 timestamps, which have nanoseconds, if they are no whole microseconds."""
        if not names:
            return
        with self._open("us") as whole, self._open("ns") as exact:
            pairs = zip(whole.iter_batches(columns=names), exact.iter_batches(columns=names), strict=True)
            for batch, others in pairs:
                for name in names:
                    self._compare(name, batch.column(name), others.column(name))

    def _compare(self, name: str, whole: pa.Array, exact: pa.Array) -> None:
        for (path, cut), (_, fine) in zip(leaves(name, whole), leaves(name, exact), strict=True):
            # Of other timestamps the unit is the file's own.
            if cut.type == fine.type:
                continue
            # Far from 1970 both sides wrap around 64 bits, and their difference is right all the same.
            rest = pc.subtract(fine.cast(pa.int64()), pc.multiply(cut.cast(pa.int64()), 1000))
            index = pc.index(pc.not_equal(rest, 0), True).as_py()
            if index >= 0:
                raise SchemaError(
                    f"{self._what}: column {path!r} of {self.source.path} has the timestamp "
                    f"{_with_nanoseconds(cut[index], rest[index].as_py())}, and tables do not keep nanoseconds. "
                    "Convert the file."
                )


def _with_nanoseconds(cut: pa.Scalar, rest: int) -> str:
    try:
        return f"{cut.as_py().isoformat(' ', 'microseconds')}{rest:03}"
    except (ValueError, OverflowError):
        # Python knows no such year.
        return f"{cut.value} microseconds and {rest} nanoseconds since 1970"


def table_type(kind: pa.DataType) -> pa.DataType:
    """The type that a column has in a table, for any type that a parquet file may have.

    Raises:
        SchemaError: no type of a table holds its values.
    """
    t = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return table_type(kind.storage_type)
    if t.is_time(kind) or t.is_null(kind):
        # A time of day is text, since tables have none; nothing but nulls can become anything.
        return pa.string()
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        return table_type(kind.value_type)
    if t.is_decimal(kind):
        if kind.precision > 38:
            raise SchemaError(f"decimals of tables have at most 38 digits, not {kind.precision}.")
        return normal_type(pa.decimal128(kind.precision, kind.scale))
    if t.is_duration(kind) or t.is_interval(kind):
        raise SchemaError("tables have no type for durations.")
    if t.is_map(kind):
        return pa.map_(table_type(kind.key_type), table_type(kind.item_type))
    if t.is_struct(kind):
        return pa.struct([(field.name, table_type(field.type)) for field in kind])
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return pa.list_(table_type(kind.value_type))
    return normal_type(kind)


def _noted(file: pq.ParquetFile) -> pa.Schema | None:
    """The Arrow schema that the writer has noted in a file, None if there is none."""
    note = (file.metadata.metadata or {}).get(b"ARROW:schema")
    return None if note is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(note))).remove_metadata()


def _with_instants(kind: pa.DataType, physical: Iterator[str]) -> pa.DataType | None:
    """The type with an instant wherever the file has INT96, which says nothing of a zone; None if there is no INT96.

    Args:
        physical: the types of the file's columns, from the first of this type on; those of this type are taken.
    """
    found = False

    def made(leaf: pa.DataType) -> pa.DataType:
        nonlocal found
        old = next(physical) == "INT96"
        found = found or old
        return _UTC if old else leaf

    changed = with_leaves(kind, made)
    return changed if found else None


def table_array(array: pa.Array) -> pa.Array:
    """Cast an array to the type that it has in a table.

    Raises:
        pa.ArrowInvalid: a value has no equal there.
    """
    kind, t = array.type, pa.types
    wanted = table_type(kind)
    if kind == wanted:
        return array
    if isinstance(array, pa.ExtensionArray):
        return table_array(array.storage)
    if t.is_null(kind):
        return pa.nulls(len(array), wanted)
    if t.is_dictionary(kind):
        return table_array(array.dictionary_decode())
    if t.is_struct(kind):
        fields = [table_array(array.field(index)) for index in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, [field.name for field in kind], mask=array.is_null())
    if t.is_map(kind):
        made = pa.MapArray.from_arrays(array.offsets, table_array(array.keys), table_array(array.items))
        return _masked(made, array)
    if t.is_list(kind):
        return _masked(pa.ListArray.from_arrays(array.offsets, table_array(array.values)), array)
    if t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return table_array(array.cast(pa.list_(kind.value_type)))
    return array.cast(wanted)


def _masked(made: pa.Array, like: pa.Array) -> pa.Array:
    if not like.null_count:
        return made
    return pc.if_else(like.is_valid(), made, pa.scalar(None, made.type))


def unified(what: str, files: Sequence[ParquetFile], declared: pa.Schema) -> pa.Schema:
    """The schema of all files together: the widest type of each column, in the order in which columns appear.

    Raises:
        SchemaError: the types of a column do not agree; names column and both files.
    """
    columns: dict[str, pa.DataType] = {}
    first: dict[str, str] = {}
    for file in files:
        for column in file.schema:
            known = columns.get(column.name)
            if known is None or widens(known, column.type):
                columns[column.name] = column.type
                first[column.name] = file.source.path
            elif not widens(column.type, known):
                raise SchemaError(
                    f"{what}: column {column.name!r} is {type_name(column.type)} in {file.source.path} and "
                    f"{type_name(known)} in a file before it, {first[column.name]}. Convert one of them."
                )
    try:
        refuse_same_names(columns)
    except SchemaError as error:
        raise SchemaError(f"{what} at {files[0].source.path}: {error}") from None
    for name in files[0].source.partition:
        if name not in columns:
            index = declared.get_field_index(name)
            columns[name] = pa.string() if index < 0 else declared.field(index).type
    missing = [name for name in declared.names if name not in columns]
    if missing:
        raise SchemaError(
            f"{what}: declared column(s) {', '.join(map(repr, missing))} missing in {files[0].source.path}, which has "
            f"{', '.join(map(repr, columns))}.{did_you_mean(missing[0], list(columns))}"
        )
    return pa.schema(list(columns.items()))
