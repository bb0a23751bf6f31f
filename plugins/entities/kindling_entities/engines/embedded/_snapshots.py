"""Snapshots for Sail: the log of one version, without the statistics that Sail's Delta reader misreads.

A column whose least and greatest value in a file are equal is not read from the file: Sail takes the value from the
log, and skips files by these values. In the log decimals are JSON numbers, which delta-rs writes with 17 digits, and
NaN is not counted: decimals come back rounded, and NaN as a number. So Sail gets a log of its own, in a temporary
folder, that names the same files without the least and greatest values of such columns. What Sail knows besides
(partition values, deletion vectors, column mapping, schemas that grew) holds as before.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kindling_entities.declare.quoting import quote
from kindling_entities.engines._actions import read_actions
from kindling_entities.engines._side_log import write_log
from kindling_entities.engines._staging import Staging


def sound_columns(schema: pa.Schema, names: Sequence[str]) -> list[str]:
    """The expressions that read these columns from Parquet files whose statistics leave NaN out.

    Sail skips row groups by the statistics in a file's footer, and answers ``max`` from them. It does so for plain
    columns alone.
    """
    floats = {field.name.lower() for field in schema if pa.types.is_floating(field.type)}
    return [
        f"if(isnan({quote(name)}), {quote(name)} + {quote(name)}, {quote(name)}) as {quote(name)}"
        if name.lower() in floats
        else quote(name)
        for name in names
    ]


def sound(frame: Any, schema: pa.Schema) -> Any:
    """A frame over Parquet files, with NaN where they have it."""
    if not any(pa.types.is_floating(field.type) for field in schema):
        return frame
    return frame.selectExpr(*sound_columns(schema, schema.names))


def hides_nan(footer: pq.FileMetaData) -> bool:
    """Whether Sail would read a column of a Parquet file as constant although it may hold NaN, too."""
    for index in range(footer.num_columns):
        if footer.schema.column(index).physical_type in ("FLOAT", "DOUBLE"):
            groups = (footer.row_group(group).column(index) for group in range(footer.num_row_groups))
            ends = {
                end
                for column in groups
                if column.is_stats_set and column.statistics.has_min_max
                for end in (column.statistics.min, column.statistics.max)
            }
            if len(ends) == 1:
                return True
    return False


# How long a log that another thread reads is waited for, before it is read twice: that thread may hang.
_PATIENCE_SECONDS = 10.0


class Snapshots:
    """The snapshots of an engine; each stays until every label under which it was read is released.

    Args:
        patience_seconds: how long a thread waits for another that makes the same snapshot.
    """

    def __init__(self, staging: Staging, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._staging = staging
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._making: dict[tuple[str, str, int], threading.Event] = {}
        self._made: dict[tuple[str, str, int], str] = {}
        self._users: dict[tuple[str, str, int], set[str]] = {}

    def of(self, location: str, table_id: str, version: int) -> str:
        """The folder of a version's snapshot; made on first use.

        Args:
            table_id: the table's identity, which another table at the same place does not share.

        Raises:
            OSError, ValueError: the table's log cannot be read.
            PipeAbandoned: the label of this thread was released.
        """
        key, folder = (location, table_id, version), self._staging.folder()
        made, others = self._made_or_begun(key)
        if made is None and others is not None:
            others.wait(self._patience)
            made = self._made_or_begun(key)[0]
        if made is not None:
            return made
        path = os.path.join(folder, f"snapshot-{uuid.uuid4().hex}")
        try:
            # Not under the lock: a storage that hangs must not keep other tables from being read.
            write_log(path, location, read_actions(location, version))
            with self._lock:
                label = self._staging.current_label
                made = self._made.setdefault(key, path)
                self._users.setdefault(key, set()).add(label)
        finally:
            if made != path:
                shutil.rmtree(path, ignore_errors=True)
            with self._lock:
                ready = self._making.pop(key, None)
            if ready is not None:
                ready.set()
        return made

    def _made_or_begun(self, key: tuple[str, str, int]) -> tuple[str | None, threading.Event | None]:
        """Return an existing snapshot, else the event that is set when another thread has made it; neither: make it."""
        with self._lock:
            label = self._staging.current_label
            path = self._made.get(key)
            if path is not None:
                self._users[key].add(label)
                return path, None
            others = self._making.get(key)
            if others is None:
                self._making[key] = threading.Event()
            return None, others

    def release(self, prefix: str) -> None:
        """Remove what was read under labels that begin so, and under no others."""
        over = []
        with self._lock:
            for key, labels in list(self._users.items()):
                labels -= {label for label in labels if label.startswith(prefix)}
                if not labels:
                    del self._users[key]
                    if key in self._made:
                        over.append(self._made.pop(key))
        for path in over:
            shutil.rmtree(path, ignore_errors=True)

    def forget(self) -> None:
        """Forget all; the folder goes with the staged files."""
        with self._lock:
            self._made.clear()
            self._users.clear()
