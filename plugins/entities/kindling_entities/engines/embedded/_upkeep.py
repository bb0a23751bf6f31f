"""Compaction, ordering and vacuum through delta-rs."""

from __future__ import annotations

from typing import Any

from kindling_entities.engines._log import mapped_errors, open_table
from kindling_entities.engines._retry import Retry
from kindling_entities.maintenance import MaintenancePolicy
from kindling_entities.protocols import Table, Upkeep

_MB = 1024 * 1024


def maintain(table: Table, policy: MaintenancePolicy, retry: Retry, *, dry_run: bool) -> Upkeep:
    """Maintain one table; a lost race is tried again."""
    return retry.run(table, lambda: _once(table, policy, dry_run))


def _once(table: Table, policy: MaintenancePolicy, dry_run: bool) -> Upkeep:
    opened = open_table(table)
    compacted, written = small_files(opened, policy), None
    target = policy.target_file_mb * _MB
    if not dry_run and (policy.compact or policy.order_by):
        with mapped_errors(table, "Compacting"):
            figures = (
                opened.optimize.z_order(list(policy.order_by), target_size=target)
                if policy.order_by
                else opened.optimize.compact(target_size=target)
            )
        compacted, written = figures["numFilesRemoved"], figures["numFilesAdded"]
    removed: list[str] = []
    if policy.vacuum:
        with mapped_errors(table, "Vacuuming"):
            # "full" finds what no log names: leftovers of killed writes, once they are old enough.
            removed = opened.vacuum(
                policy.retention_hours, dry_run=dry_run, enforce_retention_duration=False, full=True
            )
    return Upkeep(compacted, written, tuple(sorted(removed)), opened.version())


def small_files(opened: Any, policy: MaintenancePolicy) -> int:
    """How many files a compaction would look at."""
    import pyarrow as pa

    if not (policy.compact or policy.order_by):
        return 0
    files = pa.table(opened.get_add_actions(flatten=True))
    if policy.order_by:
        return int(files.num_rows)
    names = opened.metadata().partition_columns
    keys = list(zip(*(files[f"partition.{name}"].to_pylist() for name in names), strict=True)) if names else None
    small: dict[Any, int] = {}
    for index, size in enumerate(files["size_bytes"].to_pylist()):
        if size < policy.target_file_mb * _MB:
            key = keys[index] if keys else ()
            small[key] = small.get(key, 0) + 1
    # One small file alone in its partition has nothing to be merged with.
    return sum(count for count in small.values() if count > 1)
