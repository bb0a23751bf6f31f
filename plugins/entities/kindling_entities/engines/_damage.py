"""Damage of a table on this machine: empty or lost files of its log, and missing or truncated data files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from kindling_entities.errors import CorruptTableError, EntityError
from kindling_entities.protocols import Table

_LOG_FILE = re.compile(r"^(\d{20})\.(json|checkpoint(?:\.[\w-]+)*\.(?:parquet|json))$")
# What a log has beside commits and checkpoints; where the log has nothing else, its commits were lost.
_TRACE = re.compile(r"^(_last_checkpoint|\d{20}\..*)$")
# No action of a commit is shorter, so that a file of this size holds none.
_EMPTY_BYTES = 2
_SHOWN = 3


@dataclass
class LogFiles:
    """The files of a log by version.

    Attributes:
        traces: names of files that only a table with commits has.
    """

    commits: dict[int, os.DirEntry[str]] = field(default_factory=dict)
    checkpoints: dict[int, os.DirEntry[str]] = field(default_factory=dict)
    traces: list[str] = field(default_factory=list)

    @property
    def newest(self) -> int | None:
        return max((*self.commits, *self.checkpoints), default=None)


def log_files(location: str) -> LogFiles:
    """List a log; empty where there is none."""
    found = LogFiles()
    try:
        with os.scandir(os.path.join(location, "_delta_log")) as entries:
            for entry in entries:
                match = _LOG_FILE.match(entry.name)
                if match is not None:
                    (found.commits if match[2] == "json" else found.checkpoints)[int(match[1])] = entry
                if _TRACE.match(entry.name):
                    found.traces.append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        pass
    return found


def refuse_empty_commits(table: Table, version: int | None = None) -> None:
    """Refuse a table of which a commit that a version needs is an empty file: it would be passed over, rows and all.

    Raises:
        CorruptTableError: names the file.
    """
    log = log_files(table.location)
    newest = log.newest
    if newest is None:
        return
    until = newest if version is None else version
    start = max((number for number in log.checkpoints if number <= until), default=-1)
    needed = [(number, entry) for number, entry in log.commits.items() if start < number <= until]
    needed += [(start, log.checkpoints[start])] if start >= 0 else []
    for number, entry in sorted(needed, key=lambda item: item[0]):
        if entry.stat().st_size <= _EMPTY_BYTES:
            raise CorruptTableError(
                f"The log of {table.entity_id!r} at {table.location}/_delta_log cannot be read: {entry.name} is "
                f"empty, so that nobody knows what version {number} changed. Restore the file, or move the folder away "
                "and run the pipe again."
            )


def refuse_lost_log(table: Table) -> None:
    """Refuse to take a table for none, of which the log has traces and no commit.

    Raises:
        CorruptTableError: names a trace.
    """
    log = log_files(table.location)
    if log.traces:
        raise CorruptTableError(
            f"The log of {table.entity_id!r} at {table.location}/_delta_log cannot be read: there is "
            f"{min(log.traces)}, and the commits before it are lost. Restore them, or move the folder away and run the "
            "pipe again."
        )


def damage(table: Table) -> list[str]:
    """What is wrong with a table, a sentence each; empty for a sound table, and where there is none.

    Looks at the size of every data file, and reads none.
    """
    from kindling_entities.engines._log import open_if_exists

    try:
        opened = open_if_exists(table)
    except EntityError as error:
        return [str(error)]
    if opened is None:
        return _leftovers(table)
    gone, cut = [], []
    for path, size in _data_files(opened, table.location):
        try:
            actual = os.stat(path).st_size
        except FileNotFoundError:
            gone.append(path)
        else:
            if actual != size:
                cut.append(path)
    problems = []
    for paths, what in ((gone, "lost"), (cut, "of another size than the log says")):
        if paths:
            more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
            problems.append(
                f"Table of {table.entity_id!r} at {table.location}: {len(paths)} of its data files are {what}: "
                f"{', '.join(paths[:_SHOWN])}{more}. Restore them, or move the folder away and run the pipe again."
            )
    return problems


def _data_files(opened: DeltaTable, location: str) -> Iterator[tuple[str, int]]:
    files = pa.table(opened.get_add_actions(flatten=True))
    for path, size in zip(files["path"].to_pylist(), files["size_bytes"].to_pylist(), strict=True):
        if "://" in path:
            continue
        here = os.path.join(location, path)
        yield (here if os.path.exists(here) else os.path.join(location, unquote(path))), size


def _leftovers(table: Table) -> list[str]:
    try:
        names = os.listdir(table.location)
    except OSError:
        return []
    if not any(name.endswith(".parquet") for name in names):
        return []
    return [
        f"Folder of {table.entity_id!r} at {table.location} has data files and no log: leftovers of a first write that "
        "was killed, or a table whose log is lost. Restore its _delta_log, or remove the folder."
    ]
