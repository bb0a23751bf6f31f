"""What the commits of delta-rs carry: metadata, transaction ids, and what a write without rows returns."""

from __future__ import annotations

from deltalake import CommitProperties, DeltaTable
from deltalake import Transaction as DeltaTransaction

from kindling_entities.engines._commit_info import USER_METADATA, user_metadata
from kindling_entities.protocols import Commit, CommitOptions, Transaction


def commit_properties(how: CommitOptions, marker: str, *, retry: bool) -> CommitProperties:
    """What delta-rs takes for a commit.

    Args:
        marker: finds the commit again in the log.
        retry: whether delta-rs itself may try again after a lost race.
    """
    return CommitProperties(
        custom_metadata={USER_METADATA: user_metadata(marker, how.metadata)},
        max_commit_retries=None if retry else 0,
        app_transactions=[DeltaTransaction(app_id=t.app_id, version=t.version) for t in how.transactions] or None,
    )


def has_transaction(opened: DeltaTable, transaction: Transaction) -> bool:
    """Whether a table has this transaction, or a later one of the same application."""
    done = opened.transaction_version(transaction.app_id)
    return done is not None and done >= transaction.version


def nothing_written(opened: DeltaTable | None) -> Commit:
    """The outcome of a write without rows whose caller wants no empty commit."""
    version = None if opened is None else opened.version()
    return Commit(version, version, rows_written=0, empty=True)


def partition_columns(opened: DeltaTable) -> list[str]:
    """The partition columns of a table, in order."""
    return list(opened.metadata().partition_columns)
