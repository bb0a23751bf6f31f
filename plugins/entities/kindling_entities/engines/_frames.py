"""Frames in and out: Arrow streams of any frame, spooled sources that can be read twice, staged files."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kindling_core.errors import PipeAbandoned
from kindling_entities.declare.schema import cast_batch, cast_reader, normal_schema, refuse_same_names
from kindling_entities.engines._lost_files import told_of_lost_files
from kindling_entities.engines._places import Places
from kindling_entities.engines._retry import first_line
from kindling_entities.errors import EntityError, SchemaError
from kindling_entities.temporary import OwnFolder, sweep


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
    """The same rows from their start, None if there are none; computes no more than the first batch that has some."""
    for batch in reader:
        if batch.num_rows:
            return pa.RecordBatchReader.from_batches(reader.schema, chain([batch], reader))
    return None


class Stream:
    """Rows that are made anew each time they are read, so that a write which lost a race can read them again."""

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
        (made,) = told_of_lost_files(one.toArrow() for one in (frame,))
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
    stream = told_of_lost_files(client.to_table_as_iterator(frame._plan.to_proto(client), {}))
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
    """A frame that can be read again without being computed again.

    Held in memory up to ``limit_bytes``, beyond that in an Arrow file in the folder that ``folder`` returns.
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


# Ends the label of what goes with its pipe; a label of the plugin has no line break.
_FOR_PIPE = "\nfor the pipe"


class _Label:
    """A name under which a thread stages; over once what was staged under it is released."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.over = False


class Staging:
    """Parquet files of this process in a temporary folder, which is made on first use; safe on any thread.

    Frames read them whenever they are computed, so a file stays until whoever staged it says that this is over. What
    a thread stages later, under a label that was released, is removed at once.

    Args:
        parent: where the folder is made; the system's temporary folder if None.
    """

    def __init__(self, parent: str | None) -> None:
        self._parent = parent
        self._own: OwnFolder | None = None
        self._swept = False
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._labels: weakref.WeakSet[_Label] = weakref.WeakSet()
        self.places = Places(parent)
        self._staged: dict[str, list[str]] = {}

    def sweep(self) -> None:
        """Remove what killed processes have left in the places of this; once."""
        with self._lock:
            if self._swept:
                return
            self._swept = True
        sweep(self._parent)
        self.places.sweep()

    def label(self, label: str) -> None:
        """Name what this thread stages from now on."""
        made = self._mine.label = _Label(label)
        with self._lock:
            self._labels.add(made)

    @property
    def current_label(self) -> str:
        """The name under which this thread stages.

        Raises:
            PipeAbandoned: it was released; nothing is put aside under it any more.
        """
        label = getattr(self._mine, "label", None)
        if label is None:
            return ""
        if label.over:
            raise PipeAbandoned(f"{label.name!r} has ended, and what it still reads or makes is dropped.")
        return str(label.name)

    @property
    def _folder(self) -> str | None:
        return None if self._own is None else self._own.path

    def own_folder(self) -> str:
        """The folder, under the name that it has; made on first use."""
        self.sweep()
        with self._lock:
            if self._own is None:
                self._own = OwnFolder("staged", self._parent)
            return self._own.path

    def folder(self) -> str:
        """The folder, under a plain name; made on first use."""
        return self.places.plain(self.own_folder())

    def stage(self, reader: pa.RecordBatchReader, *, for_pipe: bool = False) -> str:
        """Stream a reader into a file, and return its path.

        Args:
            for_pipe: no other pipe reads it, see ``keep_for_pipe``.

        Raises:
            PipeAbandoned: the label of this thread was released.
        """
        self.current_label  # noqa: B018 - refused before anything is computed
        path = self._write(reader)
        # Asked once more: a reader may compute, and hang, for long.
        self._keep(path, _FOR_PIPE if for_pipe else "")
        return path

    def keep_for_pipe(self, path: str) -> None:
        """Take a file or folder that stays until the pipe is over for which this thread stages.

        Raises:
            PipeAbandoned: the label of this thread was released; what was to be kept is removed.
        """
        self._keep(path, _FOR_PIPE)

    def _keep(self, path: str, ending: str) -> None:
        try:
            with self._lock:
                self._staged.setdefault(self.current_label + ending, []).append(path)
        except PipeAbandoned:
            _remove(path)
            raise

    def release_for_pipe(self, label: str) -> None:
        """Remove what was kept for the pipe of exactly this label."""
        with self._lock:
            paths = self._staged.pop(label + _FOR_PIPE, [])
        for path in paths:
            _remove(path)

    @contextlib.contextmanager
    def staged(self, reader: pa.RecordBatchReader) -> Iterator[str]:
        """Stream a reader into a file that stays as long as the block lasts."""
        path = self._write(reader)
        try:
            yield path
        finally:
            _remove(path)

    def release(self, prefix: str) -> None:
        """Remove what was staged under labels that begin so."""
        with self._lock:
            for label in self._labels:
                label.over = label.over or label.name.startswith(prefix)
            over = [name for name in self._staged if name.startswith(prefix)]
            paths = [path for name in over for path in self._staged.pop(name)]
        for path in paths:
            _remove(path)

    def remove(self) -> None:
        """Remove the folder with what it holds; harmless when it was never made."""
        with self._lock:
            folder, self._own = self._own, None
            self._staged.clear()
        if folder is not None:
            folder.close()
        self.places.remove()

    def _write(self, reader: pa.RecordBatchReader) -> str:
        handle, path = tempfile.mkstemp(suffix=".parquet", prefix="staged-", dir=self.folder())
        os.close(handle)
        try:
            # Statistics leave NaN out, and Sail would take it for the least value where that is the greatest, too.
            told = [field.name for field in reader.schema if not pa.types.is_floating(field.type)]
            with pq.ParquetWriter(path, reader.schema, compression="lz4", write_statistics=told) as out:
                for batch in reader:
                    out.write_batch(batch)
        except BaseException:
            _remove(path)
            raise
        return path


def _remove(path: str) -> None:
    # The folder may be gone with its engine.
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        os.unlink(path)
