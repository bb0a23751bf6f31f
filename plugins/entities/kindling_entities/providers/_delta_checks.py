"""What ``kindling doctor`` finds in Delta tables on this machine: damage, and rows that wait in quarantines."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec

from kindling_core.doctor import Check
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX
from kindling_entities.kinds import Places
from kindling_entities.protocols import Table


def checks(places: Places) -> Iterable[Check]:
    """Look at the log and at the data files of each table; tables elsewhere are left to their readers."""
    if find_spec("deltalake") is None or find_spec("pyarrow") is None:
        # The engine's own checks say so.
        return
    from kindling_entities.engines._damage import damage

    sound = 0
    waiting: list[str] = []
    for entity_id, (_, location) in places.items():
        if "://" in location:
            continue
        messages = damage(Table(entity_id, location))
        sound += not messages
        if entity_id.endswith(QUARANTINE_SUFFIX) and not messages and (rows := _rows(Table(entity_id, location))):
            waiting.append(f"{entity_id.removesuffix(QUARANTINE_SUFFIX)} ({rows})")
        for message in messages:
            lost = os.path.isdir(os.path.join(location, "_delta_log"))
            yield Check("error" if lost else "warning", entity_id, message)
    if sound:
        yield Check("ok", "tables", f"{sound} that are sound, or not written yet")
    if waiting:
        yield Check("ok", "quarantines", f"rows wait in those of {', '.join(waiting)}; see `kindling quarantine list`")


def _rows(table: Table) -> int | None:
    from kindling_entities.engines._log import describe

    info = describe(table)
    return None if info is None else info.rows
