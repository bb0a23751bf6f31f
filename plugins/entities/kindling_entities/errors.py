"""The errors of the entities plugin. A failed write has left its table as it was."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kindling_core.errors import KindlingError, did_you_mean, safe_str

if TYPE_CHECKING:
    from kindling_entities.declare.expectations import ExpectationResult


class EntityError(KindlingError):
    """Root of the errors about entities."""


class EntityDefinitionError(EntityError):
    """An entity is declared in a way that cannot work."""


class UnknownEntityError(EntityError):
    """No entity with this id is declared."""

    def __init__(self, entity_id: str, known: Iterable[str]) -> None:
        self.entity_id = entity_id
        super().__init__(
            f"Unknown entity {entity_id!r}.{did_you_mean(entity_id, known)} "
            f"Declare it with entities.entity({entity_id!r}, ...)."
        )


class EntityNotFoundError(EntityError):
    """The entity is declared, but its table, file or version does not exist."""


class SchemaError(EntityError):
    """The columns of a frame do not fit the entity."""


class DataError(EntityError):
    """A value of a frame cannot be kept as it is; the message names column and value, and nothing was written."""


class ConstraintError(DataError):
    """Rows break a rule that the table itself has, such as a CHECK constraint; nothing was written."""


class MergeKeyError(EntityError):
    """A merge source lacks a key column, or holds null or duplicate keys."""


class ExpectationError(EntityError):
    """Rows do not meet an expectation with the action "fail"; nothing was written.

    Attributes:
        results: of every expectation of the entity.
    """

    def __init__(self, message: str, results: Sequence[ExpectationResult]) -> None:
        self.results = list(results)
        self.details = {"expectations": [result.to_dict() for result in results]}
        super().__init__(message)


class CorruptTableError(EntityError):
    """The storage of an entity cannot be read as what it is declared to be."""


class DataFileMissing(CorruptTableError):
    """A data file that the log of a table names is not there; the table itself is."""


class VersionsGone(EntityError):
    """Versions of a table are kept no more: its log was cleaned, or their files were removed by a vacuum.

    Attributes:
        entity_id: whose table it is.
        wanted: first and last version that the read needs.
        oldest: the oldest version that can still be read, None where that is not known.
    """

    def __init__(self, entity_id: str, wanted: tuple[int, int], oldest: int | None, why: str) -> None:
        self.entity_id = entity_id
        self.wanted = wanted
        self.oldest = oldest
        first, last = wanted
        which = f"version {first} is" if first == last else f"versions {first} to {last} are"
        there = "" if oldest is None else f" The oldest version that can still be read is {oldest}."
        super().__init__(
            f"Table of {entity_id!r}: {which} kept no more, since {why}.{there} Read a later version, or the whole "
            "table as it is now; to keep versions longer, raise retention_hours of its maintenance and the table's "
            "property delta.logRetentionDuration."
        )


class RowsRewritten(EntityError):
    """Rows were read of a table as if it only grew, and a commit in between removed or changed some.

    Attributes:
        entity_id: whose table it is.
        version: the first version that did not only append.
        operation: what that commit did, as its writer named it.
    """

    def __init__(self, entity_id: str, version: int, operation: str) -> None:
        self.entity_id = entity_id
        self.version = version
        self.operation = operation
        super().__init__(
            f"Table of {entity_id!r}: version {version} ({operation or 'unknown operation'}) removed or changed rows, "
            "so the rows that were added do not tell all that happened. Read the whole table, or declare it with "
            'properties={"delta.enableChangeDataFeed": "true"} and read its changes.'
        )


class TransactionsDisagree(EntityError):
    """Of the transaction ids of a single commit some are in the table and some are not; nothing was written."""


class ConflictError(EntityError):
    """Another writer committed first, again and again; nothing of this write was kept."""

    transient = True


class StorageError(EntityError):
    """The disk is full, read-only, or refuses access; nothing of this write was kept."""


class UnsupportedError(EntityError):
    """The engine or the provider cannot do this; the message says what to change."""


class EngineError(EntityError):
    """The engine cannot start, or its session lacks what tables need; the message says what to install or set."""


class CatalogError(EntityError):
    """The catalog cannot be reached, or does not grant this; nothing of this write was kept."""


class VersionMoved(EntityError):
    """Another writer committed between the reading of a table and the write that was computed from it."""


# Conditions of Spark (error-conditions.json) and gRPC statuses that name a passing state of a cluster or a network, and
# exceptions of the JVM for the same.
_PASSING = re.compile(
    r"\b(?:UNAVAILABLE|RESOURCE_EXHAUSTED|DEADLINE_EXCEEDED|ABORTED)\b|SparkOutOfMemoryError|FetchFailed|"
    r"ExecutorLostFailure|SocketTimeout|SocketException|ConnectException|NoRouteToHost|UnknownHost|"
    r"Connection reset|Connection refused|SlowDown|Throttl|TooManyRequests|TTransportException"
)


def passes(error: BaseException) -> bool | None:
    """Return whether an error of an engine is worth another attempt; None for any other error.

    A job that failed on the cluster for want of an executor may succeed on another; a job with a wrong plan will not.
    """
    if isinstance(error, EntityError) or not type(error).__module__.startswith(
        ("pyspark", "py4j", "grpc", "deltalake")
    ):
        return None
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"AnalysisException", "ParseException", "IllegalArgumentException"}:
        return False
    return _PASSING.search(safe_str(error)) is not None or bool(kinds & {"Py4JNetworkError", "RetriesExceeded"})
