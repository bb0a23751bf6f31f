"""What the report of a run shows of a write: unmet expectations, and changes of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kindling_entities.declare.expectations import ExpectationResult, summary
from kindling_entities.protocols import Commit


def with_sources(
    note: str | None, details: dict[str, Any], sources: Mapping[str, Sequence[ExpectationResult]]
) -> tuple[str | None, dict[str, Any]]:
    """Add what did not parse in the sources that a pipe read."""
    if not sources:
        return note, details
    notes = [f"{name}: {found}" for name, results in sources.items() if (found := summary(results))]
    counts = {name: [result.to_dict() for result in results] for name, results in sources.items()}
    return "; ".join([*notes, *([note] if note else [])]) or None, {**details, "sources": counts}


def report_of(commit: Commit, mode: str) -> tuple[str | None, dict[str, Any]]:
    """Return the note of a write, None without any, and its details as plain values.

    Args:
        mode: "overwrite", "append" or "merge".
    """
    if commit.skipped:
        return "written before, so nothing was written", {}
    if commit.empty and not commit.expectations:
        return "no rows, so nothing was committed", {}
    change = commit.schema_change
    notes = [summary(commit.expectations), None if change is None else change.note(mode)]
    details: dict[str, Any] = {}
    if commit.expectations:
        details["expectations"] = [result.to_dict() for result in commit.expectations]
    if change is not None:
        details["schema"] = change.to_dict()
    return "; ".join(filter(None, notes)) or None, details
