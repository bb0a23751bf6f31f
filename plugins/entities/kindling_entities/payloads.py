"""Payloads of the ``entity.*`` signals. The signals at the start and the end of an operation share its operation_id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from kindling_core.signals import SignalPayload


@dataclass
class BeforeEnsureTable(SignalPayload):
    """A table is about to be created unless it exists."""

    SIGNAL: ClassVar[str] = "entity.before_ensure_table"

    entity_id: Annotated[str, "the entity"]
    location: Annotated[str, "where the table lies, as an absolute path"]


@dataclass
class AfterEnsureTable(SignalPayload):
    """The table exists now."""

    SIGNAL: ClassVar[str] = "entity.after_ensure_table"

    entity_id: Annotated[str, "the entity"]
    location: Annotated[str, "where the table lies, as an absolute path"]
    created: Annotated[bool, "whether the table was made by this"]
    duration_seconds: Annotated[float, "seconds between before and after"]


@dataclass
class EnsureFailed(SignalPayload):
    """A table could not be created."""

    SIGNAL: ClassVar[str] = "entity.ensure_failed"

    entity_id: Annotated[str, "the entity"]
    error: Annotated[str, "the error's message"]
    error_type: Annotated[str, "the error's class"]


@dataclass
class BeforeMerge(SignalPayload):
    """A merge is about to start."""

    SIGNAL: ClassVar[str] = "entity.before_merge"

    entity_id: Annotated[str, "the entity"]
    merge_keys: Annotated[list[str], "columns that rows are matched on"]


@dataclass
class AfterMerge(SignalPayload):
    """A merge was committed, or skipped because its transaction was there already."""

    SIGNAL: ClassVar[str] = "entity.after_merge"

    entity_id: Annotated[str, "the entity"]
    merge_keys: Annotated[list[str], "columns that rows are matched on"]
    rows_inserted: Annotated[int | None, "rows that were new; None where it is not known"]
    rows_updated: Annotated[int | None, "rows that were replaced; None where it is not known"]
    rows_deleted: Annotated[int | None, "rows that were removed; None where it is not known"]
    duration_seconds: Annotated[float, "seconds between before and after"]
    version: Annotated[int | None, "version of the table afterwards; None where the storage has none"]


@dataclass
class MergeFailed(SignalPayload):
    """A merge failed; the table is as it was."""

    SIGNAL: ClassVar[str] = "entity.merge_failed"

    entity_id: Annotated[str, "the entity"]
    merge_keys: Annotated[list[str], "columns that rows are matched on"]
    error: Annotated[str, "the error's message"]
    error_type: Annotated[str, "the error's class"]


@dataclass
class BeforeAppend(SignalPayload):
    """An append is about to start."""

    SIGNAL: ClassVar[str] = "entity.before_append"

    entity_id: Annotated[str, "the entity"]
    mode: Annotated[str, "append, overwrite or overwrite_partitions"]


@dataclass
class AfterAppend(SignalPayload):
    """An append was committed, or skipped because its transaction was there already."""

    SIGNAL: ClassVar[str] = "entity.after_append"

    entity_id: Annotated[str, "the entity"]
    rows_written: Annotated[int | None, "rows of the frame; None where it is not known"]
    duration_seconds: Annotated[float, "seconds between before and after"]
    version: Annotated[int | None, "version of the table afterwards; None where the storage has none"]


@dataclass
class AppendFailed(SignalPayload):
    """An append failed; the table is as it was."""

    SIGNAL: ClassVar[str] = "entity.append_failed"

    entity_id: Annotated[str, "the entity"]
    error: Annotated[str, "the error's message"]
    error_type: Annotated[str, "the error's class"]


@dataclass
class BeforeWrite(SignalPayload):
    """An overwrite is about to start."""

    SIGNAL: ClassVar[str] = "entity.before_write"

    entity_id: Annotated[str, "the entity"]
    mode: Annotated[str, "append, overwrite or overwrite_partitions"]


@dataclass
class AfterWrite(SignalPayload):
    """An overwrite was committed, or skipped because its transaction was there already."""

    SIGNAL: ClassVar[str] = "entity.after_write"

    entity_id: Annotated[str, "the entity"]
    rows_written: Annotated[int | None, "rows of the frame; None where it is not known"]
    duration_seconds: Annotated[float, "seconds between before and after"]
    version: Annotated[int | None, "version of the table afterwards; None where the storage has none"]


@dataclass
class WriteFailed(SignalPayload):
    """An overwrite failed; the table is as it was."""

    SIGNAL: ClassVar[str] = "entity.write_failed"

    entity_id: Annotated[str, "the entity"]
    error: Annotated[str, "the error's message"]
    error_type: Annotated[str, "the error's class"]


@dataclass
class SchemaChanged(SignalPayload):
    """A write changed the columns of a table."""

    SIGNAL: ClassVar[str] = "entity.schema_changed"

    entity_id: Annotated[str, "the entity"]
    added: Annotated[list[str], "columns that the table gained"]
    removed: Annotated[list[str], "columns that the table lost"]
    changed: Annotated[list[str], "columns whose type changed"]


@dataclass
class VersionUpdated(SignalPayload):
    """A write moved a table to a new version."""

    SIGNAL: ClassVar[str] = "entity.version_updated"

    entity_id: Annotated[str, "the entity"]
    old_version: Annotated[int | None, "version before; None if there was no table"]
    new_version: Annotated[int, "version after"]


@dataclass
class ExpectationEvaluated(SignalPayload):
    """An expectation was evaluated on the rows of a write. One signal for each, before the write's own ending."""

    SIGNAL: ClassVar[str] = "entity.expectation_evaluated"

    entity_id: Annotated[str, "the entity"]
    expectation: Annotated[str, "its name"]
    action: Annotated[str, "warn, drop, quarantine or fail; of a source skip, null or quarantine"]
    kind: Annotated[str, "condition, not_null, unique or foreign_key; of a source row or value"]
    rows_passed: Annotated[int, "rows of the frame that meet it"]
    rows_failed: Annotated[int, "rows that do not"]


@dataclass
class Maintained(SignalPayload):
    """A table was compacted, ordered or vacuumed; its rows are the same."""

    SIGNAL: ClassVar[str] = "entity.maintained"

    entity_id: Annotated[str, "the entity"]
    files_compacted: Annotated[int | None, "small files that became fewer; None where it is not known"]
    files_written: Annotated[int | None, "what they became"]
    files_removed: Annotated[int, "files that no retained version needed"]
    duration_seconds: Annotated[float, "how long it took"]
    version: Annotated[int, "version after"]


PAYLOADS: tuple[type[SignalPayload], ...] = (
    BeforeEnsureTable,
    AfterEnsureTable,
    EnsureFailed,
    BeforeMerge,
    AfterMerge,
    MergeFailed,
    BeforeAppend,
    AfterAppend,
    AppendFailed,
    BeforeWrite,
    AfterWrite,
    WriteFailed,
    SchemaChanged,
    VersionUpdated,
    ExpectationEvaluated,
    Maintained,
)
