"""Rows of any frame as Arrow streams, and sources that can be read twice."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kindling_entities.declare.casts import cast_batch, cast_reader
from kindling_entities.declare.schema import normal_schema, refuse_same_names
from kindling_entities.engines._lost_files import mapped_lost_files
from kindling_entities.engines._retry import first_line
from kindling_entities.errors import EntityError, SchemaError


def to_reader(frame: Any) -> pa.RecordBatchReader:
    """Stream a frame as record batches with normal types.

    Raises:
        EntityError: the object is no frame; the message names its type.
    """
    reader = _raw_reader(frame)
    return cast_reader(reader, normal_schema(reader.schema))


def is_frame(frame: Any) -> bool:
    """Whether this is a Spark frame, classic or Connect."""
    return type(frame).__name__ == "DataFrame" and type(frame).__module__.startswith("pyspark.sql")


def counted(frame: Any, flags: Sequence[str]) -> dict[str, int]:
    """Count the rows of a flagged frame, and those with each flag; the total is under ``rows``."""
    row = frame.selectExpr("count(1) as rows", *(f"count_if({flag}) as {flag}" for flag in flags)).collect()[0]
    return {name: int(row[name]) for name in ("rows", *flags)}


def parquet_batches(paths: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of Parquet files, cast to a schema."""
    for path in paths:
        with pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
            for batch in file.iter_batches():
                yield cast_batch(batch, schema)


def unless_empty(reader: pa.RecordBatchReader) -> pa.RecordBatchReader | None:
    """The same rows from their start, None if there are none. Computes up to the first batch with rows."""
    for batch in reader:
        if batch.num_rows:
            return pa.RecordBatchReader.from_batches(reader.schema, chain([batch], reader))
    return None


class Stream:
    """Rows that are computed again each time they are read, so that a write which lost a race can read them again."""

    def __init__(self, make: Callable[[], pa.RecordBatchReader]) -> None:
        self._make = make
        self._first: pa.RecordBatchReader | None = None

    @property
    def schema(self) -> pa.Schema:
        """Of the rows; begins to compute them."""
        if self._first is None:
            self._first = self._make()
        return self._first.schema

    def open(self) -> pa.RecordBatchReader:
        """Read from the start."""
        first, self._first = self._first, None
        return first if first is not None else self._make()


def _raw_reader(frame: Any) -> pa.RecordBatchReader:
    if isinstance(frame, Stream):
        return frame.open()
    if isinstance(frame, pa.RecordBatchReader):
        return frame
    if isinstance(frame, pa.Table):
        return frame.to_reader()
    if isinstance(frame, pa.RecordBatch):
        return pa.RecordBatchReader.from_batches(frame.schema, [frame])
    module, name = type(frame).__module__, type(frame).__name__
    if name == "DataFrame" and module.split(".")[0] == "pandas":
        return _from_pandas(frame).to_reader()
    if name == "DataFrame" and module.startswith("pyspark.sql.connect"):
        return _connect_reader(frame)
    if name == "DataFrame" and hasattr(frame, "toArrow"):
        (made,) = mapped_lost_files(each.toArrow() for each in (frame,))
        return made.to_reader()
    raise EntityError(
        f"{module}.{name} is not a frame. Return a Spark DataFrame, a pyarrow Table, RecordBatch or "
        "RecordBatchReader, or a pandas DataFrame."
    )


def _from_pandas(frame: Any) -> pa.Table:
    refuse_same_names(map(str, frame.columns))
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        culprit = next((name for name in frame.columns if not _converts(frame, name)), None)
        where = "" if culprit is None else f"Column {str(culprit)!r} of type {frame[culprit].dtype}: "
        raise SchemaError(
            f"{where}the pandas frame cannot become a table ({first_line(error)}). "
            "Give the column one type in the pipe."
        ) from None


def _converts(frame: Any, name: Any) -> bool:
    try:
        pa.Table.from_pandas(frame[[name]], preserve_index=False)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def _connect_reader(frame: Any) -> pa.RecordBatchReader:
    client = frame._session.client
    # `toArrow` holds the whole result; this iterator hands out each batch as it arrives.
    stream = mapped_lost_files(client.to_table_as_iterator(frame._plan.to_proto(client), {}))
    struct = None
    for item in stream:
        if isinstance(item, pa.Table):
            rest = (t for t in stream if isinstance(t, pa.Table))
            batches = (b for t in chain([item], rest) for b in t.to_batches())
            return pa.RecordBatchReader.from_batches(item.schema, batches)
        struct = item
    from pyspark.sql.pandas.types import to_arrow_schema

    return pa.RecordBatchReader.from_batches(to_arrow_schema(struct or frame.schema), [])


class Source:
    """The rows of a frame, computed once and readable several times.

    Args:
        limit_bytes: rows up to this size are held in memory, larger frames in an Arrow file.
        folder: returns the folder of that file.

    Attributes:
        schema: of the rows.
        rows: number of rows.
    """

    def __init__(self, frame: Any, limit_bytes: int, folder: Callable[[], str]) -> None:
        reader = to_reader(frame)
        self.schema = reader.schema
        self.rows = 0
        self._batches: list[pa.RecordBatch] = []
        self._path: str | None = None
        held = 0
        for batch in reader:
            self.rows += batch.num_rows
            self._batches.append(batch)
            held += batch.nbytes
            if held > limit_bytes:
                self._spill(reader, folder)
                break

    @property
    def spilled(self) -> bool:
        return self._path is not None

    def _spill(self, reader: pa.RecordBatchReader, folder: Callable[[], str]) -> None:
        handle, self._path = tempfile.mkstemp(suffix=".arrow", prefix="spool-", dir=folder())
        os.close(handle)
        try:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with pa.OSFile(self._path, "wb") as sink, pa.ipc.new_file(sink, self.schema, options=options) as out:
                for batch in self._batches:
                    out.write_batch(batch)
                self._batches = []
                for batch in reader:
                    self.rows += batch.num_rows
                    out.write_batch(batch)
        except BaseException:
            self.close()
            raise

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read it from the start, all columns or some."""
        if self._path is None:
            yield from (b.select(columns) if columns else b for b in self._batches)
            return
        with pa.OSFile(self._path, "rb") as file, pa.ipc.open_file(file) as stored:
            for index in range(stored.num_record_batches):
                batch = stored.get_batch(index)
                yield batch.select(columns) if columns else batch

    def reader(self, schema: pa.Schema) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(schema, (cast_batch(b, schema) for b in self.batches()))

    def table(self, columns: list[str]) -> pa.Table:
        schema = pa.schema([self.schema.field(c) for c in columns])
        return pa.Table.from_batches(list(self.batches(columns)), schema)

    def close(self) -> None:
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)


class Watched:
    """A reader that counts rows and remembers the failure of its source.

    delta-rs turns an exception of the source into an error text of its own; the original must be kept.

    Args:
        checks: each raises for a batch that must not be written.
    """

    def __init__(
        self,
        reader: pa.RecordBatchReader,
        schema: pa.Schema,
        checks: Sequence[Callable[[pa.RecordBatch], None]] = (),
    ) -> None:
        self._checks = checks
        self.rows = 0
        self.error: BaseException | None = None
        self._source = reader
        self._schema = schema

    def reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self._schema, self._watch())

    def _watch(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._source:
                self.rows += batch.num_rows
                ready = cast_batch(batch, self._schema)
                for check in self._checks:
                    check(ready)
                yield ready
        except Exception as error:
            self.error = error
            raise
