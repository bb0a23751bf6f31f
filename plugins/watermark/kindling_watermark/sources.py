"""What the tables say of a source: how far it goes, what is new in it, and whether the watermark still holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kindling_entities import CommitInfo, EntityStore, RowsRewritten, TableInfo, VersionsGone
from kindling_watermark.ranges.news import brings_rows
from kindling_watermark.ranges.values import Watermark


@dataclass(frozen=True)
class Break:
    """Why the rows after a watermark do not tell all that happened since.

    Attributes:
        reason: for people.
        before: the last version up to which they do; None: none does.
        behind: the version behind which they do again; None: the source is another table, to be read as a whole.
    """

    reason: str
    before: int | None
    behind: int | None


@dataclass(frozen=True)
class Look:
    """A source as a reader finds it.

    Attributes:
        bound: the run reads up to this version.
        commits: after the watermark and up to ``bound``, oldest first; none where there is no watermark.
        broken: None where the watermark holds.
    """

    bound: int
    commits: Sequence[CommitInfo] = ()
    broken: Break | None = None

    @property
    def news(self) -> list[CommitInfo]:
        """The commits that bring rows."""
        return [commit for commit in self.commits if brings_rows(commit)]


class Sources:
    """Looks at the sources of a reader, once: what a table is like is asked for the first time alone.

    Args:
        store: of the App, which has started.
    """

    def __init__(self, store: EntityStore) -> None:
        self._store = store
        self._described: dict[str, TableInfo | None] = {}

    def look(self, entity_id: str, watermark: Watermark | None, bound: int | None = None) -> Look:
        """Compare a source with a watermark.

        Args:
            bound: the version that the run reads; None is the newest.

        Raises:
            EntityNotFoundError: there is no such table.
        """
        newest = self._store.get_entity_version(entity_id)
        bound = newest if bound is None else min(bound, newest)
        if watermark is None or watermark.version is None:
            return Look(bound)
        at = watermark.version
        if newest < at:
            return Look(bound, broken=self._another(entity_id, watermark) or self._went_back(newest, at))
        try:
            first, *later = self._store.commits(entity_id, at - 1)
        except VersionsGone:
            return self._look_behind(entity_id, watermark, bound)
        mark = mark_of(first)
        if watermark.mark is None or mark != watermark.mark:
            another = self._another(entity_id, watermark)
            if another is not None:
                return Look(bound, broken=another)
            if watermark.mark is not None and mark is not None:
                reason = f"its version {at} is not the commit that it was, as after a backup was put back"
                return Look(bound, broken=Break(reason, at, newest))
        return Look(bound, [one for one in later if one.version <= bound])

    def _look_behind(self, entity_id: str, watermark: Watermark, bound: int) -> Look:
        """The commit of the watermark is not in the log any more; those after it may be."""
        assert watermark.version is not None
        another = self._another(entity_id, watermark)
        if another is not None:
            return Look(bound, broken=another)
        try:
            later = self._store.commits(entity_id, watermark.version)
        except VersionsGone as error:
            return Look(bound, broken=gone(error, watermark.version))
        return Look(bound, [one for one in later if one.version <= bound])

    def _another(self, entity_id: str, watermark: Watermark) -> Break | None:
        known = self.table_id(entity_id)
        if not known or not watermark.table_id or known == watermark.table_id:
            return None
        return Break("it was removed and made anew", None, None)

    def _went_back(self, newest: int, at: int) -> Break:
        return Break(f"its version went back from {at} to {newest}", None, newest)

    def table_id(self, entity_id: str) -> str:
        """The identity of a table; "" where it is not known."""
        info = self._describe(entity_id)
        return "" if info is None else info.table_id

    def columns(self, entity_id: str) -> dict[str, str] | None:
        """Column -> type of the newest version; None where that is not known."""
        info = self._describe(entity_id)
        return None if info is None else {field.name: str(field.type) for field in info.schema}

    def records_changes(self, entity_id: str) -> bool:
        """Whether a table keeps a change feed."""
        info = self._describe(entity_id)
        return info is not None and info.records_changes

    def _describe(self, entity_id: str) -> TableInfo | None:
        if entity_id not in self._described:
            self._described[entity_id] = self._store.describe(entity_id)
        return self._described[entity_id]

    def mark(self, entity_id: str, version: int) -> str | None:
        """When the commit of a version was made; None where that is not told."""
        try:
            commits = self._store.commits(entity_id, version - 1)
        except VersionsGone:
            return None
        return mark_of(commits[0]) if commits and commits[0].version == version else None

    def rewritten(self, entity_id: str, start: int, end: int) -> Break | None:
        """Why the rows that the versions of (start, end] added do not tell all; None if they do."""
        try:
            self._store.read_appends(entity_id, start, end)
        except RowsRewritten as error:
            reason = f"version {error.version} ({error.operation or 'unknown operation'}) removed or changed rows"
            return Break(reason, error.version - 1, error.version)
        except VersionsGone as error:
            return gone(error, start)
        return None

    def gone(self, entity_id: str, start: int) -> Break | None:
        """Why the changes after a version cannot be read any more; None if they can."""
        try:
            # The files of this version are those that changes after it are told by.
            self._store.read_entity(entity_id, version=start)
        except VersionsGone as error:
            return gone(error, start)
        return None


def gone(error: VersionsGone, at: int) -> Break:
    """What it means that versions are kept no more."""
    first, last = error.wanted
    reason = f"versions {first} to {last} are kept no more"
    return Break(reason, at, last if error.oldest is None else max(error.oldest, at))


def mark_of(commit: CommitInfo) -> str | None:
    """By what a commit is known again."""
    return None if commit.timestamp is None else commit.timestamp.isoformat()
