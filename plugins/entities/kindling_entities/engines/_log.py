"""The log of a Delta table, read through delta-rs and without Spark: versions, schemas, and what went wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import repeat

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, SchemaMismatchError, TableNotFoundError

from kindling_core.errors import safe_str
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.declare.schema import normal_schema
from kindling_entities.engines._constraints import rules_of
from kindling_entities.engines._damage import log_files, refuse_empty_commits, refuse_lost_log
from kindling_entities.engines._lost_files import lost_file
from kindling_entities.engines._retry import RaceLost, first_line
from kindling_entities.errors import (
    CorruptTableError,
    DataError,
    EntityError,
    EntityNotFoundError,
    SchemaError,
    StorageError,
    UnsupportedError,
)
from kindling_entities.protocols import Table, TableInfo

# A third-party writer's errors arrive as text; these words are those of the operating system.
_STORAGE = re.compile(
    r"no space left|os error (?:5|13|28|30|122)\b|read-only file system|permission denied|quota exceeded|StorageFull",
    re.IGNORECASE,
)
_STORAGE_ERRNO = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EIO}
_FEATURES = re.compile(r"[Uu]nsupported table features|writer features? .* not supported")
_NO_FILE = re.compile(r"Failed to fetch metadata for file ([^\s:]+)")
_APPEND_ONLY = re.compile(r"append-only|delta\.appendOnly", re.IGNORECASE)
# The words of delta-rs for a race (crates/core, kernel/transaction and errors.rs); everything else would fail again.
_RACE = re.compile(
    r"a concurrent transaction|concurrent transactions? (?:added|deleted|failed)|"
    r"(?:metadata|protocol) changed since last commit|existing table version|version already exists|"
    r"maximum commit attempts|delta transaction failed, version|already exists at|"
    r"^failed to commit transaction: \d+\s*$",
    re.IGNORECASE | re.MULTILINE,
)


def not_found(table: Table) -> EntityNotFoundError:
    return EntityNotFoundError(
        f"Table of {table.entity_id!r} does not exist at {table.place}. Run the pipe that writes it first."
    )


def append_only(table: Table) -> UnsupportedError:
    return UnsupportedError(
        f"{table.entity_id!r} at {table.place} has the property delta.appendOnly=true: rows can be added, "
        'and none changed or removed. Nothing was written. Use write_mode="append", or set the property to "false".'
    )


def storage_error(table: Table, doing: str, error: BaseException) -> StorageError:
    return StorageError(
        f"{doing} {table.entity_id!r} at {table.place} failed: {first_line(error)}. "
        "Nothing of this write was kept, the table is as it was. Check free space and write permission."
    )


@contextlib.contextmanager
def mapped_os_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _STORAGE_ERRNO:
            raise StorageError(f"{doing} failed: {error}. Free some space or set another temp_dir.") from error
        raise


@contextlib.contextmanager
def mapped_errors(table: Table, doing: str, *, opening: bool = False) -> Iterator[None]:
    """Turn errors of delta-rs into those of the plugin; a lost race into ``RaceLost``."""
    try:
        yield
    except DataError as error:
        if repr(table.entity_id) in safe_str(error):
            raise
        raise type(error)(f"{doing} {table.entity_id!r}: {safe_str(error)}") from error
    except (EntityError, RaceLost):
        raise
    except TableNotFoundError as error:
        raise not_found(table) from error
    except Exception as error:
        text = safe_str(error)
        number = error.errno if isinstance(error, OSError) else None
        if number in _STORAGE_ERRNO or _STORAGE.search(text):
            raise storage_error(table, doing, error) from error
        if opening and isinstance(error, (DeltaError, ValueError, OSError)):
            raise CorruptTableError(
                f"The log of {table.entity_id!r} at {table.place}/_delta_log cannot be read: "
                f"{first_line(error)}. Restore the file, or move the folder away and run the pipe again."
            ) from error
        missing = lost_file(error)
        if missing is not None:
            raise type(missing)(f"{doing} {table.entity_id!r}: {missing}") from error
        lost = _NO_FILE.search(text)
        if lost is not None:
            raise CorruptTableError(
                f"{doing} {table.entity_id!r}: the data file /{lost[1].lstrip('/')} is lost or damaged "
                f"({first_line(error)}). Restore it, or move the folder away and run the pipe that writes it again."
            ) from error
        if isinstance(error, SchemaMismatchError):
            raise SchemaError(f"{doing} {table.entity_id!r}: {first_line(error)}.") from error
        if _FEATURES.search(text):
            raise UnsupportedError(
                f"{doing} {table.entity_id!r} at {table.place}: the table has features of Delta Lake that the embedded "
                f'engine cannot write ({first_line(error)}). Use engine = "spark" for this job.'
            ) from error
        if isinstance(error, DeltaError) and _APPEND_ONLY.search(text):
            raise append_only(table) from error
        if isinstance(error, DeltaError) and _RACE.search(text):
            raise RaceLost(text) from error
        if isinstance(error, DeltaError):
            raise EntityError(f"{doing} {table.entity_id!r} at {table.place}: {first_line(error)}.") from error
        raise


def open_table(table: Table, version: int | None = None) -> DeltaTable:
    """Open a table at a version.

    Raises:
        EntityNotFoundError: no such table or version.
        CorruptTableError: its log cannot be read.
    """
    try:
        with mapped_errors(table, "Opening", opening=True):
            opened = DeltaTable(table.location, version=version)
        refuse_empty_commits(table, version)
        return opened
    except CorruptTableError:
        if version is None:
            raise
        newest = open_table(table).version()
        if 0 <= version <= newest:
            raise
        raise EntityNotFoundError(f"{table.entity_id!r} has no version {version}; the newest is {newest}.") from None


def open_if_exists(table: Table) -> DeltaTable | None:
    if not os.path.isdir(os.path.join(table.location, "_delta_log")):
        return None
    try:
        return open_table(table)
    except EntityNotFoundError:
        refuse_lost_log(table)
        return None


def arrow_schema(opened: DeltaTable) -> pa.Schema:
    return normal_schema(pa.schema(opened.schema().to_arrow()))


def newest_version(location: str) -> int | None:
    """The newest version by the names of the log's files, None if there is no table."""
    return log_files(location).newest


