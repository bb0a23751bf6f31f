"""Finds out whether a commit that ended with an error was made: delta-rs may raise after it has committed."""

from __future__ import annotations

import logging
import os

from deltalake import DeltaTable

from kindling_core.secrets import Redactor
from kindling_entities.engines._commits import commit_file
from kindling_entities.engines._log import newest_version, open_table
from kindling_entities.errors import CorruptTableError
from kindling_entities.protocols import Table

_log = logging.getLogger("kindling.entities")


def settled(table: Table, marker: str, before: int | None, error: BaseException) -> DeltaTable | None:
    """Find the commit that carries a marker, and open the table at it.

    A commit after which nobody can read the table is removed, unless another commit follows it.

    Args:
        before: the version that the write began from, None where there was no table.

    Returns:
        None where nothing was committed: the error stands.

    Raises:
        CorruptTableError: the commit was made, the table cannot be read, and another commit follows.
    """
    version = _version_of(table.location, marker, before)
    if version is None:
        return None
    try:
        opened = open_table(table, version)
    except CorruptTableError as broken:
        if newest_version(table.location) != version:
            raise CorruptTableError(
                f"Version {version} of {table.entity_id!r} at {table.place} was committed and cannot be read, and "
                f"others have committed since ({broken}). Restore the table to version {version - 1}."
            ) from error
        os.unlink(commit_file(table.location, version))
        return None
    reason = Redactor()(str(error))
    _log.warning("Version %d of %r was committed; what follows a commit failed: %s", version, table.entity_id, reason)
    return opened


def _version_of(location: str, marker: str, before: int | None) -> int | None:
    newest = newest_version(location)
    for version in range(-1 if newest is None else newest, -1 if before is None else before, -1):
        try:
            with open(commit_file(location, version), encoding="utf8") as lines:
                if any('"commitInfo"' in line and marker in line for line in lines):
                    return version
        except FileNotFoundError:
            continue
    return None
