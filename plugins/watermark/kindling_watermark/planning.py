"""Decides what a reader reads next: from how far it has read, and what its sources have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kindling_entities import CommitInfo, EntityStore
from kindling_watermark.cursors import look as look_by_cursor
from kindling_watermark.declare.options import APPENDS, CHANGES, FAIL, FULL_REFRESH, IGNORE, Declaration
from kindling_watermark.errors import SourceRewritten
from kindling_watermark.manager import WatermarkManager
from kindling_watermark.ranges.cursors import Span
from kindling_watermark.ranges.decisions import Decision, Reset
from kindling_watermark.ranges.news import slice_end
from kindling_watermark.ranges.values import Intent, Range, ReaderState, Watermark
from kindling_watermark.sources import Break, Look, Sources, mark_of

# Source without versions -> all of it.
Read = Callable[[str], Any]
# Source -> the version up to which a run reads it; None is the newest.
Bound = Callable[[str], int | None]


def overtaken(store: EntityStore, declaration: Declaration, intent: Intent) -> tuple[str, str] | None:
    """The source, and why what was begun cannot be read of it any more; None if it can."""
    sources = Sources(store)
    for source, one in intent.ranges.items():
        if one.end is None:
            continue
        broken = sources.look(source, Watermark(one.end, one.table_id, one.mark)).broken
        if broken is None and one.start is not None and not one.empty:
            broken = _unreadable(sources, declaration.modes[source], source, one.start, one.end)
        if broken is not None:
            return source, broken.reason
    return None


class Planner:
    """Decides once what a reader reads next.

    Args:
        store: of the App, which has started.
        manager: sends the signals of looking watermarks up.
        bound: up to which versions the run reads.
        read: reads a source that has no versions.
    """

    def __init__(
        self,
        store: EntityStore,
        manager: WatermarkManager,
        declaration: Declaration,
        bound: Bound,
        read: Read | None = None,
    ) -> None:
        self._manager = manager
        self._declaration = declaration
        self._bound = bound
        self._read: Read = read or store.read_entity
        self._sources = Sources(store)

    def decide(self, state: ReaderState, why_anew: str = "") -> Decision:
        """Decide.

        Args:
            state: of the reader, without an intent.
            why_anew: why the output is to be computed anew; "" for an increment.

        Raises:
            SourceRewritten: a watermark holds no more, and the pipe does not say what to do then.
            EntityNotFoundError: a source has no table.
        """
        return self._anew(state, why_anew) if why_anew else self._on(state)

    def _on(self, state: ReaderState) -> Decision:
        """Decide where each source is read on."""
        declaration = self._declaration
        resets: list[Reset] = []
        ranges: dict[str, Range] = {}
        more, new, first = False, False, []
        looks: dict[str, Look] = {}
        for source in declaration.modes:
            watermark = self._manager.look_up(source, declaration.reader_id, state)
            if source in declaration.cursors:
                span = self._span(source, watermark)
                new = new or span is not None
                if span is not None:
                    ranges[source] = Range(None, None, cursor=span.to_dict())
                continue
            while True:
                look = looks[source] = self._sources.look(source, watermark, self._bound(source))
                if watermark is None or watermark.version is None:
                    ranges[source], new = self._whole(source, look.bound), True
                    first.append(source)
                    break
                broken = look.broken or self._broken(source, watermark, look)
                if broken is None:
                    ranges[source] = self._next(source, watermark, look)
                    more = more or ranges[source].end != look.bound
                    new = new or not ranges[source].empty
                    break
                if declaration.on_rewrite == FAIL:
                    raise SourceRewritten(source, declaration.reader_id, broken.reason)
                if declaration.on_rewrite == FULL_REFRESH:
                    resets.append(Reset(source, watermark, None, broken.reason))
                    why = f"{source}: {broken.reason}"
                    return replace(self._anew(state, why), resets=resets)
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
            return self._anew(state, f"{', '.join(first)} is read for the first time")
        if not new:
            at = ", ".join(_read_up_to(source, ranges.get(source), state) for source in declaration.modes)
            return Decision(_settled(state, looks), {}, reason=f"nothing new: {at}", resets=resets)
        for source in declaration.cursors:
            # What has nothing new gives no rows beside what has.
            if source not in ranges:
                ranges[source] = _same_again(state.watermarks.get(source))
        return Decision(state, ranges, resets=resets, more=more)

    def _anew(self, state: ReaderState, reason: str) -> Decision:
        ranges: dict[str, Range] = {}
        for source in self._declaration.modes:
            if source in self._declaration.cursors:
                span = self._span(source, None)
                ranges[source] = _same_again(None) if span is None else Range(None, None, cursor=span.to_dict())
            else:
                ranges[source] = self._whole(source, self._sources.look(source, None, self._bound(source)).bound)
        return Decision(state, ranges, full=True, reason=reason)

    def _span(self, source: str, watermark: Watermark | None) -> Span | None:
        """What is new in a source that is read by a cursor; None if nothing is."""
        before = None if watermark is None or watermark.cursor is None else Span.of(watermark.cursor)
        return look_by_cursor(source, self._read(source), self._declaration.cursors[source], before)

    def _broken(self, source: str, watermark: Watermark, look: Look) -> Break | None:
        """Whether what is new cannot be read as it is meant to be."""
        if not look.news or watermark.version is None:
            return None
        mode = self._declaration.modes[source]
        unreadable = _unreadable(self._sources, mode, source, watermark.version, look.bound)
        if unreadable is not None or mode == APPENDS:
            return unreadable
        if watermark.columns is None or self._declaration.on_rewrite == IGNORE:
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

    def _next(self, source: str, watermark: Watermark, look: Look) -> Range:
        news = look.news
        if not news:
            return Range(watermark.version, watermark.version, watermark.table_id, watermark.mark, watermark.columns)
        end = slice_end(news, look.bound, self._declaration.limits)
        self._manager.tell_news(source, self._declaration.reader_id, watermark.version, look.bound)
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


def _unreadable(sources: Sources, mode: str, source: str, start: int, end: int) -> Break | None:
    """Why the rows or changes of (start, end] cannot be read as they are meant to be; None if they can."""
    if mode == APPENDS or (mode != CHANGES and not sources.records_changes(source)):
        return sources.rewritten(source, start, end)
    return sources.gone(source, start)


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
