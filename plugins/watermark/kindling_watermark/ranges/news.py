"""Which commits of a source bring rows, and how large a slice of them is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kindling_entities import CommitInfo

# Commits that leave the rows as they are, by the names that Delta Lake and delta-rs give them.
_QUIET = frozenset(
    {
        "OPTIMIZE",
        "REORG",
        "CLUSTER BY",
        "VACUUM START",
        "VACUUM END",
        "CREATE TABLE",
        "SET TBLPROPERTIES",
        "UNSET TBLPROPERTIES",
        "ADD COLUMN",
        "ADD COLUMNS",
        "CHANGE COLUMN",
        "CHANGE COLUMNS",
        "RENAME COLUMN",
        "UPDATE COLUMN METADATA",
        "UPDATE FIELD METADATA",
        "UPDATE SCHEMA",
        "UPDATE TABLE METADATA",
        "ADD CONSTRAINT",
        "DROP CONSTRAINT",
        "ADD FEATURE",
        "DROP FEATURE",
        "UPGRADE PROTOCOL",
        "COMPUTE STATS",
        "SET TABLE LOCATION",
    }
)
_REMOVED_FILES = ("num_removed_files", "numRemovedFiles")


def brings_rows(commit: CommitInfo) -> bool:
    """Whether a commit may have added, changed or removed rows."""
    if commit.operation.upper() in _QUIET:
        return False
    changed = (commit.rows_inserted, commit.rows_updated, commit.rows_deleted)
    if any(count is not None for count in changed):
        return any(changed)
    if commit.rows_written != 0:
        return True
    # No row was written; an overwrite may have removed some all the same.
    removed = next((commit.figures[name] for name in _REMOVED_FILES if commit.figures.get(name) is not None), None)
    return removed is None or int(removed) != 0


@dataclass(frozen=True)
class Limits:
    """How much one execution reads of a source at most; None: any amount.

    A commit is never parted: one that is larger than a limit is read alone.
    """

    max_versions: int | None = None
    max_rows: int | None = None
    max_bytes: int | None = None

    def __bool__(self) -> bool:
        return any(limit is not None for limit in vars(self).values())


def slice_end(commits: Sequence[CommitInfo], bound: int, limits: Limits) -> int:
    """Return the version up to which the next slice reads.

    Args:
        commits: those that bring rows, after the watermark and up to ``bound``, oldest first; at least one.
    """
    if not limits:
        return bound
    versions, rows, size = 0, 0, 0
    for place, commit in enumerate(commits):
        versions, rows, size = versions + 1, rows + rows_of(commit), size + bytes_of(commit)
        over = any(
            limit is not None and count > limit
            for limit, count in ((limits.max_versions, versions), (limits.max_rows, rows), (limits.max_bytes, size))
        )
        if over and place:
            return commits[place - 1].version
    return bound


def rows_of(commit: CommitInfo) -> int:
    """How many rows a commit touched, as far as it tells."""
    if commit.rows_written is not None:
        return commit.rows_written
    return sum(count or 0 for count in (commit.rows_inserted, commit.rows_updated, commit.rows_deleted))


def bytes_of(commit: CommitInfo) -> int:
    """How many bytes a commit added, as far as it tells."""
    names = ("numOutputBytes", "numAddedBytes", "numTargetBytesAdded", "num_added_bytes")
    return int(next((commit.figures[name] for name in names if commit.figures.get(name) is not None), 0))


def rows_in(commits: Iterable[CommitInfo]) -> int:
    """How many rows commits touched, as far as they tell."""
    return sum(map(rows_of, commits))
