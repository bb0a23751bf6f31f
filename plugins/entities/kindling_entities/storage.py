"""What storage may do beyond reading and writing frames. A provider that can has the methods; nothing is inherited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kindling_entities.protocols import Commit, CommitInfo, MergeRules, TableInfo, Transaction, Upkeep

if TYPE_CHECKING:
    import pyarrow as pa

    from kindling_entities.declare.entity import EntityDefinition
    from kindling_entities.formats import Dirt
    from kindling_entities.write.migration import Drift


@runtime_checkable
class TransactionalStorage(Protocol):
    """Storage that knows the transactions of its writes, so that a repeated write is known to have happened."""

    def committed(self, entity: EntityDefinition, location: str, transaction: Transaction) -> bool:
        """Whether it has this transaction, or a later one of the same application."""

    def newest_transaction(self, entity: EntityDefinition, location: str, ending: str) -> str | None:
        """The newest application id with this ending, "" if there is none, None if that is not known."""


@runtime_checkable
class DescribedStorage(Protocol):
    """Storage that describes its tables."""

    def describe(self, entity: EntityDefinition, location: str, *, figures: bool = True) -> TableInfo | None:
        """The table as it stands, None if there is none; without ``figures`` nothing is counted."""


@runtime_checkable
class LoggedStorage(Protocol):
    """Storage that keeps a log of its commits."""

    def commits(self, entity: EntityDefinition, location: str, since: int | None = None) -> Sequence[CommitInfo]:
        """The commits after a version, oldest first; None is all that are still known.

        Raises:
            VersionsGone: some of them are known no more.
        """


@runtime_checkable
class GrowingStorage(Protocol):
    """Storage that knows which rows came with which version."""

    def read_appends(
        self,
        entity: EntityDefinition,
        location: str,
        start_version: int,
        end_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Return a frame of the rows that the versions of (start_version, end_version] added; None is the newest.

        Raises:
            RowsRewritten: one of the versions removed or changed rows.
            VersionsGone: some of the versions are kept no more.
        """


@runtime_checkable
class TableStorage(DescribedStorage, Protocol):
    """Storage whose tables are brought to their declaration and maintained by commands."""

    def damage(self, entity: EntityDefinition, location: str) -> list[str]:
        """What is wrong with the stored files; empty if nothing is wrong or that is not known."""

    def migrate(self, entity: EntityDefinition, location: str, drift: Drift) -> int | None:
        """Do the steps of a drift in one commit; return the version afterwards, None if there were none."""

    def maintain(self, entity: EntityDefinition, location: str, *, dry_run: bool) -> Upkeep:
        """Maintain the table by its declared policy, or say what that would do; rows stay the same."""


@runtime_checkable
class RowStorage(Protocol):
    """Storage whose rows are changed and removed by conditions. Quarantines need it to be released and purged."""

    def merge_by(self, entity: EntityDefinition, location: str, frame: Any, rules: MergeRules) -> Commit:
        """Change the rows whose keys match, as rules say, in one commit."""

    def delete(self, entity: EntityDefinition, location: str, condition: str) -> Commit:
        """Remove the rows for which a condition is true, in one commit."""


@runtime_checkable
class DirtyStorage(Protocol):
    """Storage whose reads find rows that do not parse."""

    def read_with_dirt(
        self, entity: EntityDefinition, location: str, *, columns: Sequence[str] | None = None
    ) -> tuple[Any, Dirt | None]:
        """Return a frame, and what did not parse; None where everything is known to parse."""


@runtime_checkable
class UntypedStorage(Protocol):
    """Storage that keeps text without types; ``kindling columns`` proposes types for it."""

    def infer(self, entity: EntityDefinition, location: str) -> pa.Schema | None:
        """The types under which every value prints back as it came; None if there is nothing."""
