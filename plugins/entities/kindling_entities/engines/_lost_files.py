"""Recognizes the engines' errors for a data file that is missing although its table exists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from kindling_entities.engines._retry import first_line
from kindling_entities.errors import DataFileMissing

# The words of the object store below Sail and delta-rs, those of Spark's conditions, and those of Hadoop.
_LOST = re.compile(
    r"Object at location (?P<object>\S+?\.parquet) not found|"
    r"(?:FILE_NOT_EXIST|FILE_NOT_FOUND|FileNotFoundException|does not exist)[^\n]*?(?P<path>[\w:/][^\s'\"]*\.parquet)|"
    r"(?P<other>[\w:/][^\s'\"]*\.parquet)[^\n]*(?:does not exist|FILE_NOT_EXIST)"
)

Item = TypeVar("Item")


def lost_file(error: BaseException, text: str = "") -> DataFileMissing | None:
    """The exception to raise for an engine's error about a missing data file; None for any other error.

    Args:
        text: used in place of the error's own, where it says more.
    """
    found = _LOST.search(text or str(error))
    if found is None:
        return None
    path = found["object"] or found["path"] or found["other"]
    return DataFileMissing(
        f"The data file {path} is not there ({first_line(error)}). A table that was read needs it: a vacuum removed it "
        "while the rows were computed, or somebody else has. Run the pipe again; if the newest version of the table "
        "needs the file, restore it, or run the pipe that writes the table again."
    )


def mapped_lost_files(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the same items; an error about a missing data file becomes ``DataFileMissing``."""
    try:
        yield from items
    except Exception as error:
        lost = lost_file(error)
        if lost is not None:
            raise lost from error
        raise
