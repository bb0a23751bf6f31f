"""Refuses changes of tables whose log has file paths with letters beyond ASCII, as Spark writes some partition values.

The log is to have such letters as %-escapes (Delta protocol, "Add File and Remove File"). delta-rs escapes them when it
removes a file and so removes nothing: the old rows stay beside those that replace them, for every reader.
"""

from __future__ import annotations

import pyarrow as pa
from deltalake import DeltaTable

from kindling_entities.engines._log import mapped_errors
from kindling_entities.errors import UnsupportedError
from kindling_entities.protocols import Table


def refuse_raw_paths(table: Table, opened: DeltaTable, doing: str) -> None:
    """Refuse to replace files of a table that delta-rs could not remove from it.

    Raises:
        UnsupportedError: names such a file, and says what to do.
    """
    if not opened.metadata().partition_columns:
        return
    with mapped_errors(table, doing):
        paths = pa.table(opened.get_add_actions(flatten=True))["path"].to_pylist()
    raw = next((path for path in paths if not path.isascii()), None)
    if raw is not None:
        raise UnsupportedError(
            f"{doing} {table.entity_id!r} at {table.place}: Spark has written {raw!r}, a partition with letters beyond "
            "ASCII, and the embedded engine could not take that file out of the table, so that its rows would stay "
            'beside the new ones. Nothing was written. Use engine = "spark" for this job. Appending and reading work.'
        )
