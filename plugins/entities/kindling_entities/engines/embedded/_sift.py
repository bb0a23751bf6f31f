"""Counts flags and leaves rows out while a frame streams by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kindling_entities.engines._frames import Stream, to_reader
from kindling_entities.errors import EntityError


class RowRefused(EntityError):
    """A row has a flag with the action "fail"."""


class StreamSift:
    """Implements ``Sifted`` on the stream of record batches. Each reading counts anew."""

    def __init__(self, frame: Any, flags: Mapping[str, str]) -> None:
        self._source = frame
        self._flags = flags
        self._counts: dict[str, int] = {}
        self.frame = Stream(self._open)

    def tally(self) -> dict[str, int]:
        """Rows and flags of the last reading."""
        return dict(self._counts)

    def refused(self, error: BaseException) -> bool:
        """Whether the reading ended with this error because of a flag."""
        return isinstance(error, RowRefused)

    def _open(self) -> pa.RecordBatchReader:
        reader = to_reader(self._source)
        kept = pa.schema([field for field in reader.schema if field.name not in self._flags])
        return pa.RecordBatchReader.from_batches(kept, self._sifted(reader, kept))

    def _sifted(self, reader: pa.RecordBatchReader, kept: pa.Schema) -> Iterator[pa.RecordBatch]:
        counts = dict.fromkeys(("rows", *self._flags), 0)
        for batch in reader:
            counts["rows"] += batch.num_rows
            out = None
            for flag, action in self._flags.items():
                column = batch.column(flag)
                count = pc.sum(column).as_py() or 0
                counts[flag] += count
                if action == "drop" and count:
                    out = column if out is None else pc.or_(out, column)
            good = batch.select(kept.names)
            yield good if out is None else good.filter(pc.invert(out))
        self._counts = counts
        # Only now, so that the counts are those of the whole frame; nothing is committed before the end.
        if any(counts[flag] for flag, action in self._flags.items() if action == "fail"):
            raise RowRefused("A row has a flag that refuses it.")
