"""OPTIMIZE and VACUUM of Delta Lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.declare.quoting import quote
from kindling_entities.engines._log import not_found, open_table, small_files
from kindling_entities.engines._retry import Retry
from kindling_entities.engines.spark import _log
from kindling_entities.engines.spark._errors import mapped_errors
from kindling_entities.protocols import Table, Upkeep

if TYPE_CHECKING:
    from kindling_entities.engines.spark.engine import SparkEngine

_LOCAL_LISTING_TASKS = "16"


def maintain(engine: SparkEngine, table: Table, policy: MaintenancePolicy, retry: Retry, *, dry_run: bool) -> Upkeep:
    """Maintain a table; a lost race is tried again."""
    return retry.run(table, lambda: _once(engine, table, policy, dry_run))


def _once(engine: SparkEngine, table: Table, policy: MaintenancePolicy, dry_run: bool) -> Upkeep:
    if _log.newest_version(engine.session, table) is None:
        raise not_found(table)
    name = _log.identifier(table)
    compacted = small_files(open_table(table), policy) if _log.is_local(table) else None
    written: int | None = None
    removed: list[str] = []
    with engine.cloned() as session:
        for bound in ("maxFileSize", "minFileSize"):
            session.conf.set(f"spark.databricks.delta.optimize.{bound}", str(policy.target_file_bytes))
        session.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
        if str(session.conf.get("spark.master", "")).startswith("local"):
            # VACUUM lists files in as many tasks as this says, by default 10,000: 40 idle seconds on a single machine.
            session.conf.set("spark.sql.sources.parallelPartitionDiscovery.parallelism", _LOCAL_LISTING_TASKS)
        if not dry_run and policy.rewrites:
            with mapped_errors(table, "Compacting"):
                # A clustered table is ordered by OPTIMIZE alone, which refuses any other order.
                by = () if table.cluster_columns else policy.order_by
                order = f" zorder by ({', '.join(map(quote, by))})" if by else ""
                metrics: Any = session.sql(f"optimize {name}{order}").collect()[0]["metrics"]
            compacted, written = metrics["numFilesRemoved"], metrics["numFilesAdded"]
        if policy.vacuum:
            with mapped_errors(table, "Vacuuming"):
                # A real VACUUM returns only the folder, not the files that it removed.
                dry = session.sql(f"vacuum {name} retain {policy.retention_hours} hours dry run").collect()
                removed = [str(row[0]) for row in dry]
                if not dry_run:
                    session.sql(f"vacuum {name} retain {policy.retention_hours} hours").collect()
    version = _log.newest_version(engine.session, table)
    return Upkeep(compacted, written, tuple(sorted(removed)), version if version is not None else -1)
