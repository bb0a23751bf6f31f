"""Turn Spark's and Delta's errors into those of the plugin."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from kindling_core.errors import safe_str
from kindling_entities.engines._log import append_only, not_found, storage_error
from kindling_entities.engines._lost_files import lost_file
from kindling_entities.engines._retry import RaceLost, first_line
from kindling_entities.engines.spark import _partitions
from kindling_entities.engines.spark._frames import BAD_KEY
from kindling_entities.errors import (
    CatalogError,
    ConstraintError,
    CorruptTableError,
    EngineError,
    EntityError,
    MergeKeyError,
    SchemaError,
    UnsupportedError,
    VersionsGone,
)
from kindling_entities.protocols import Table

_APPEND_ONLY = re.compile(r"DELTA_CANNOT_MODIFY_APPEND_ONLY")
# The message of a broken rule, up to where a stack trace or the next message begins.
_RULE = re.compile(
    r"((?:\[(?:DELTA_VIOLATE_CONSTRAINT_WITH_VALUES|DELTA_NOT_NULL_CONSTRAINT_VIOLATED|"
    r"DELTA_MISSING_NOT_NULL_COLUMN_VALUE|DELTA_EXCEED_CHAR_VARCHAR_LIMIT|EXCEED_LIMIT_LENGTH|NOT_NULL_ASSERT_VIOLATION|DELTA_IDENTITY_COLUMNS_EXPLICIT_INSERT_NOT_SUPPORTED|"
    r"DELTA_IDENTITY_COLUMNS_\w+)(?:\.\w+)?\]).*?)(?:\.?\s*SQLSTATE|\n\s+at |\Z)",
    re.DOTALL,
)
_SHOWN = 600
# Conditions of Delta Lake's error classes (delta-error-classes.json) and of Spark's.
_RACE = re.compile(
    r"DELTA_CONCURRENT_|DELTA_METADATA_CHANGED|DELTA_PROTOCOL_CHANGED|DELTA_PATH_EXISTS|DELTA_TABLE_ALREADY_EXISTS|"
    r"TABLE_OR_VIEW_ALREADY_EXISTS|ConcurrentModification|ConcurrentAppend|ConcurrentWrite|FileAlreadyExistsException"
)
_MISSING = re.compile(
    r"PATH_NOT_FOUND|DELTA_MISSING_DELTA_TABLE|DELTA_PATH_DOES_NOT_EXIST|DELTA_TABLE_NOT_FOUND|TABLE_OR_VIEW_NOT_FOUND|"
    r"SCHEMA_NOT_FOUND|is not a Delta table|DELTA_ONLY_OPERATION|DELTA_MISSING_TRANSACTION_LOG"
)
_NO_DELTA = re.compile(
    r"DATA_SOURCE_NOT_FOUND|DELTA_CONFIGURE_SPARK_SESSION|Failed to find the data source: delta|"
    r"(?:PARSE_SYNTAX_ERROR|UNSUPPORTED_FEATURE\.TABLE_OPERATION)"
)
_STORAGE = re.compile(
    r"No space left on device|Read-only file system|Permission denied|Disk quota exceeded|AccessDenied|Mkdirs failed"
)
_NO_CATALOG = re.compile(
    r"REQUIRES_SINGLE_PART_NAMESPACE|CATALOG_NOT_FOUND|CATALOG_FAIL_TO_CALL_PUBLIC|CANNOT_FIND_CATALOG|"
    r"Couldn't find a catalog|[Cc]atalog '[^']*' (?:plugin class )?not found"
)
_REFUSED = re.compile(
    r"HiveException|MetaException|TTransportException|HiveMetaStoreClient|PERMISSION_DENIED|INSUFFICIENT_PERMISSIONS|"
    r"AccessControlException|does not have (?:\w+ )?(?:permission|privilege)"
)
_NOT_DELTA = re.compile(r"is not a Delta table|DELTA_ONLY_OPERATION|DELTA_TABLE_ONLY_OPERATION|EXPECT_TABLE_NOT_VIEW")
_CORRUPT = re.compile(
    r"DELTA_LOG_FILE_NOT_FOUND|DELTA_TRUNCATED_TRANSACTION_LOG|DELTA_STATE_RECOVER|DELTA_VERSIONS_NOT_CONTIGUOUS|"
    r"MALFORMED|JsonParseException|CANNOT_READ_FILE|FAILED_READ_FILE|DELTA_FILE_NOT_FOUND"
)
# Versions that a cleaned log, a vacuum or the property deletedFileRetentionDuration has taken.
_GONE = re.compile(
    r"DELTA_VERSION_NOT_FOUND|DELTA_TRUNCATED_TRANSACTION_LOG|DELTA_LOG_FILE_NOT_FOUND|DELTA_CHANGE_DATA_FILE_NOT_FOUND|"
    r"TIME_TRAVEL_BEYOND_DELETED_FILE_RETENTION|DELTA_NO_RECREATABLE_HISTORY_FOUND|DELTA_NO_RELATION_TABLE_HISTORY"
)
_AVAILABLE = re.compile(r"[Aa]vailable versions: \[(\d+), \d+\]")
_SCHEMA = re.compile(
    r"DELTA_FAILED_TO_MERGE_FIELDS|DELTA_MERGE_INCOMPATIBLE|DELTA_METADATA_MISMATCH|DELTA_INVALID_CHARACTERS_IN_COLUMN|DELTA_INVALID_PARTITION_COLUMN_NAME|"
    r"CAST_INVALID_INPUT|DELTA_SCHEMA_CHANGE|DELTA_UNSUPPORTED_DATA_TYPES|DELTA_NULL_SCHEMA"
)


@contextlib.contextmanager
def mapped_errors(table: Table, doing: str, *, wanted: tuple[int, int] | None = None) -> Iterator[None]:
    """Give an error of Spark the class and the advice that the same error has on every engine.

    Args:
        wanted: first and last version of a read.
    """
    try:
        yield
    except (EntityError, RaceLost):
        raise
    except Exception as error:
        text = f"{_condition(error)} {safe_str(error)}"
        value = _partitions.refused(table, text)
        if value is not None:
            raise value from error
        if _APPEND_ONLY.search(text):
            raise append_only(table) from error
        rule = _RULE.search(text)
        if rule is not None:
            raise ConstraintError(
                f"{doing} {table.entity_id!r} at {table.place}: {' '.join(rule[1].split())[:_SHOWN]}. "
                "Nothing was written. Correct the rows in the pipe."
            ) from error
        if BAD_KEY in text:
            raise MergeKeyError(f"{table.entity_id!r}: {BAD_KEY}") from error
        if table.name is not None:
            _refuse_by_catalog(table, table.name, text, doing, error)
        if wanted is not None and _GONE.search(text):
            there = _AVAILABLE.search(text)
            raise VersionsGone(table.entity_id, wanted, int(there[1]) if there else None, first_line(error)) from error
        lost = lost_file(error, text)
        if lost is not None:
            raise type(lost)(f"{doing} {table.entity_id!r}: {lost}") from error
        if _STORAGE.search(text):
            raise storage_error(table, doing, error) from error
        if _RACE.search(text):
            raise RaceLost(first_line(error)) from error
        if _MISSING.search(text):
            raise not_found(table) from error
        if _CORRUPT.search(text):
            raise CorruptTableError(
                f"{doing} {table.entity_id!r} at {table.place}: {first_line(error)}. "
                "Restore the file, or move the table away and run the pipe again."
            ) from error
        if _SCHEMA.search(text):
            raise SchemaError(f"{doing} {table.entity_id!r}: {first_line(error)}.") from error
        if _NO_DELTA.search(text) and "delta" in text.lower():
            raise EngineError(
                f"The running Spark session has no Delta Lake ({first_line(error)}). Start it with Delta's jar, "
                "spark.sql.extensions and spark.sql.catalog.spark_catalog, or let Kindling start one."
            ) from error
        raise


def _refuse_by_catalog(table: Table, name: tuple[str, ...], text: str, doing: str, error: Exception) -> None:
    if _NO_CATALOG.search(text):
        raise EngineError(
            f"The Spark session has no catalog {name[0]!r} ({first_line(error)}). Correct entities.catalog, or give "
            f"the session one with spark.sql.catalog.{name[0]}."
        ) from error
    if _REFUSED.search(text):
        raise CatalogError(
            f"{doing} {table.entity_id!r}: the catalog refused {table.place}: {first_line(error)}. Nothing was "
            "written. See that it can be reached and grants what this needs."
        ) from error
    if _NOT_DELTA.search(text):
        raise UnsupportedError(
            f"{table.place} is in the catalog already, and is no Delta table ({first_line(error)}). Rename "
            f"{table.entity_id!r}, or move the other table away."
        ) from error


def _condition(error: Exception) -> str:
    get = getattr(error, "getCondition", None) or getattr(error, "getErrorClass", None)
    return str(get() or "") if get is not None else ""
