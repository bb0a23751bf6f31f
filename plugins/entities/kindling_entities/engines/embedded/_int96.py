"""INT96 timestamps, Spark's default format, which delta-rs reads as nanoseconds.

64 bits of nanoseconds reach from 1677 to 2262. A time outside this range silently becomes another time in every
file that delta-rs rewrites and in every change that it reads. So such values are looked for before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from kindling_entities.declare.nested import holds, leaves
from kindling_entities.engines._actions import commit
from kindling_entities.engines._log import arrow_schema, mapped_errors
from kindling_entities.errors import UnsupportedError
from kindling_entities.protocols import Table

# Microseconds since 1970 that fit into 64 bits of nanoseconds.
_LEAST, _GREATEST = -(2**63) // 1000 + 1, (2**63 - 1) // 1000


class FarTimestamps:
    """Finds timestamps that delta-rs would change. Files that have none are remembered; safe on any thread."""

    def __init__(self) -> None:
        self._sound: set[str] = set()
        self._lock = threading.Lock()

    def refuse(self, table: Table, opened: DeltaTable, doing: str) -> None:
        """Refuse to rewrite a table whose files have such timestamps.

        Raises:
            UnsupportedError: names a column, a value and a file, and says what to do.
        """
        if _has_instants(arrow_schema(opened)):
            with mapped_errors(table, doing):
                files = opened.file_uris()
            self._refuse(table, map(_on_disk, files), doing)

    def refuse_changes(self, table: Table, opened: DeltaTable, start_version: int, end_version: int) -> None:
        """Refuse to read the changes of (start_version, end_version] if their files have such timestamps.

        Raises:
            UnsupportedError: as ``refuse``.
        """
        if not _has_instants(arrow_schema(opened)):
            return
        files = []
        for version in range(start_version + 1, end_version + 1):
            try:
                actions = list(commit(table.location, version))
            except FileNotFoundError:
                # The log was cleaned up; whoever reads the changes says so.
                continue
            for action in actions:
                given = action.get("cdc") or action.get("add") or action.get("remove")
                if given:
                    files.append(os.path.join(table.location, unquote(given["path"])))
        self._refuse(table, files, "Reading changes of")

    def _refuse(self, table: Table, files: Iterable[str], doing: str) -> None:
        for file in files:
            if file in self._sound:
                continue
            try:
                far = _far(file)
            except FileNotFoundError:
                # Removed by a later VACUUM, or lost: whoever reads it says so.
                continue
            if far is not None:
                column, value = far
                raise UnsupportedError(
                    f"{doing} {table.entity_id!r} at {table.place}: column {column!r} has {value} as an INT96 "
                    f"timestamp in {os.path.basename(file)}, which the embedded engine would change to another time. "
                    "Nothing was written. Overwrite the table once with its own rows (read_entity, then "
                    'write_to_entity with mode "overwrite"), or use engine = "spark". Spark writes timestamps that '
                    "every engine reads with spark.sql.parquet.outputTimestampType = TIMESTAMP_MICROS."
                )
            with self._lock:
                self._sound.add(file)


def _has_instants(schema: pa.Schema) -> bool:
    return any(holds(field.type, lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None) for field in schema)


def _on_disk(uri: str) -> str:
    path = uri.removeprefix("file://")
    return path if os.path.exists(path) else unquote(path)


def _far(file: str) -> tuple[str, Any] | None:
    """A column and a value of INT96 that nanoseconds do not reach, None if there is none."""
    with pq.ParquetFile(file, coerce_int96_timestamp_unit="us") as opened:
        columns = [opened.schema.column(index) for index in range(len(opened.schema))]
        names = {column.path.split(".")[0] for column in columns if column.physical_type == "INT96"}
        if not names:
            return None
        # Several columns may begin alike where a name has a dot in it: rather too many than too few.
        wanted = [name for name in opened.schema_arrow.names if name.split(".")[0] in names]
        for batch in opened.iter_batches(columns=wanted):
            for name in batch.schema.names:
                for path, leaf in leaves(name, batch.column(name)):
                    if not pa.types.is_timestamp(leaf.type):
                        continue
                    instants = leaf.cast(pa.timestamp("us", leaf.type.tz))
                    least, greatest = pc.min_max(instants.cast(pa.int64())).as_py().values()
                    for value in (least, greatest):
                        if value is not None and not _LEAST <= value <= _GREATEST:
                            return path, _shown(value)
    return None


def _shown(microseconds: int) -> str:
    try:
        return str(pa.scalar(microseconds, pa.timestamp("us", "UTC")).as_py())
    except (ValueError, OverflowError):
        return f"{microseconds} microseconds since 1970"
