"""The tables of the store as they stand after every migration. A new column needs a new step in ``migrations``."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData()

# SQLite makes an id that grows of an INTEGER alone.
_ID = BigInteger().with_variant(Integer, "sqlite")

SCHEMA = Table("kindling_schema", METADATA, Column("version", Integer, nullable=False))

RUNS = Table(
    "kindling_runs",
    METADATA,
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
    Column("depends_on", JSON, nullable=False, server_default="{}"),
    # The order in which runs were written down; clocks may be set back.
    Column("place", BigInteger, nullable=False, server_default=text("0")),
    Column("settled_by", String(64)),
    Column("inputs", JSON, nullable=False, server_default="{}"),
    Column("outputs", JSON, nullable=False, server_default="{}"),
    Column("options", JSON, nullable=False, server_default="{}"),
    Column("cancel_by", Text),
    Column("cancel_at", String(40)),
    Column("status", String(16)),
    Column("ended_at", String(40)),
    Column("duration_seconds", Float),
    Column("success_count", Integer),
    Column("failed_count", Integer),
    Column("skipped_count", Integer),
    Column("error", Text),
    Column("error_type", Text),
    Index("kindling_runs_by_place", "place"),
    Index("kindling_runs_by_job_and_place", "job", "place"),
)

ATTEMPTS = Table(
    "kindling_attempts",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
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
    Column("note", Text),
    Column("details", JSON, nullable=False, server_default="{}"),
    Column("ranges_read", JSON, nullable=False, server_default="{}"),
    UniqueConstraint("run_id", "pipe_id", "attempt"),
)

MARKS = Table(
    "kindling_marks",
    METADATA,
    Column("root_run_id", String(64), primary_key=True),
    Column("pipe_id", Text, primary_key=True),
    Column("run_id", String(64), nullable=False),
    Column("version_written", BigInteger),
)

LEASES = Table(
    "kindling_leases",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("owner_id", String(64), nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Text, nullable=False),
    Column("told", Text, nullable=False),
    Column("expires", Float, nullable=False),
    Column("token", BigInteger, nullable=False, server_default=text("0")),
)

RECORDS = Table(
    "kindling_records",
    METADATA,
    Column("space", String(64), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("version", BigInteger, nullable=False),
)

COUNTERS = Table(
    "kindling_counters",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
