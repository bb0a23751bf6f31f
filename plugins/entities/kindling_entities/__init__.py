"""Named tables, storage providers and engines for Kindling pipelines.

Names are loaded on first use: importing this package loads neither pyarrow nor an engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kindling_entities._version import __version__

if TYPE_CHECKING:
    from kindling_entities.declare.entity import Entities as Entities
    from kindling_entities.declare.entity import EntityDefinition as EntityDefinition
    from kindling_entities.declare.expectations import Expectation as Expectation
    from kindling_entities.declare.expectations import ExpectationResult as ExpectationResult
    from kindling_entities.declare.expectations import expect as expect
    from kindling_entities.declare.expectations import expect_or_drop as expect_or_drop
    from kindling_entities.declare.expectations import expect_or_fail as expect_or_fail
    from kindling_entities.declare.expectations import expect_or_quarantine as expect_or_quarantine
    from kindling_entities.declare.expectations import foreign_key as foreign_key
    from kindling_entities.declare.expectations import not_null as not_null
    from kindling_entities.declare.expectations import unique as unique
    from kindling_entities.declare.maintenance_policy import MaintenancePolicy as MaintenancePolicy
    from kindling_entities.declare.schema import SchemaChange as SchemaChange
    from kindling_entities.errors import ConflictError as ConflictError
    from kindling_entities.errors import ConstraintError as ConstraintError
    from kindling_entities.errors import CorruptTableError as CorruptTableError
    from kindling_entities.errors import DataError as DataError
    from kindling_entities.errors import DataFileMissing as DataFileMissing
    from kindling_entities.errors import EntityDefinitionError as EntityDefinitionError
    from kindling_entities.errors import EntityError as EntityError
    from kindling_entities.errors import EntityNotFoundError as EntityNotFoundError
    from kindling_entities.errors import ExpectationError as ExpectationError
    from kindling_entities.errors import MergeKeyError as MergeKeyError
    from kindling_entities.errors import RowsRewritten as RowsRewritten
    from kindling_entities.errors import SchemaError as SchemaError
    from kindling_entities.errors import StorageError as StorageError
    from kindling_entities.errors import TransactionsDisagree as TransactionsDisagree
    from kindling_entities.errors import UnknownEntityError as UnknownEntityError
    from kindling_entities.errors import UnsupportedError as UnsupportedError
    from kindling_entities.errors import VersionsGone as VersionsGone
    from kindling_entities.hooks import hookimpl as hookimpl
    from kindling_entities.kinds import EngineKind as EngineKind
    from kindling_entities.kinds import StorageKind as StorageKind
    from kindling_entities.manager import DataEntityManager as DataEntityManager
    from kindling_entities.manager import DataEntityRegistry as DataEntityRegistry
    from kindling_entities.protocols import Commit as Commit
    from kindling_entities.protocols import CommitInfo as CommitInfo
    from kindling_entities.protocols import CommitOptions as CommitOptions
    from kindling_entities.protocols import Engine as Engine
    from kindling_entities.protocols import EntityProvider as EntityProvider
    from kindling_entities.protocols import MergeRules as MergeRules
    from kindling_entities.protocols import StorageProvider as StorageProvider
    from kindling_entities.protocols import Table as Table
    from kindling_entities.protocols import TableInfo as TableInfo
    from kindling_entities.protocols import Transaction as Transaction
    from kindling_entities.protocols import Upkeep as Upkeep
    from kindling_entities.storage import RowStorage as RowStorage
    from kindling_entities.storage import TableStorage as TableStorage
    from kindling_entities.storage import TransactionalStorage as TransactionalStorage
    from kindling_entities.store import EntityStore as EntityStore
    from kindling_entities.write.migration import Drift as Drift

_HOMES = {
    "declare.entity": (
        "Entities",
        "EntityDefinition",
    ),
    "errors": (
        "ConflictError",
        "ConstraintError",
        "CorruptTableError",
        "DataError",
        "DataFileMissing",
        "RowsRewritten",
        "TransactionsDisagree",
        "VersionsGone",
        "EntityDefinitionError",
        "EntityError",
        "EntityNotFoundError",
        "ExpectationError",
        "MergeKeyError",
        "SchemaError",
        "StorageError",
        "UnknownEntityError",
        "UnsupportedError",
    ),
    "declare.expectations": (
        "Expectation",
        "ExpectationResult",
        "expect",
        "expect_or_drop",
        "expect_or_fail",
        "expect_or_quarantine",
        "foreign_key",
        "not_null",
        "unique",
    ),
    "hooks": ("hookimpl",),
    "kinds": (
        "EngineKind",
        "StorageKind",
    ),
    "declare.maintenance_policy": ("MaintenancePolicy",),
    "manager": (
        "DataEntityManager",
        "DataEntityRegistry",
    ),
    "protocols": (
        "Commit",
        "TableInfo",
        "CommitOptions",
        "CommitInfo",
        "Engine",
        "EntityProvider",
        "MergeRules",
        "StorageProvider",
        "Table",
        "TableInfo",
        "Transaction",
        "Upkeep",
    ),
    "declare.schema": ("SchemaChange",),
    "storage": (
        "RowStorage",
        "TableStorage",
        "TransactionalStorage",
    ),
    "store": ("EntityStore",),
    "write.migration": ("Drift",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