def newest_versions(tables: Iterable[Table]) -> dict[str, int | Exception]:
    """The newest version of each table by entity id, or its own error."""
    found: dict[str, int | Exception] = {}
    for table in tables:
        try:
            newest = newest_version(table.location)
            found[table.entity_id] = not_found(table) if newest is None else newest
        except OSError as error:
            found[table.entity_id] = storage_error(table, "Reading the version", error)
    return found


def describe(table: Table, *, figures: bool = True) -> TableInfo | None:
    """The table as its log describes it, None if there is none; without ``figures`` its files are not counted."""
    opened = open_if_exists(table)
    if opened is None:
        return None
    metadata = opened.metadata()
    info = TableInfo(
        opened.version(),
        arrow_schema(opened),
        tuple(metadata.partition_columns),
        {key: value for key, value in metadata.configuration.items() if value is not None},
        computed=rules_of(opened).computed,
        table_id=str(metadata.id),
    )
    if not figures:
        return info
    with mapped_errors(table, "Reading"):
        files = pa.table(opened.get_add_actions(flatten=True))
    # A writer that keeps no statistics leaves the count of a file empty.
    counts = files["num_records"].to_pylist() if "num_records" in files.column_names else [None] * files.num_rows
    rows = None if None in counts else sum(counts) - _deleted_rows(table, opened)
    return replace(info, rows=rows, size_bytes=sum(files["size_bytes"].to_pylist()), files=files.num_rows)


def _deleted_rows(table: Table, opened: DeltaTable) -> int:
    """How many rows the deletion vectors of a version leave out; its files count them."""
    if "deletionVectors" not in (opened.protocol().reader_features or ()):
        return 0
    with mapped_errors(table, "Reading deletion vectors of"):
        return sum(
            int(pc.sum(pc.invert(pc.list_flatten(batch["selection_vector"]))).as_py() or 0)
            for batch in map(pa.record_batch, opened.deletion_vectors())
        )


def small_files(opened: DeltaTable, policy: MaintenancePolicy) -> int:
    """How many files maintenance by this policy would rewrite."""
    if not policy.rewrites:
        return 0
    files = pa.table(opened.get_add_actions(flatten=True))
    if policy.order_by:
        return int(files.num_rows)
    partitions = [files[f"partition.{name}"].to_pylist() for name in opened.metadata().partition_columns]
    keys = zip(*partitions, strict=True) if partitions else repeat(())
    sizes = files["size_bytes"].to_pylist()
    small = Counter(key for key, size in zip(keys, sizes, strict=False) if size < policy.target_file_bytes)
    # A small file alone in its partition has nothing to be merged with.
    return sum(count for count in small.values() if count > 1)
