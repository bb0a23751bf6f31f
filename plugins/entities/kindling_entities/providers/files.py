"""Parquet, csv and json files. Each file appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from kindling_entities import schema as schemas
from kindling_entities.entity import EntityDefinition
from kindling_entities.errors import (
    CorruptTableError,
    EntityNotFoundError,
    SchemaError,
    StorageError,
    UnsupportedError,
)
from kindling_entities.evolution import apply_policy, evolved
from kindling_entities.protocols import Commit, Engine, Table, Transaction
from kindling_entities.providers._fit import declared_reader, fitted
from kindling_entities.providers._paths import matching
from kindling_entities.providers._text import read_text


class FileProvider:
    """Keeps entities in plain files.

    An overwrite is one file, replaced in one step; an append adds a part file to a folder. A version is a
    number that differs whenever the files differ; it has no order.
    """

    write_modes = frozenset({"overwrite", "append"})
    # A run that is resumed must find the files that it has read, since nobody keeps those that were.
    versions_tell_files = True

    def __init__(self, engine: Engine, kind: str) -> None:
        self._engine = engine
        self._kind = kind

    def read(
        self,
        entity: EntityDefinition,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Return a frame of all files of the location."""
        if version is not None or start_version is not None:
            raise UnsupportedError(f"Entity {entity.entity_id!r}: files keep no versions. Use provider='delta'.")
        paths = _files(entity, location)
        if self._kind == "parquet":
            frame = self._read_parquet(entity, paths)
        else:
            parts = [read_text(entity, self._kind, path) for path in paths]
            if len(parts) == 1:
                data = parts[0]
            else:
                tables = [part if isinstance(part, pa.Table) else part.read_all() for part in parts]
                data = pa.concat_tables(tables, promote_options="permissive")
            if entity.columns:
                reader = data if isinstance(data, pa.RecordBatchReader) else data.to_reader()
                cast = schemas.cast_reader(reader, fitted(entity, reader.schema))
                data = cast if isinstance(data, pa.RecordBatchReader) else cast.read_all()
            frame = self._engine.from_arrow(data)
        return frame if columns is None else frame.select(*columns)

    def _read_parquet(self, entity: EntityDefinition, paths: Sequence[str]) -> Any:
        found = [_parquet_schema(entity, path) for path in paths]
        whole = _unified(entity, paths, found)
        wanted = fitted(entity, whole) if entity.columns else whole
        if all(schema.equals(found[0]) for schema in found) and schemas.normal_schema(found[0]).equals(wanted):
            read = getattr(self._engine, "read_parquet", None)
            return self._engine.session.read.parquet(*paths) if read is None else read(paths, wanted)

        def batches() -> Iterator[pa.RecordBatch]:
            for path in paths:
                with pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
                    for batch in file.iter_batches():
                        yield schemas.cast_batch(batch, wanted)

        # Parts that an append with another schema left, or types that the declaration widens.
        return self._engine.from_arrow(pa.RecordBatchReader.from_batches(wanted, batches()))

    def write(
        self,
        entity: EntityDefinition,
        location: str,
        frame: Any,
        mode: str,
        transaction: Transaction | None = None,
    ) -> Commit:
        """Write one file, complete before it appears under its name."""
        reader = declared_reader(self._engine, entity, frame)
        old = self.versions({entity.entity_id: (entity, location)})[entity.entity_id]
        old_version = old if isinstance(old, int) else None
        change = self._schema_change(entity, location, reader.schema, mode)
        single = os.path.splitext(location)[1] != ""
        suffix = f".{self._kind}"
        if mode == "append":
            name = f"part-{uuid.uuid4()}{suffix}"
            if transaction is not None:
                who = hashlib.sha256(transaction.app_id.encode()).hexdigest()[:16]
                if _newest_transaction(location, who) >= transaction.version:
                    return Commit(old_version, old_version, rows_written=0, skipped=True)
                name = f"part-txn-{who}-{transaction.version}{suffix}"
            target = os.path.join(location, name)
        else:
            target = location if single else os.path.join(location, f"data{suffix}")
            others = [path for path in matching(location) if path != target]
            if others:
                raise UnsupportedError(
                    f"Entity {entity.entity_id!r}: {location} holds other files, such as {others[0]}, which an "
                    "overwrite cannot replace in one step. Move them away, or use provider='delta'."
                )
        rows = self._put(entity, reader, target)
        version = _version(matching(location))
        return Commit(version, old_version, rows_written=rows, created=old_version is None, schema_change=change)

    def _schema_change(
        self, entity: EntityDefinition, location: str, new: pa.Schema, mode: str
    ) -> schemas.SchemaChange | None:
        """Apply the schema policy. Only parquet files tell their types, so only they have a schema to change."""
        paths = matching(location)
        if self._kind != "parquet" or not paths:
            return None
        old = _unified(entity, paths, [_parquet_schema(entity, path) for path in paths])
        table = Table(entity.entity_id, location, schema_policy=entity.schema_policy)
        if mode == "append":
            return evolved(table, old, new)[1].told
        change = schemas.compare(old, new)
        apply_policy(table, change)
        return change or None

    def _put(self, entity: EntityDefinition, reader: pa.RecordBatchReader, target: str) -> int:
        folder = os.path.dirname(target)
        partial = os.path.join(folder, f".{os.path.basename(target)}.{uuid.uuid4().hex}")
        try:
            os.makedirs(folder, exist_ok=True)
            try:
                with open(partial, "wb") as stream:
                    rows = _encode(self._kind, reader, stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(partial, target)
            finally:
                if os.path.exists(partial):
                    os.unlink(partial)
        except OSError as error:
            raise StorageError(
                f"Entity {entity.entity_id!r}: {target} cannot be written: {error.strerror or error}. "
                "What was there before is kept."
            ) from error
        return rows

    def ensure(self, entity: EntityDefinition, location: str) -> bool:
        """Write an empty file of the declared columns unless there is one."""
        if matching(location):
            return False
        self.write(entity, location, schemas.to_arrow_schema(entity.columns).empty_table(), "overwrite")
        return True

    def exists(self, entity: EntityDefinition, location: str) -> bool:
        """Tell whether there is at least one file."""
        return bool(matching(location))

    def committed(self, entity: EntityDefinition, location: str, transaction: Transaction) -> bool:
        """Whether an append had this transaction."""
        who = hashlib.sha256(transaction.app_id.encode()).hexdigest()[:16]
        return _newest_transaction(location, who) >= transaction.version

    def newest_transaction(self, entity: EntityDefinition, location: str, ending: str) -> str:
        """Return the transaction of this whole id, if an append had it; names of files tell no ending."""
        who = hashlib.sha256(ending.encode()).hexdigest()[:16]
        return ending if _newest_transaction(location, who) >= 0 else ""

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]:
        """Return a number per entity that differs whenever its files differ."""
        found: dict[str, int | Exception] = {}
        for entity_id, (entity, location) in entities.items():
            try:
                found[entity_id] = _version(_files(entity, location))
            except (EntityNotFoundError, OSError) as error:
                found[entity_id] = error
        return found


