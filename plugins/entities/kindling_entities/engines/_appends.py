"""The rows that commits added to a table which only grows, read without a change feed.

The files that the commits added are read through a log of their own: lazily, with the columns of the last version.
"""

from __future__ import annotations

import os
import uuid

from kindling_entities.engines._actions import Actions, commit, read_definition
from kindling_entities.engines._log import mapped_errors, newest_version, not_found
from kindling_entities.engines._retained import gone, is_there, refuse_gone_commits
from kindling_entities.engines._side_log import write_log
from kindling_entities.engines._staging import Staging
from kindling_entities.errors import EntityNotFoundError, RowsRewritten
from kindling_entities.protocols import Table


def appends_log(table: Table, start_version: int, end_version: int, staging: Staging) -> str:
    """Make a folder that reads as the rows which the commits of (start_version, end_version] added.

    Returns:
        Its path; it stays until the pipe that reads it is released.

    Raises:
        EntityNotFoundError: no such table or version.
        RowsRewritten: a commit removed or changed rows.
        VersionsGone: a commit or a file is kept no more.
    """
    newest = newest_version(table.location)
    if newest is None:
        raise not_found(table)
    if not 0 <= end_version <= newest:
        raise EntityNotFoundError(f"{table.entity_id!r} has no version {end_version}; the newest is {newest}.")
    with mapped_errors(table, "Reading the appends of", opening=True):
        actions = _added(table, start_version, end_version)
        path = os.path.join(staging.folder(), f"appends-{uuid.uuid4().hex}")
        write_log(path, table.location, actions)
    staging.keep_for_pipe(path)
    return path


def _added(table: Table, start_version: int, end_version: int) -> Actions:
    refuse_gone_commits(table, start_version, end_version)
    added = Actions()
    for version in range(start_version + 1, end_version + 1):
        operation = ""
        for action in commit(table.location, version, ("commitInfo", "add", "remove")):
            if "commitInfo" in action:
                operation = str(action["commitInfo"].get("operation", ""))
                continue
            kind, given = next(iter(action.items()))
            if not given.get("dataChange", True):
                # Compaction: the same rows in other files.
                continue
            if kind == "remove":
                raise RowsRewritten(table.entity_id, version, operation)
            if not all(is_there(table.location, given)):
                raise gone(table, start_version + 1, end_version)
            added.take(action)
    defined = read_definition(table.location, end_version)
    added.protocol, added.metadata = defined.protocol, defined.metadata
    return added
