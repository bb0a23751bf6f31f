"""Reads csv, json and parquet files: the right values, or an error that names file, line and column.

    reading = read_files("Entity 'raw.orders'", "csv", "data/orders", paths, columns, TextOptions.of(options))
    for batch in reading.reader(): ...
    reading.dirt.results()

| module | question |
|---|---|
| ``_bytes`` | how does a packed or encoded file become UTF-8? |
| ``_records``, ``_quotes`` | where does a csv record end? |
| ``_csv``, ``_tables`` | what do the csv files of a source hold, as texts and as a table? |
| ``_json``, ``_json_values`` | the same of json |
| ``_parquet`` | which types do parquet files have, and what are they in a table? |
| ``_values``, ``_infer`` | what does a text mean as a type, and which type prints it back? |
| ``_hive`` | which columns do folders carry? |
| ``_dirt`` | what did not parse? |
| ``_writing`` | how are csv and json written so that they read back? |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from kindling_entities.declare.schema import to_arrow_schema
from kindling_entities.formats._dirt import QUARANTINE_SCHEMA, Dirt, reasons_of
from kindling_entities.formats._hive import sources
from kindling_entities.formats._options import TextOptions

__all__ = ["QUARANTINE_SCHEMA", "Dirt", "Reading", "TextOptions", "read_files", "reasons_of"]


class _Files(Protocol):
    schema: pa.Schema
    dirt: Dirt

    def batches(self) -> Iterable[pa.RecordBatch]: ...


class Reading:
    """The files of a source, about to be read.

    Attributes:
        schema: the columns in the order of the files, those of the folders last; declared types, else those found.
        dirt: what does not parse; complete once the reader is at its end.
    """

    def __init__(self, files: _Files) -> None:
        self._files = files
        self.schema = files.schema
        self.dirt = files.dirt

    def reader(self) -> pa.RecordBatchReader:
        """Stream the rows. Once."""
        return pa.RecordBatchReader.from_batches(self.schema, self._files.batches())


def read_files(
    what: str,
    kind: str,
    location: str,
    paths: Sequence[str],
    columns: Mapping[str, str] | None = None,
    options: TextOptions | None = None,
) -> Reading:
    """Open text files as a single table.

    Args:
        what: names the source in errors, such as "Entity 'raw.orders'".
        kind: "csv" or "json".
        location: the file, folder or glob of the paths; folders below it named ``column=value`` are columns.
        columns: declared types by name; a file may have more.

    Raises:
        SchemaError: columns are missing, or differ from file to file.
        CorruptTableError: a file is not what it is declared to be.
    """
    how = options or TextOptions()
    declared = to_arrow_schema(columns or {})
    found = sources(what, location, paths)
    dirt = Dirt(what, how)
    if kind == "json":
        from kindling_entities.formats._json import JsonFiles

        return Reading(JsonFiles(what, found, declared, how, dirt))
    from kindling_entities.formats._tables import CsvFiles

    return Reading(CsvFiles(what, found, declared, how, dirt))
