"""Which versions of a table on this machine can still be read: what its log and its folder still have.

Cleaning a log removes the commits before a checkpoint, and a vacuum the files that only older versions name. Both are
distinguished from damage: a commit that is lost without a checkpoint after it, or a file of the newest version.
"""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from kindling_entities.engines._actions import commit
from kindling_entities.engines._damage import LogFiles, log_files
from kindling_entities.errors import CorruptTableError, VersionsGone
from kindling_entities.protocols import Table

_LOG_CLEANED = "the table's log was cleaned"
_VACUUMED = "files that only older versions need were removed by a vacuum"
# A deletion vector's file is named by a UUID in Z85 (Delta protocol, "Deletion Vector Format"), an alphabet of its own.
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_UUID_LETTERS = 20


def refuse_gone(table: Table, version: int) -> None:
    """Refuse a version that can be read no more. Looks at what later commits removed, so old versions cost more.

    Raises:
        VersionsGone: with the oldest version that can be read.
    """
    log = log_files(table.location)
    newest = log.newest
    if newest is None or not 0 <= version < newest:
        return
    first = _oldest_in_log(log)
    if version < first:
        oldest = _oldest_with_files(table.location, log, first)
        raise VersionsGone(table.entity_id, (version, version), oldest, _LOG_CLEANED)
    oldest = _oldest_with_files(table.location, log, version)
    if oldest > version:
        raise VersionsGone(table.entity_id, (version, version), oldest, _VACUUMED)


def refuse_gone_changes(table: Table, start_version: int, end_version: int) -> None:
    """Refuse commits of (start_version, end_version] of which a file is there no more.

    Raises:
        VersionsGone: with the oldest version that can be read.
        CorruptTableError: a commit is lost.
    """
    refuse_gone_commits(table, start_version, end_version)
    for version in range(start_version + 1, end_version + 1):
        actions = list(commit(table.location, version, ("add", "remove", "cdc")))
        # Where there are files of changes, they are read in place of those that were added and removed.
        recorded = [action for action in actions if "cdc" in action]
        for action in recorded or actions:
            (found,) = action.values()
            if ("cdc" in action or found.get("dataChange", True)) and not all(is_there(table.location, found)):
                raise gone(table, start_version + 1, end_version, _VACUUMED)


def refuse_gone_commits(table: Table, start_version: int, end_version: int) -> None:
    """Refuse commits of (start_version, end_version] that are not in the log.

    Raises:
        VersionsGone: the log was cleaned.
        CorruptTableError: a commit is lost.
    """
    log = log_files(table.location)
    missing = [version for version in range(start_version + 1, end_version + 1) if version not in log.commits]
    if not missing:
        return
    if missing[0] <= _oldest_in_log(log):
        raise gone(table, start_version + 1, end_version, _LOG_CLEANED)
    raise CorruptTableError(
        f"The log of {table.entity_id!r} at {table.location}/_delta_log cannot be read: the commit of version "
        f"{missing[0]} is lost. Restore it, or move the folder away and run the pipe again."
    )


def gone(table: Table, first: int, last: int, why: str = _VACUUMED) -> VersionsGone:
    """The error of versions that are kept no more, with the oldest that is."""
    log = log_files(table.location)
    return VersionsGone(
        table.entity_id, (first, last), _oldest_with_files(table.location, log, _oldest_in_log(log)), why
    )


def is_there(location: str, action: dict[str, Any]) -> Iterator[bool]:
    """Whether each file that an action names is there: that of the rows, and that of their deletion vector.

    Files elsewhere than on this machine count as there.
    """
    for path in _paths(action):
        scheme = urlsplit(path).scheme
        if scheme == "file":
            yield os.path.exists(unquote(urlsplit(path).path))
        elif scheme and "://" in path:
            yield True
        else:
            yield os.path.exists(os.path.join(location, path)) or os.path.exists(os.path.join(location, unquote(path)))


def _paths(action: dict[str, Any]) -> Sequence[str]:
    vector = action.get("deletionVector")
    if not vector or vector["storageType"] == "i":
        return [action["path"]]
    text = vector["pathOrInlineDv"]
    if vector["storageType"] == "u":
        folder, name = text[:-_UUID_LETTERS], text[-_UUID_LETTERS:]
        decoded = base64.b85decode(name.translate(str.maketrans(_Z85, _B85)))
        text = os.path.join(folder, f"deletion_vector_{uuid.UUID(bytes=decoded)}.bin")
    return [action["path"], text]


def _oldest_in_log(log: LogFiles) -> int:
    """The oldest version that the log describes; without a checkpoint nothing was cleaned, so a hole is damage."""
    return 0 if 0 in log.commits else min(log.checkpoints, default=0)


def _oldest_with_files(location: str, log: LogFiles, first: int) -> int:
    """The oldest version from ``first`` on of which no file was removed.

    A commit removed the files that its version lacks and the version before it has.
    """
    for version in range(log.newest or 0, first, -1):
        if version not in log.commits:
            continue
        for action in commit(location, version, ("remove",)):
            if not all(is_there(location, action["remove"])):
                return version
    return first
