"""A data file that is gone, as the engines tell of it while they compute: the table is there, a part of it is not."""

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
    """What to raise for an error that tells of a data file which is not there; None for any other.

    Args:
        text: that says more than the error's own.
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
    """The same items; an error that tells of a lost file becomes ``DataFileMissing``."""
    try:
        yield from items
    except Exception as error:
        lost = lost_file(error)
        if lost is not None:
            raise lost from error
        raise
