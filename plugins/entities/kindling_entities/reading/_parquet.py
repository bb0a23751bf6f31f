"""Parquet files of any writer: types that tables do not have are cast without loss, or refused by name."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kindling_core.errors import did_you_mean
from kindling_entities.errors import CorruptTableError, SchemaError
from kindling_entities.nested import with_leaves
from kindling_entities.reading._csv import Source
from kindling_entities.reading._tables import partition_values
from kindling_entities.schema import normal_type, refuse_same_names, type_name, widens

_UTC = pa.timestamp("us", tz="UTC")


class ParquetFile:
    """One file with the types that its columns have in a table.

    Attributes:
        schema: in table types.
        native: every engine's own reader gives these very values.
    """

    def __init__(self, what: str, source: Source) -> None:
        self.source = source
        self._what = what
        try:
            with pq.ParquetFile(source.path) as file:
                found, noted = file.schema_arrow.remove_metadata(), _noted(file)
                leaves = [file.schema.column(index) for index in range(len(file.schema))]
        except (pa.ArrowInvalid, EOFError) as error:
            raise self._corrupt(error) from error
        old = {leaf.path.split(".")[0] for leaf in leaves if leaf.physical_type == "INT96"}
        self._int96 = frozenset(old)
        fields = []
        for field in found:
            try:
                kind = table_type(field.type)
            except SchemaError as error:
                raise SchemaError(
                    f"{what}: column {field.name!r} of {source.path} is {field.type}: {error} Convert the file, or "
                    "leave the column out of it."
                ) from None
            fields.append(pa.field(field.name, _instants(kind) if field.name in old else kind))
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
            with pq.ParquetFile(self.source.path, coerce_int96_timestamp_unit="us") as file:
                exact = (
                    pq.ParquetFile(self.source.path, coerce_int96_timestamp_unit="ns")
                    if self._int96 & set(own)
                    else None
                )
                others = exact.iter_batches(columns=own) if exact is not None else None
                for batch in file.iter_batches(columns=own):
                    if others is not None:
                        self._refuse_nanoseconds(batch, next(others))
                    yield self._cast(batch, wanted)
        except (pa.ArrowInvalid, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise self._corrupt(error) from error

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

    def _refuse_nanoseconds(self, batch: pa.RecordBatch, exact: pa.RecordBatch) -> None:
        for name in self._int96 & set(batch.schema.names):
            column, fine = batch.column(name), exact.column(name)
            if not pa.types.is_timestamp(column.type):
                continue
            # Beyond the years 1678 to 2261 nanoseconds wrap, and tell nothing.
            near = pc.less(pc.abs(column.cast(pa.int64())), 9_200_000_000_000_000)
            rest = pc.subtract(fine.cast(pa.int64()), pc.multiply(pc.cast(column, pa.int64()), 1000))
            if pc.any(pc.and_(near, pc.not_equal(rest, 0))).as_py():
                raise SchemaError(
                    f"{self._what}: column {name!r} of {self.source.path} has timestamps with nanoseconds, which "
                    "tables do not keep. Convert the file."
                )


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


def _instants(kind: pa.DataType) -> pa.DataType:
    """INT96 holds instants, and says nothing of a zone."""
    return with_leaves(kind, lambda leaf: _UTC if pa.types.is_timestamp(leaf) else leaf)


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
    """One schema for all files: the widest type of each column, in the order in which columns appear.

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
