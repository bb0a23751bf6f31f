"""Decides what a reader reads next: from what is kept of it, what its output says, and what its sources have."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kindling_entities import CommitInfo, EntityStore
from kindling_watermark.cursors import look as look_by_cursor
from kindling_watermark.declare.options import APPENDS, CHANGES, FAIL, FULL_REFRESH, IGNORE, Declaration
from kindling_watermark.errors import OutputChanged, SourceRewritten, WatermarkLost
from kindling_watermark.manager import WatermarkManager
from kindling_watermark.ranges.cursors import Span
from kindling_watermark.ranges.decisions import Decision, Reset
from kindling_watermark.ranges.news import brings_rows, slice_end
from kindling_watermark.ranges.values import Intent, Range, ReaderState, Watermark
from kindling_watermark.records import Kept
from kindling_watermark.sources import Break, Look, Sources, mark_of
from kindling_watermark.trace import Output, application, look_at

_log = logging.getLogger("kindling.watermark")

# Source without versions -> all of it.
Read = Callable[[str], Any]
# Source -> the version up to which a run reads it; None is the newest.
Bound = Callable[[str], int | None]


class Planner:
    """Plans the reads of the incremental pipes of one App.

    Args:
        store: of the App, which has started.
        manager: what is kept of the readers.
    """

    def __init__(self, store: EntityStore, manager: WatermarkManager) -> None:
        self._store = store
        self._manager = manager
        self._sources = Sources(store)

    # What was done

    def reconciled(
        self, declaration: Declaration, *, anew: bool = False, write: bool = True, kept: Kept | None = None
    ) -> tuple[Kept, str]:
        """Bring what is kept of a reader in line with what its output says.

        Args:
            kept: as it was fetched before; what follows is saved only if it is so still.
            anew: the output is computed anew, so that nothing is wrong with it.
            write: save what was found; False only looks.

        Returns:
            What is kept, and why the output has to be computed anew ("" if it has not).

        Raises:
            OutputChanged: the output was removed, made anew or set back.
            WatermarkLost: the output has rows that nothing accounts for.
        """
        reader, output = declaration.reader_id, declaration.output
        kept = self._manager.records.get(reader) if kept is None else kept
        state = kept.state
        found = look_at(self._store, output, reader, state.committed)
        trace = found.newest
        if found.reason:
            begun = state.intent is not None and state.intent.full
            if anew or begun:
                return kept, ""
            if declaration.on_rewrite == FAIL:
                raise OutputChanged(reader, output, found.reason)
            if declaration.on_rewrite == FULL_REFRESH:
                return kept, f"the output is not as it was left: {found.reason}"
            return self._adopted(declaration, kept, found, write), ""
        if trace is None:
            if state.committed is None and not state.watermarks and state.intent is None and not anew:
                return kept, self._unaccounted(declaration, found)
            return kept, ""
        if state.intent is not None and trace.did(state.intent):
            if write:
                self._manager.finish(reader, kept, trace.committed, None)
                return self._manager.records.get(reader), ""
            return Kept(state.done("", trace.committed), kept.version), ""
        ahead = trace.sequence > state.sequence
        if ahead or (state.intent is not None and trace.sequence >= state.intent.sequence):
            return self._adopted(declaration, kept, found, write), ""
        return kept, ""

    def _adopted(self, declaration: Declaration, kept: Kept, found: Output, write: bool) -> Kept:
        """Take over what the log of the output says."""
        trace, old = found.newest, kept.state
        if trace is None:
            # There is nothing to take over, and what is known of the sources goes on.
            state = replace(old, committed=None)
            reason = found.reason
        else:
            state = replace(trace.state(), sequence=max(trace.sequence, old.sequence))
            reason = f"read back from the log of {declaration.output}" + (f": {found.reason}" if found.reason else "")
        if not write:
            return Kept(state, kept.version)
        return self.save(declaration, kept, state, reason)

    def save(self, declaration: Declaration, kept: Kept, state: ReaderState, reason: str) -> Kept:
        """Save a state that something else than progress has led to, and tell of the watermarks that it moves."""
        reader = declaration.reader_id
        saved: list[Kept] = []
        self._manager.saving(
            reader, kept.state, state, lambda: saved.append(self._manager.records.put(reader, state, kept.version))
        )
        for source, one in state.watermarks.items():
            before = kept.state.watermarks.get(source)
            if before is None or before.version != one.version:
                at = f"version {one.version}" if one.cursor is None else one.cursor["high"]
                _log.warning("Pipe %r: the watermark of %s is %s: %s.", reader, source, at, reason)
                self._manager.tell_reset(source, reader, before, one.version, reason)
        return saved[0]

    def _unaccounted(self, declaration: Declaration, found: Output) -> str:
        """Whether an output that nothing is known of may be written to; the reason for computing it anew."""
        if not found.exists:
            return ""
        reader, output = declaration.reader_id, declaration.output
        mine = application(reader)
        if self._store.newest_transaction(output, mine) == mine:
            what = "the pipe has written it, and the log that said what of its sources is in it was cleaned"
        elif self._appends(output) and self._holds_rows(output, reader):
            what = "it has rows, and no watermark tells whether they are of this pipe"
        else:
            return ""
        if declaration.on_rewrite == FULL_REFRESH:
            return what
        raise WatermarkLost(reader, output, what)

    def _appends(self, output: str) -> bool:
        return self._store.manager.get_entity_definition(output).write_mode == "append"

    def _holds_rows(self, output: str, reader: str) -> bool:
        """Whether a table has rows that are not known to be another pipe's."""
        info = self._store.describe(output)
        if info is not None and info.rows == 0:
            return False
        commits = self._store.commits(output)
        if not commits or commits[0].version > 0:
            # Of what was written before nothing is known.
            return True
        return any(brings_rows(commit) and not _of_another(commit, reader) for commit in commits)

    # What is next

    def decide(
        self,
        declaration: Declaration,
        state: ReaderState,
        bound: Bound,
        why_anew: str = "",
        read: Read | None = None,
    ) -> Decision:
        """Decide what is read next.

        Args:
            state: without an intent.
            why_anew: why the output is to be computed anew; "" for an increment.
            read: reads a source that has no versions.

        Raises:
            SourceRewritten: a watermark holds no more, and the pipe does not say what to do then.
            EntityNotFoundError: a source has no table.
        """
        read = read or self._store.read_entity
        if why_anew:
            return self._anew(declaration, state, bound, why_anew, read)
        resets: list[Reset] = []
        ranges: dict[str, Range] = {}
        more, new, first = False, False, []
        looks: dict[str, Look] = {}
        for source in declaration.modes:
            watermark = self._manager.look_up(source, declaration.reader_id, state)
            if source in declaration.cursors:
                span = self._span(declaration, source, watermark, read)
                new = new or span is not None
                if span is not None:
                    ranges[source] = Range(None, None, cursor=span.to_dict())
                continue
            while True:
                look = looks[source] = self._sources.look(source, watermark, bound(source))
                if watermark is None or watermark.version is None:
                    ranges[source], new = self._whole(source, look.bound), True
                    first.append(source)
                    break
                broken = look.broken or self._broken(declaration, source, watermark, look)
                if broken is None:
                    ranges[source] = self._next(declaration, source, watermark, look)
                    more = more or ranges[source].end != look.bound
                    new = new or not ranges[source].empty
                    break
                if declaration.on_rewrite == FAIL:
                    raise SourceRewritten(source, declaration.reader_id, broken.reason)
                if declaration.on_rewrite == FULL_REFRESH:
                    resets.append(Reset(source, watermark, None, broken.reason))
                    why = f"{source}: {broken.reason}"
                    return replace(self._anew(declaration, state, bound, why, read), resets=resets)
                held = self._before(source, watermark, look, broken)
                if held is not None:
                    ranges[source], more, new = held, True, True
                    break
                if broken.behind is None:
                    # Another table, all of whose rows are new.
                    resets.append(Reset(source, watermark, None, broken.reason))
                    ranges[source], new = self._whole(source, look.bound), True
                    break
                moved = self._at(source, broken.behind)
                resets.append(Reset(source, watermark, moved.version, broken.reason))
                watermark = moved
                state = replace(state, watermarks={**state.watermarks, source: moved})
        if first and len(first) < len(declaration.modes) and declaration.affected:
            return self._anew(declaration, state, bound, f"{', '.join(first)} is read for the first time", read)
        if not new:
            at = ", ".join(_read_up_to(source, ranges.get(source), state) for source in declaration.modes)
            return Decision(_settled(state, looks), {}, reason=f"nothing new: {at}", resets=resets)
        for source in declaration.cursors:
            # What has nothing new gives no rows beside what has.
            if source not in ranges:
                ranges[source] = _same_again(state.watermarks.get(source))
        return Decision(state, ranges, resets=resets, more=more)

    def overtaken(self, declaration: Declaration, intent: Intent) -> tuple[str, str] | None:
        """The source, and why what was begun cannot be read of it any more; None if it can."""
        for source, one in intent.ranges.items():
            if one.end is None:
                continue
            broken = self._sources.look(source, Watermark(one.end, one.table_id, one.mark)).broken
            if broken is None and one.start is not None and not one.empty and declaration.modes[source] == APPENDS:
                broken = self._sources.rewritten(source, one.start, one.end)
            if broken is not None:
                return source, broken.reason
        return None

    def _anew(self, declaration: Declaration, state: ReaderState, bound: Bound, reason: str, read: Read) -> Decision:
        ranges: dict[str, Range] = {}
        for source in declaration.modes:
            if source in declaration.cursors:
                span = self._span(declaration, source, None, read)
                ranges[source] = _same_again(None) if span is None else Range(None, None, cursor=span.to_dict())
            else:
                ranges[source] = self._whole(source, self._sources.look(source, None, bound(source)).bound)
        return Decision(state, ranges, full=True, reason=reason)

    def _span(self, declaration: Declaration, source: str, watermark: Watermark | None, read: Read) -> Span | None:
        """What is new in a source that is read by a cursor; None if nothing is."""
        before = None if watermark is None or watermark.cursor is None else Span.of(watermark.cursor)
        return look_by_cursor(source, read(source), declaration.cursors[source], before)

    def _broken(self, declaration: Declaration, source: str, watermark: Watermark, look: Look) -> Break | None:
        """Whether what is new cannot be read as it is meant to be."""
        if not look.news or watermark.version is None:
            return None
        mode = declaration.modes[source]
        if mode == APPENDS or (mode != CHANGES and not self.records_changes(source)):
            return self._sources.rewritten(source, watermark.version, look.bound)
        if watermark.columns is None or declaration.on_rewrite == IGNORE:
            return None
        now = self._sources.columns(source) or {}
        lost = [name for name, kind in watermark.columns.items() if now.get(name) != kind]
        if not lost:
            return None
        told = ", ".join(
            f"{name} was {watermark.columns[name]} and is {now[name]}" if name in now else f"{name} is gone"
            for name in lost
        )
        return Break(f"its columns changed: {told}", None, look.bound)

    def records_changes(self, source: str) -> bool:
        """Whether the table keeps a change feed."""
        info = self._store.describe(source)
        return info is not None and info.records_changes

    def _next(self, declaration: Declaration, source: str, watermark: Watermark, look: Look) -> Range:
        news = look.news
        if not news:
            return Range(watermark.version, watermark.version, watermark.table_id, watermark.mark, watermark.columns)
        end = slice_end(news, look.bound, declaration.limits)
        self._manager.tell_news(source, declaration.reader_id, watermark.version, look.bound)
        return self._range(source, watermark.version, end, look.commits)

    def _before(self, source: str, watermark: Watermark, look: Look, broken: Break) -> Range | None:
        """What is new before a break, None if nothing is."""
        if broken.before is None or watermark.version is None:
            return None
        if not any(commit.version <= broken.before for commit in look.news):
            return None
        return self._range(source, watermark.version, broken.before, look.commits)

    def _range(self, source: str, start: int | None, end: int, commits: Sequence[CommitInfo]) -> Range:
        marks = {commit.version: mark_of(commit) for commit in commits}
        return Range(start, end, self._sources.table_id(source), marks.get(end), self._sources.columns(source))

    def _whole(self, source: str, bound: int) -> Range:
        mark = self._sources.mark(source, bound)
        return Range(None, bound, self._sources.table_id(source), mark, self._sources.columns(source))

    def _at(self, source: str, version: int) -> Watermark:
        one = self._whole(source, version)
        return one.watermark(self._manager.saved_at())


