"""Finds the transaction ids in the log of a Delta table (Delta protocol, "Transaction Identifiers")."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from kindling_entities.engines._commits import commit_file
from kindling_entities.engines._log import newest_version, open_if_exists
from kindling_entities.errors import TransactionsDisagree, UnsupportedError
from kindling_entities.protocols import Table, Transaction

# How many commits back the log is searched; older transactions are of runs that nobody continues any more.
_MOST_COMMITS = 1000
_SIGN = '"txn"'


def happened(table: Table, transactions: Sequence[Transaction], known: Callable[[Transaction], bool]) -> bool:
    """Whether a write with these transaction ids is in a table; False where it has none.

    Raises:
        TransactionsDisagree: some of them are in the table and some are not.
    """
    found = {known(transaction) for transaction in transactions}
    if len(found) < 2:
        return True in found
    there = [f"{transaction.app_id} {transaction.version}" for transaction in transactions if known(transaction)]
    lacking = [f"{transaction.app_id} {transaction.version}" for transaction in transactions if not known(transaction)]
    raise TransactionsDisagree(
        f"Table of {table.entity_id!r} at {table.place} has the transaction(s) {', '.join(there)} and not "
        f"{', '.join(lacking)}, which were to come in one commit with them. Nothing was written: write again with only "
        "the ids that belong together."
    )


def refuse_several(table: Table, transactions: Sequence[Transaction], engine: str) -> None:
    """Refuse a commit with more than one transaction id.

    Raises:
        UnsupportedError: names the ids.
    """
    if len(transactions) > 1:
        ids = ", ".join(transaction.app_id for transaction in transactions)
        raise UnsupportedError(
            f"{table.entity_id!r}: a commit of the engine {engine!r} carries one transaction id, and "
            f"{len(transactions)} were given ({ids}). Nothing was written. Write in as many commits, or use "
            'engine = "embedded".'
        )


def committed(table: Table, transaction: Transaction) -> bool:
    """Whether a table on this machine has a transaction, or a later one of the same application."""
    opened = open_if_exists(table)
    done = None if opened is None else opened.transaction_version(transaction.app_id)
    return done is not None and done >= transaction.version


def newest_transaction(table: Table, ending: str) -> str:
    """Return the newest transaction id with this ending of a table on this machine, "" if there is none."""
    newest = newest_version(table.location)
    opened = open_if_exists(table) if newest is not None else None
    if newest is None or opened is None:
        return ""
    if opened.transaction_version(ending) is not None:
        return ending
    for version in range(newest, max(-1, newest - _MOST_COMMITS), -1):
        try:
            with open(commit_file(table.location, version), encoding="utf8") as lines:
                found = [json.loads(line)["txn"]["appId"] for line in lines if line.startswith("{" + _SIGN)]
        except FileNotFoundError:
            # What is older was cleaned up after a checkpoint.
            break
        for app_id in found:
            if str(app_id).endswith(ending):
                return str(app_id)
    return ""
