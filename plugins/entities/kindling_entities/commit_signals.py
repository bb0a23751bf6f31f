"""Sends the signals that every commit of an entity may cause, whichever way it was made."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from kindling_entities.declare.expectations import ExpectationResult
from kindling_entities.manager import DataEntityManager
from kindling_entities.protocols import Commit


def new_operation(entity_id: str) -> dict[str, Any]:
    """Return the fields that all signals of an operation share."""
    return {"entity_id": entity_id, "operation_id": str(uuid.uuid4())}


def send_changes(manager: DataEntityManager, operation: dict[str, Any], commit: Commit) -> None:
    """Send ``entity.schema_changed`` and ``entity.version_updated``, each if it applies to the commit."""
    if commit.skipped:
        return
    change = commit.schema_change
    if change:
        manager.emit(
            "entity.schema_changed",
            **operation,
            added=list(change.added),
            removed=list(change.removed),
            changed=list(change.changed),
        )
    if commit.version is not None and commit.version != commit.old_version:
        manager.emit("entity.version_updated", **operation, old_version=commit.old_version, new_version=commit.version)


def send_results(manager: DataEntityManager, operation: dict[str, Any], results: Sequence[ExpectationResult]) -> None:
    """Send ``entity.expectation_evaluated`` for each result."""
    for result in results:
        manager.emit(
            "entity.expectation_evaluated",
            **operation,
            expectation=result.name,
            action=result.action,
            kind=result.kind,
            rows_passed=result.rows_passed,
            rows_failed=result.rows_failed,
        )
