"""Step 1: runs, their attempts, and marks of what has succeeded. As they were then, whatever tables.py says now."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)


def upgrade(connection: Connection) -> None:
    """Make the tables."""
    tables = MetaData()
    Table(
        "kindling_runs",
        tables,
        Column("run_id", String(64), primary_key=True),
        Column("root_run_id", String(64), nullable=False, index=True),
        Column("job", Text, nullable=False),
        Column("mode", String(16), nullable=False),
        Column("started_at", String(40), nullable=False),
        Column("host", Text, nullable=False),
        Column("pid", Integer, nullable=False),
        Column("resumes", String(64)),
        Column("selection", JSON, nullable=False),
        Column("pipe_ids", JSON, nullable=False),
        Column("overrides", JSON, nullable=False),
        Column("fingerprints", JSON, nullable=False),
        Column("pinned_versions", JSON, nullable=False),
        Column("job_hash", String(64)),
        Column("status", String(16)),
        Column("ended_at", String(40)),
        Column("duration_seconds", Float),
        Column("success_count", Integer),
        Column("failed_count", Integer),
        Column("skipped_count", Integer),
        Column("error", Text),
        Column("error_type", Text),
        Index("kindling_runs_by_job", "job", "run_id"),
    )
    Table(
        "kindling_attempts",
        tables,
        # SQLite makes an id that grows of an INTEGER alone.
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("run_id", String(64), nullable=False),
        Column("pipe_id", Text, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("status", String(16), nullable=False),
        Column("started_at", String(40)),
        Column("duration_seconds", Float),
        Column("rows", BigInteger),
        Column("error", Text),
        Column("error_type", Text),
        Column("reason", Text),
        Column("caused_by", Text),
        Column("output_entity_id", Text),
        Column("version_written", BigInteger),
        Column("versions_read", JSON, nullable=False),
        UniqueConstraint("run_id", "pipe_id", "attempt"),
    )
    Table(
        "kindling_marks",
        tables,
        Column("root_run_id", String(64), primary_key=True),
        Column("pipe_id", Text, primary_key=True),
        Column("run_id", String(64), nullable=False),
    )
    tables.create_all(connection)
