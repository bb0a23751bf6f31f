"""The seams of the plugin: what an engine, a kind of storage and a provider of entities must give.

Nothing has to be inherited: any object with the methods of a Protocol satisfies it.
"""

from kindling_entities.protocols.engine import (
    Engine,
    OverflowFinder,
    Sifted,
)
from kindling_entities.protocols.provider import (
    EntityProvider,
    StorageProvider,
)
from kindling_entities.protocols.values import (
    DEFAULT_COMMIT,
    Commit,
    CommitInfo,
    CommitOptions,
    MergeRules,
    Table,
    TableInfo,
    Transaction,
    Upkeep,
)

__all__ = [
    "DEFAULT_COMMIT",
    "Commit",
    "CommitInfo",
    "CommitOptions",
    "Engine",
    "EntityProvider",
    "MergeRules",
    "OverflowFinder",
    "Sifted",
    "StorageProvider",
    "Table",
    "TableInfo",
    "Transaction",
    "Upkeep",
]
