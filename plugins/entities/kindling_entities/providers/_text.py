"""Read csv and json files with pyarrow, which knows null values, encodings and bad rows; Sail's reader does not."""

from __future__ import annotations

import contextlib
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from kindling_entities import schema as schemas
from kindling_entities.entity import EntityDefinition
from kindling_entities.errors import CorruptTableError, EntityNotFoundError, SchemaError

_log = logging.getLogger("kindling.entities")
# Up to this size types are found in the whole file; above it, in its first block.
_WHOLE_FILE_BYTES = 256 * 1024 * 1024
_BLOCK_BYTES = 16 * 1024 * 1024


def read_text(entity: EntityDefinition, kind: str, path: str) -> pa.Table | pa.RecordBatchReader:
    """Read one file.

    Raises:
        EntityNotFoundError: the file, or the member of a zip, does not exist.
        CorruptTableError: it does not parse.
    """
    try:
        if kind == "json":
            return _read_json(entity, path)
        return _read_csv(entity, path)
    except (pa.ArrowInvalid, UnicodeDecodeError, zipfile.BadZipFile, EOFError) as error:
        raise CorruptTableError(
            f"Entity {entity.entity_id!r}: {path} cannot be read as {kind}: {error}. "
            "Check delimiter, encoding, null_values and the declared columns."
        ) from error


@contextlib.contextmanager
def _opened(entity: EntityDefinition, path: str) -> Iterator[Any]:
    if path.endswith(".zip"):
        with zipfile.ZipFile(path) as archive, archive.open(_member(entity, archive, path)) as member:
            yield pa.PythonFile(member, mode="r")
        return
    # Arrow recognises .gz, .bz2 and .zst by the name.
    with pa.input_stream(path) as stream:
        yield stream


def _member(entity: EntityDefinition, archive: zipfile.ZipFile, path: str) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    wanted = entity.options.get("member")
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return str(wanted)
    raise EntityNotFoundError(
        f"Entity {entity.entity_id!r}: {path} holds {', '.join(names) or 'nothing'}"
        f"{'' if wanted is None else f', not {wanted!r}'}. Name one with member=..."
    )


def _read_csv(entity: EntityDefinition, path: str) -> pa.Table | pa.RecordBatchReader:
    options = entity.options
    declared = schemas.to_arrow_schema(entity.columns)
    if not path.endswith(".zip") and os.path.getsize(path) == 0:
        return _empty(entity, declared, path)
    skipped = 0

    def on_bad_row(row: Any) -> str:
        nonlocal skipped
        skipped += 1
        return "skip"

    def tell_skipped() -> None:
        if skipped:
            _log.warning("entity %s: skipped %d bad rows of %s", entity.entity_id, skipped, path)

    header = options.get("header", True)
    reading = pa.csv.ReadOptions(
        encoding=options.get("encoding", "utf8"),
        skip_rows=options.get("skip_rows", 0),
        block_size=_BLOCK_BYTES,
        column_names=list(declared.names) if not header and declared.names else None,
        autogenerate_column_names=not header and not declared.names,
    )
    parsing = pa.csv.ParseOptions(
        delimiter=options.get("delimiter", ","),
        quote_char=options.get("quote", '"'),
        escape_char=options.get("escape", False),
        newlines_in_values=True,
        invalid_row_handler=on_bad_row if options.get("on_bad_row") == "skip" else None,
    )
    nulls = options.get("null_values", [])
    converting = pa.csv.ConvertOptions(
        column_types={f.name: _csv_type(entity, f) for f in declared},
        null_values=["", *([nulls] if isinstance(nulls, str) else nulls)],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with _opened(entity, path) as stream:
        if path.endswith(".zip") or os.path.getsize(path) <= _WHOLE_FILE_BYTES:
            table = pa.csv.read_csv(stream, reading, parsing, converting)
        else:
            return _converted(pa.csv.open_csv(path, reading, parsing, converting), declared, tell_skipped)
    tell_skipped()
    return pa.Table.from_batches(list(_converted(table.to_reader(), declared)), _target(table.schema, declared))


def _empty(entity: EntityDefinition, declared: pa.Schema, path: str) -> pa.Table:
    if declared.names:
        return declared.empty_table()
    raise CorruptTableError(
        f"Entity {entity.entity_id!r}: {path} is empty and no columns are declared. Declare columns=..."
    )


def _csv_type(entity: EntityDefinition, field: pa.Field) -> pa.DataType:
    if pa.types.is_nested(field.type):
        raise SchemaError(f"Entity {entity.entity_id!r}: column {field.name!r}: csv holds no {field.type}; use json.")
    # Arrow wants every instant with an offset; texts without one are taken as UTC below.
    return pa.string() if _is_instant(field.type) else field.type


def _is_instant(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is not None


def _target(found: pa.Schema, declared: pa.Schema) -> pa.Schema:
    return pa.schema([declared.field(f.name) if f.name in declared.names else f for f in found])


def _converted(
    reader: pa.RecordBatchReader, declared: pa.Schema, at_end: Callable[[], None] = lambda: None
) -> pa.RecordBatchReader:
    target = _target(reader.schema, declared)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            columns = [
                _instants(column, f.type) if _is_instant(f.type) and pa.types.is_string(column.type) else column
                for column, f in zip(batch.columns, target, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=target)
        at_end()

    return pa.RecordBatchReader.from_batches(target, batches())


def _instants(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    zoned = pc.match_substring_regex(texts, r"(Z|[+-]\d{2}:?\d{2})$")
    nothing = pa.nulls(len(texts), pa.string())
    with_offset = pc.if_else(zoned, texts, nothing).cast(kind)
    without = pc.assume_timezone(pc.if_else(zoned, nothing, texts).cast(pa.timestamp("us")), "UTC")
    return pc.coalesce(with_offset, without)


def _read_json(entity: EntityDefinition, path: str) -> pa.Table:
    declared = schemas.to_arrow_schema(entity.columns)
    if not path.endswith(".zip") and os.path.getsize(path) == 0:
        return _empty(entity, declared, path)
    explicit = pa.schema([pa.field(f.name, pa.string() if _is_instant(f.type) else f.type) for f in declared])
    with _opened(entity, path) as stream:
        table = pa.json.read_json(
            stream,
            read_options=pa.json.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pa.json.ParseOptions(explicit_schema=explicit if declared.names else None),
        )
    return pa.Table.from_batches(list(_converted(table.to_reader(), declared)), _target(table.schema, declared))
