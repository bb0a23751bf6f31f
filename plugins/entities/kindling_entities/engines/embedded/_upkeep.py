"""Compaction, ordering and vacuum through delta-rs."""

from __future__ import annotations

from deltalake import DeltaTable

from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.engines._log import arrow_schema, mapped_errors, open_table, small_files
from kindling_entities.engines._retry import Retry
from kindling_entities.engines.embedded._int96 import FarTimestamps
from kindling_entities.engines.embedded._raw_paths import refuse_raw_paths
from kindling_entities.engines.embedded._statistics import without_float_statistics
from kindling_entities.errors import UnsupportedError
from kindling_entities.protocols import Table, Upkeep


def maintain(table: Table, policy: MaintenancePolicy, retry: Retry, far: FarTimestamps, *, dry_run: bool) -> Upkeep:
    """Maintain a table; a lost race is tried again."""
    return retry.run(table, lambda: _once(table, policy, far, dry_run))


def _names(opened: DeltaTable) -> list[str]:
    return [column.name for column in opened.schema().fields]


def _once(table: Table, policy: MaintenancePolicy, far: FarTimestamps, dry_run: bool) -> Upkeep:
    opened = open_table(table)
    compacted, written = small_files(opened, policy), None
    target = policy.target_file_bytes
    if compacted:
        far.refuse(table, opened, "Compacting")
        refuse_raw_paths(table, opened, "Compacting")
    pointed = [name for name in policy.order_by if "." in name and name in _names(opened)]
    if pointed:
        raise UnsupportedError(
            f"{table.entity_id!r}: delta-rs takes the column {pointed[0]!r} for a field of a struct and cannot "
            'order by it. Rename it, leave it out of order_by, or use engine = "spark".'
        )
    if not dry_run and policy.rewrites:
        properties = without_float_statistics(arrow_schema(opened))
        with mapped_errors(table, "Compacting"):
            figures = (
                opened.optimize.z_order(list(policy.order_by), target_size=target, writer_properties=properties)
                if policy.order_by
                else opened.optimize.compact(target_size=target, writer_properties=properties)
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
