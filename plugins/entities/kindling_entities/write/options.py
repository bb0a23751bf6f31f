"""Passes the options of a write to its kind of storage, and refuses options that the kind does not support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.expectations import ExpectationResult
from kindling_entities.errors import UnsupportedError
from kindling_entities.kinds import StorageKind
from kindling_entities.protocols import Commit, CommitOptions, StorageProvider, Table, Transaction
from kindling_entities.storage import TransactionalStorage


def refuse_options(entity: EntityDefinition, kind: StorageKind, mode: str, options: CommitOptions) -> None:
    """Refuse what a kind of storage, or this write mode, cannot do.

    Raises:
        UnsupportedError: names it.
    """
    wanted = {option.name for option in fields(options) if option.name != "deletes" and getattr(options, option.name)}
    if options.deletes is not None:
        # A frame may have no truth value.
        wanted.add("deletes")
    lacking = sorted(wanted - kind.commit_options)
    if lacking:
        raise UnsupportedError(
            f"Entity {entity.entity_id!r}: provider {kind.name!r} cannot commit with {', '.join(lacking)}. "
            "Nothing was written. Leave it out, or use provider='delta'."
        )
    if options.deletes is not None and mode != "merge":
        raise UnsupportedError(
            f"Entity {entity.entity_id!r}: {mode!r} deletes no rows by their keys, only a merge does. "
            "Nothing was written."
        )


def put(
    provider: StorageProvider,
    entity: EntityDefinition,
    location: str,
    frame: Any,
    mode: str,
    transaction: Transaction | None,
    options: CommitOptions,
) -> Commit:
    """Write through a provider; it is given options only where a caller wants any."""
    how: dict[str, Any] = {"options": options} if options else {}
    return provider.write(entity, location, frame, mode, transaction, **how)


def written_before(
    entity: EntityDefinition, location: str, provider: StorageProvider, transactions: Sequence[Transaction]
) -> Commit | None:
    """Return the outcome of a write whose transactions are in the table already, None where they are not.

    Asked before any row is looked at: expectations would find the rows of that very write in the table, and fail or
    put them aside.

    Raises:
        TransactionsDisagree: some of them are in the table and some are not.
    """
    if not transactions or not isinstance(provider, TransactionalStorage):
        return None
    from kindling_entities.engines._transactions import happened

    if not happened(Table(entity.entity_id, location), transactions, partial(provider.committed, entity, location)):
        return None
    newest = provider.versions({entity.entity_id: (entity, location)})[entity.entity_id]
    version = newest if isinstance(newest, int) else None
    return Commit(version, version, rows_written=0, skipped=True)


def has_no_rows(results: Sequence[ExpectationResult]) -> bool:
    """Whether the expectations of a write looked at no row at all."""
    return all(not result.rows_passed and not result.rows_failed for result in results)


def no_such_thing(entity: EntityDefinition, what: str) -> UnsupportedError:
    """The error of what this entity's kind of storage does not keep."""
    return UnsupportedError(
        f"Entity {entity.entity_id!r}: provider {entity.provider!r} keeps no {what}. Use provider='delta'."
    )
