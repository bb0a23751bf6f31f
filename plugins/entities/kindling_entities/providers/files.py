"""Parquet, csv and json files. Each file appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from kindling_entities.declare import schema as schemas
from kindling_entities.declare.casts import cast_reader
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.quoting import quote
from kindling_entities.engines._frames import unless_empty
from kindling_entities.errors import (
    EntityNotFoundError,
    StorageError,
    UnsupportedError,
)
from kindling_entities.formats import Dirt, Reading, TextOptions, read_files
from kindling_entities.formats._hive import sources
from kindling_entities.formats._parquet import ParquetFile, unified
from kindling_entities.formats._paths import matching
from kindling_entities.formats._writing import write_csv, write_json
from kindling_entities.protocols import DEFAULT_COMMIT, Commit, CommitOptions, Engine, Table, Transaction
from kindling_entities.providers._fit import declared_reader, fitted
from kindling_entities.rules.schema_policy import apply_policy, evolved

# Up to this size the rows are held in memory, and need no staged file.
_SMALL_BYTES = 1024 * 1024


class _Files(ABC):
    """Keeps entities in plain files.

    An overwrite is one file, replaced in one step; an append adds a part file to a folder. A version is a
    number that differs whenever the files differ; it has no order.

    Attributes:
        format: the name of the format, and the ending of the files that are written.
    """

    format: ClassVar[str]

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @abstractmethod
    def _frame(self, entity: EntityDefinition, location: str, columns: Sequence[str] | None) -> tuple[Any, Dirt | None]:
        """Read all files of a location; return the frame, and what did not parse."""

    @abstractmethod
    def _encode(self, entity: EntityDefinition, reader: pa.RecordBatchReader, stream: BinaryIO) -> int:
        """Write a file; return its rows."""

    def _schema_change(
        self, entity: EntityDefinition, location: str, new: pa.Schema, mode: str
    ) -> schemas.SchemaChange | None:
        """Apply the schema policy. Text has no types, so no schema that could change."""
        return None

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
        frame = self._frame(entity, location, columns)[0]
        return frame if columns is None else frame.select(*map(quote, columns))

    def write(
        self,
        entity: EntityDefinition,
        location: str,
        frame: Any,
        mode: str,
        transaction: Transaction | None = None,
        *,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Write a file, complete before it appears under its name."""
        reader = declared_reader(self._engine, entity, frame)
        old = self.versions({entity.entity_id: (entity, location)})[entity.entity_id]
        old_version = old if isinstance(old, int) else None
        change = self._schema_change(entity, location, reader.schema, mode)
        single = os.path.splitext(location)[1] != ""
        suffix = f".{self.format}"
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
        some = unless_empty(reader) if options.skip_empty else reader
        if some is None:
            return Commit(old_version, old_version, rows_written=0, empty=True)
        rows = self._put(entity, some, target)
        version = _version(matching(location))
        return Commit(version, old_version, rows_written=rows, created=old_version is None, schema_change=change)

    def _put(self, entity: EntityDefinition, reader: pa.RecordBatchReader, target: str) -> int:
        folder = os.path.dirname(target)
        partial = os.path.join(folder, f".{os.path.basename(target)}.{uuid.uuid4().hex}")
        try:
            os.makedirs(folder, exist_ok=True)
            try:
                with open(partial, "wb") as stream:
                    rows = self._encode(entity, reader, stream)
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
        """Write an empty file of the declared columns if none exists."""
        if matching(location):
            return False
        self.write(entity, location, schemas.to_arrow_schema(entity.columns).empty_table(), "overwrite")
        return True

    def exists(self, entity: EntityDefinition, location: str) -> bool:
        """Return whether there is a file."""
        return bool(matching(location))

    def committed(self, entity: EntityDefinition, location: str, transaction: Transaction) -> bool:
        """Whether an append had this transaction."""
        who = hashlib.sha256(transaction.app_id.encode()).hexdigest()[:16]
        return _newest_transaction(location, who) >= transaction.version

    def newest_transaction(self, entity: EntityDefinition, location: str, ending: str) -> str:
        """Return the transaction with exactly this id, "" if no append had it.

        The names of files hold only digests of ids, so an ending cannot be searched for.
        """
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


