"""Parquet files in a temporary folder that frames read: who keeps them, and when they are removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from kindling_core.errors import PipeAbandoned
from kindling_entities.engines._places import Places
from kindling_entities.temporary import OwnFolder, sweep

# Ends the label of files that are removed with their pipe; a label of the plugin has no line break.
_FOR_PIPE = "\nfor the pipe"


class _Label:
    """A name under which a thread stages files; over once the files staged under it are released."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.over = False


class Staging:
    """Parquet files of this process in a temporary folder, which is made on first use; safe on any thread.

    Frames read the files whenever they are computed, so a file stays until its label is released. A file that a
    thread stages later, under a label that was released, is removed at once.

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
        """Remove the files that killed processes have left in these folders; does so once."""
        with self._lock:
            if self._swept:
                return
            self._swept = True
        sweep(self._parent)
        self.places.sweep()

    def label(self, label: str) -> None:
        """Set the label of all files that this thread stages from now on."""
        made = self._mine.label = _Label(label)
        with self._lock:
            self._labels.add(made)

    @property
    def current_label(self) -> str:
        """The name under which this thread stages.

        Raises:
            PipeAbandoned: the label was released; no file is staged under it any more.
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
        """The folder under its own name; made on first use."""
        self.sweep()
        with self._lock:
            if self._own is None:
                self._own = OwnFolder("staged", self._parent)
            return self._own.path

    def folder(self) -> str:
        """The folder under a plain name, by a link if necessary; made on first use."""
        return self.places.plain(self.own_folder())

    def stage(self, reader: pa.RecordBatchReader, *, for_pipe: bool = False) -> str:
        """Stream a reader into a file, and return its path.

        Args:
            for_pipe: no other pipe reads the file, see ``keep_for_pipe``.

        Raises:
            PipeAbandoned: the label of this thread was released.
        """
        self.current_label  # noqa: B018 - refused before anything is computed
        path = self._write(reader)
        # Asked once more: a reader may compute, and hang, for long.
        self._keep(path, _FOR_PIPE if for_pipe else "")
        return path

    def keep_for_pipe(self, path: str) -> None:
        """Keep a file or folder until the pipe ends for which this thread stages.

        Raises:
            PipeAbandoned: the label of this thread was released; the file or folder is removed.
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
        """Remove the files that were kept for the pipe of exactly this label."""
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
        """Remove the files that were staged under labels with this prefix."""
        with self._lock:
            for label in self._labels:
                label.over = label.over or label.name.startswith(prefix)
            over = [name for name in self._staged if name.startswith(prefix)]
            paths = [path for name in over for path in self._staged.pop(name)]
        for path in paths:
            _remove(path)

    def remove(self) -> None:
        """Remove the folder and all in it; harmless when it was never made."""
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
            with_statistics = [field.name for field in reader.schema if not pa.types.is_floating(field.type)]
            with pq.ParquetWriter(path, reader.schema, compression="lz4", write_statistics=with_statistics) as out:
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
