"""What the report of a run says of a write: what its rows did not meet, and how its columns differed."""

from __future__ import annotations

from typing import Any

from kindling_entities.expectations import summary
from kindling_entities.protocols import Commit


def told(commit: Commit, mode: str) -> tuple[str | None, dict[str, Any]]:
    """Return the note of a write, None without any, and its details as plain values.

    Args:
        mode: "overwrite", "append" or "merge".
    """
    if commit.skipped:
        return "written before, so nothing was written", {}
    change = commit.schema_change
    notes = [summary(commit.expectations), None if change is None else change.note(mode)]
    details: dict[str, Any] = {}
    if commit.expectations:
        details["expectations"] = [one.to_dict() for one in commit.expectations]
    if change is not None:
        details["schema"] = change.to_dict()
    return "; ".join(filter(None, notes)) or None, details