def _settled(state: ReaderState, looks: Mapping[str, Look]) -> ReaderState:
    """The state once commits that bring no rows are passed, so that they are not looked at again."""
    moved = {
        source: replace(state.watermarks[source], version=look.commits[-1].version, mark=mark_of(look.commits[-1]))
        for source, look in looks.items()
        if look.commits
    }
    return replace(state, watermarks={**state.watermarks, **moved}) if moved else state


def _read_up_to(source: str, one: Range | None, state: ReaderState) -> str:
    if one is not None:
        return f"{source} is read up to version {one.end}"
    watermark = state.watermarks.get(source)
    if watermark is None or watermark.cursor is None:
        return f"{source} has no rows"
    return f"{source} is read up to {watermark.cursor['high']}"


def _same_again(watermark: Watermark | None) -> Range:
    """A range without rows, which leaves the watermark of a cursor where it is."""
    if watermark is None or watermark.cursor is None:
        return Range(None, None)
    span = Span.of(watermark.cursor)
    return Range(None, None, cursor=replace(span, low=span.high, seen=span.open).to_dict())


def _of_another(commit: CommitInfo, reader: str) -> bool:
    """Whether a commit is known to be of another pipe."""
    owners = [one.app_id for one in commit.transactions]
    mine = (application(reader),)
    return bool(owners) and not any(owner in mine or owner.endswith(f"/{reader}") for owner in owners)
