"""The rows that commits added to a table which lies elsewhere than on this machine.

The log is read by Spark. Files that were added are read as of a version that still has them: the last of the range, or
the version before a compaction took them. Spark has no way to read only some files of a Delta table, so it opens the
others of that version, too.
"""

from __future__ import annotations

from typing import Any

from kindling_entities.declare.quoting import quote, quote_text
from kindling_entities.engines.spark import _frames, _log
from kindling_entities.engines.spark._errors import mapped_errors
from kindling_entities.errors import RowsRewritten, VersionsGone
from kindling_entities.protocols import Table


def read_appends(session: Any, table: Table, start_version: int, end_version: int) -> Any:
    """Return a lazy frame of the rows that the commits of (start_version, end_version] added.

    Raises:
        RowsRewritten: a commit removed or changed rows.
        VersionsGone: a commit is kept no more.
    """
    whole = _log.at_version(session, table, end_version)
    schema = _frames.schema_of(whole)
    frame = whole.limit(0)
    for version, names in sorted(_files(session, table, start_version, end_version).items()):
        chosen = ", ".join(map(quote_text, sorted(names)))
        part = _log.at_version(session, table, version)
        rows = part.where(f"_metadata.file_name in ({chosen})").selectExpr(*map(quote, part.columns))
        frame = frame.unionByName(_frames.cast(rows, _frames.schema_of(rows), schema))
    return frame


def _files(session: Any, table: Table, start_version: int, end_version: int) -> dict[int, set[str]]:
    """The names of the files that were added, by a version that has them."""
    if start_version >= end_version:
        return {}
    with mapped_errors(table, "Reading the log of", wanted=(start_version + 1, end_version)):
        lines = _log.lines(session, table, start_version, end_version, ("commitInfo", "add", "remove"))
    missing = [version for version in range(start_version + 1, end_version + 1) if version not in lines]
    if missing:
        oldest = min(lines, default=None)
        why = "the table's log was cleaned"
        raise VersionsGone(table.entity_id, (start_version + 1, end_version), oldest, why)
    added: dict[str, int] = {}
    for version, actions in sorted(lines.items()):
        operation = next(
            (action["commitInfo"].get("operation", "") for action in actions if "commitInfo" in action), ""
        )
        for action in actions:
            kind, given = next(iter(action.items()))
            name = str(given.get("path", "")).rsplit("/", 1)[-1]
            if kind == "remove" and given.get("dataChange", True):
                raise RowsRewritten(table.entity_id, version, operation)
            if kind == "remove" and name in added:
                added[name] = version - 1
            elif kind == "add" and given.get("dataChange", True):
                added[name] = end_version
    found: dict[int, set[str]] = {}
    for name, version in added.items():
        found.setdefault(version, set()).add(name)
    return found
