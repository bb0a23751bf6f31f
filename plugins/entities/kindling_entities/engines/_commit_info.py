"""Information that a commit carries: written with the commit, and read back from the log.

Both engines write a text, ``userMetadata`` of ``commitInfo``, which is a JSON object: the metadata of the
caller, and the marker by which a writer finds its own commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from kindling_entities.engines._actions import commit
from kindling_entities.engines._damage import log_files
from kindling_entities.engines._log import mapped_errors, newest_version, not_found
from kindling_entities.engines._retained import refuse_gone_commits
from kindling_entities.protocols import CommitInfo, Table, Transaction

USER_METADATA = "userMetadata"
# The marker of a write. Callers may not use names that begin like this.
MARKER = "kindling.write"
# Fields of commitInfo that writers of Delta Lake make themselves; others are what a caller of delta-rs gave.
_KNOWN = {
    "timestamp",
    "inCommitTimestamp",
    "userId",
    "userName",
    "operation",
    "operationParameters",
    "operationMetrics",
    "job",
    "notebook",
    "clusterId",
    "readVersion",
    "isolationLevel",
    "isBlindAppend",
    "userMetadata",
    "tags",
    "engineInfo",
    "txnId",
    "clientVersion",
    "version",
}


def user_metadata(marker: str, metadata: Mapping[str, str]) -> str:
    """The text that a commit carries."""
    # Spark takes ${...} in a setting for the name of another; JSON reads the sign in this form, too.
    return json.dumps({**metadata, MARKER: marker}, ensure_ascii=False).replace("$", "\\u0024")


def read_commits(table: Table, since: int | None) -> list[CommitInfo]:
    """What the log of a table on this machine says of the commits after a version, oldest first.

    Raises:
        EntityNotFoundError: no such table.
        VersionsGone: the log was cleaned.
        CorruptTableError: a commit is lost or cannot be read.
    """
    newest = newest_version(table.location)
    if newest is None:
        raise not_found(table)
    if since is None:
        since = min(log_files(table.location).commits, default=newest + 1) - 1
    since = max(since, -1)
    refuse_gone_commits(table, since, newest)
    with mapped_errors(table, "Reading", opening=True):
        return [
            commit_info(version, commit(table.location, version, ("commitInfo", "txn")))
            for version in range(since + 1, newest + 1)
        ]


def commit_info(version: int, actions: Iterable[dict[str, Any]]) -> CommitInfo:
    """What the actions of a commit say of it.

    Args:
        actions: at least those of the kinds ``commitInfo`` and ``txn``.
    """
    said: dict[str, Any] = {}
    transactions = []
    for action in actions:
        if "commitInfo" in action:
            said = action["commitInfo"]
        elif "txn" in action:
            transactions.append(Transaction(action["txn"]["appId"], int(action["txn"]["version"])))
    moment = said.get("inCommitTimestamp") or said.get("timestamp")
    figures = dict(said.get("operationMetrics") or {})
    merged = _count(figures, "numTargetRowsInserted", "num_target_rows_inserted")
    updated = _count(figures, "numTargetRowsUpdated", "num_target_rows_updated", "numUpdatedRows", "num_updated_rows")
    deleted = _count(figures, "numTargetRowsDeleted", "num_target_rows_deleted", "numDeletedRows", "num_deleted_rows")
    plain = merged is None and updated is None and deleted is None
    return CommitInfo(
        version,
        None if moment is None else datetime.fromtimestamp(int(moment) / 1000, timezone.utc),
        str(said.get("operation", "")),
        _metadata(said),
        tuple(transactions),
        rows_written=_count(figures, "numOutputRows", "num_added_rows") if plain else None,
        rows_inserted=merged,
        rows_updated=updated,
        rows_deleted=deleted,
        figures=figures,
    )


def _metadata(said: Mapping[str, Any]) -> dict[str, str]:
    given = {name: value for name, value in said.items() if name not in _KNOWN and isinstance(value, str)}
    text = said.get(USER_METADATA)
    if text:
        try:
            ours = json.loads(text)
        except ValueError:
            ours = None
        if isinstance(ours, dict) and all(isinstance(value, str) for value in ours.values()):
            given.update(ours)
        else:
            given[USER_METADATA] = str(text)
    given.pop(MARKER, None)
    return given


def _count(figures: Mapping[str, Any], *names: str) -> int | None:
    found = next((figures[name] for name in names if figures.get(name) is not None), None)
    return None if found is None else int(found)