def _files(entity: EntityDefinition, location: str) -> list[str]:
    found = matching(location)
    if not found:
        raise EntityNotFoundError(
            f"Entity {entity.entity_id!r}: no file at {location}. "
            + (
                "Create it, or correct the path of its declaration."
                if entity.read_only
                else "Run the pipe that writes it first."
            )
        )
    return found


def _parquet_schema(entity: EntityDefinition, path: str) -> pa.Schema:
    try:
        # Spark writes INT96 unless told otherwise, in which nanoseconds would not reach every date.
        with pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
            return file.schema_arrow.remove_metadata()
    except (pa.ArrowInvalid, EOFError) as error:
        raise CorruptTableError(
            f"Entity {entity.entity_id!r}: {path} cannot be read as parquet: {error}. Restore it, or move it away."
        ) from error


def _unified(entity: EntityDefinition, paths: Sequence[str], found: Sequence[pa.Schema]) -> pa.Schema:
    """One schema for all files: the widest type of each column, in the order in which columns appear."""
    columns: dict[str, pa.DataType] = {}
    for path, schema in zip(paths, found, strict=True):
        for column in schemas.normal_schema(schema):
            known = columns.get(column.name)
            if known is None or schemas.widens(known, column.type):
                columns[column.name] = column.type
            elif not schemas.widens(column.type, known):
                raise SchemaError(
                    f"Entity {entity.entity_id!r}: column {column.name!r} is {schemas.type_name(column.type)} in "
                    f"{path} and {schemas.type_name(known)} in a file before it. Convert one of them."
                )
    return pa.schema(list(columns.items()))


def _version(paths: Sequence[str]) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        stat = os.stat(path)
        digest.update(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}\0{stat.st_ino}\n".encode())
    return int.from_bytes(digest.digest(), "big") >> 1


def _newest_transaction(location: str, who: str) -> int:
    pattern = re.compile(rf"part-txn-{who}-(\d+)\.")
    versions = [int(match[1]) for path in matching(location) if (match := pattern.match(os.path.basename(path)))]
    return max(versions, default=-1)


def _encode(kind: str, reader: pa.RecordBatchReader, stream: Any) -> int:
    rows = 0
    if kind == "json":
        for batch in reader:
            for row in batch.to_pylist():
                stream.write((json.dumps(row, default=str, ensure_ascii=False) + "\n").encode())
            rows += batch.num_rows
        return rows
    # Parquet's own types hold all that a table does; an Arrow schema beside them would carry an engine's notes on its
    # columns, by which Sail refuses to read two files as one.
    writer: Any = (
        pq.ParquetWriter(stream, reader.schema, store_schema=False)
        if kind == "parquet"
        else pa.csv.CSVWriter(stream, reader.schema)
    )
    with writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