class ParquetFiles(_Files):
    """Parquet files, which know their types."""

    format = "parquet"

    def _frame(self, entity: EntityDefinition, location: str, columns: Sequence[str] | None) -> tuple[Any, Dirt | None]:
        paths = _files(entity, location)
        files = [ParquetFile(_what(entity), source) for source in sources(_what(entity), location, paths)]
        whole = unified(_what(entity), files, schemas.to_arrow_schema(entity.columns))
        wanted = fitted(entity, whole) if entity.columns else whole
        plain = all(file.native and file.schema.equals(wanted) for file in files)
        if plain and not any(name in files[0].source.partition for name in wanted.names):
            return self._engine.read_parquet(paths, wanted, [file.footer for file in files]), None
        if columns is not None:
            wanted = pa.schema([wanted.field(name) for name in columns if name in wanted.names])

        def batches() -> Iterator[pa.RecordBatch]:
            for file in files:
                yield from file.batches(wanted)

        return self._engine.from_arrow(pa.RecordBatchReader.from_batches(wanted, batches())), None

    def _encode(self, entity: EntityDefinition, reader: pa.RecordBatchReader, stream: BinaryIO) -> int:
        rows = 0
        # Parquet's own types hold all that a table does; an Arrow schema beside them would carry an engine's notes on
        # its columns, by which Sail refuses to read two files as one.
        with pq.ParquetWriter(stream, reader.schema, store_schema=False) as writer:
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows

    def _schema_change(
        self, entity: EntityDefinition, location: str, new: pa.Schema, mode: str
    ) -> schemas.SchemaChange | None:
        """Apply the schema policy to the columns of the files that are there."""
        paths = matching(location)
        if not paths:
            return None
        old = _parquet_schema(entity, location, paths)
        table = Table(entity.entity_id, location, schema_policy=entity.schema_policy)
        if mode == "append":
            return evolved(table, old, new)[1].if_any
        change = schemas.compare(old, new)
        apply_policy(table, change)
        return change or None


class _TextFiles(_Files):
    """Files of text, of which a row or a value may not parse."""

    def read_with_dirt(
        self, entity: EntityDefinition, location: str, *, columns: Sequence[str] | None = None
    ) -> tuple[Any, Dirt | None]:
        """Return a frame of all files of the location, and what in them does not parse."""
        frame, dirt = self._frame(entity, location, columns)
        return (frame if columns is None else frame.select(*map(quote, columns))), dirt

    def infer(self, entity: EntityDefinition, location: str) -> pa.Schema | None:
        """The types under which every value prints back as it came; declared types stay."""
        paths = matching(location)
        if not paths:
            return None
        # Rows that are put aside do not decide a type.
        return self._reading(entity, location, paths, self._inferring(entity.options)).schema

    def _inferring(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options under which types are chosen."""
        return options

    def _reading(
        self, entity: EntityDefinition, location: str, paths: Sequence[str], options: Mapping[str, Any]
    ) -> Reading:
        return read_files(_what(entity), self.format, location, paths, entity.columns, TextOptions.of(options))

    def _frame(self, entity: EntityDefinition, location: str, columns: Sequence[str] | None) -> tuple[Any, Dirt | None]:
        paths = _files(entity, location)
        reading = self._reading(entity, location, paths, entity.options)
        reader, dirt = reading.reader(), reading.dirt
        if entity.columns:
            reader = cast_reader(reader, fitted(entity, reader.schema))
        # Small data travel in the plan of the frame, without a file.
        return self._engine.from_arrow(reader.read_all() if _small(paths) else reader), dirt


class CsvFiles(_TextFiles):
    """Csv files, all of whose values are text."""

    format = "csv"

    def _inferring(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**options, "infer_types": True}

    def _encode(self, entity: EntityDefinition, reader: pa.RecordBatchReader, stream: BinaryIO) -> int:
        return write_csv(_what(entity), reader, stream, TextOptions.of(entity.options))


class JsonFiles(_TextFiles):
    """Files of json lines, or of json arrays."""

    format = "json"

    def _encode(self, entity: EntityDefinition, reader: pa.RecordBatchReader, stream: BinaryIO) -> int:
        return write_json(reader, stream)


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


def _what(entity: EntityDefinition) -> str:
    return f"Entity {entity.entity_id!r}"


def _small(paths: Sequence[str]) -> bool:
    # The size of a packed file does not say how large its rows are in memory.
    plain = all(os.path.splitext(path)[1] in (".csv", ".json", ".jsonl", ".txt", ".tsv") for path in paths)
    return plain and sum(os.path.getsize(path) for path in paths) <= _SMALL_BYTES


def _parquet_schema(entity: EntityDefinition, location: str, paths: Sequence[str]) -> pa.Schema:
    files = [ParquetFile(_what(entity), source) for source in sources(_what(entity), location, paths)]
    return unified(_what(entity), files, schemas.to_arrow_schema({}))


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
