"""How far each reader is behind its sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kindling_core import KindlingError
from kindling_core.errors import text_of
from kindling_entities import EntityStore
from kindling_watermark.declare.options import Declaration
from kindling_watermark.ranges.news import brings_rows, rows_in
from kindling_watermark.ranges.values import ReaderState
from kindling_watermark.records import Records
from kindling_watermark.sources import Sources


@dataclass(frozen=True)
class Lag:
    """How far a reader is behind a source.

    Attributes:
        reader_id, source_entity_id: the pipe and what it reads.
        version: up to which it has read; None where it has not.
        saved_at: when that was noted; "" where it was not.
        source_version: the newest version of the source; None where there is no table.
        versions: commits that bring rows and are not read; None where that cannot be told.
        rows: that these commits touched, as far as they tell.
        seconds: since the oldest of them; 0 where there is none.
        problem: why the reader cannot go on, or why nothing can be told; "" if it can.
        begun: the reader has begun something that is not known to be done.
    """

    reader_id: str
    source_entity_id: str
    version: int | None
    saved_at: str
    source_version: int | None
    versions: int | None
    rows: int | None
    seconds: float | None
    problem: str = ""
    begun: bool = False


def lags(store: EntityStore, records: Records, declarations: Iterable[Declaration], now: datetime) -> list[Lag]:
    """Return how far readers are behind.

    Args:
        now: the time, with its zone.
    """
    found = []
    for declaration in declarations:
        state = records.get(declaration.reader_id).state
        found += [
            _by_cursor(declaration.reader_id, source, state)
            if source in declaration.cursors
            else _lag(store, declaration.reader_id, source, state, now)
            for source in declaration.modes
        ]
    return found


def _by_cursor(reader: str, source: str, state: ReaderState) -> Lag:
    """Of a source without a log nobody can tell what is new without reading it."""
    watermark = state.watermarks.get(source)
    saved_at = "" if watermark is None else watermark.saved_at
    return Lag(reader, source, None, saved_at, None, None, None, None, "", state.intent is not None)


def _lag(store: EntityStore, reader: str, source: str, state: ReaderState, now: datetime) -> Lag:
    watermark = state.watermarks.get(source)
    version, saved_at = (None, "") if watermark is None else (watermark.version, watermark.saved_at)
    begun = state.intent is not None
    newest: int | None = None
    try:
        newest = store.get_entity_version(source)
        if watermark is None:
            commits, problem = list(store.commits(source)), ""
        else:
            look = Sources(store).look(source, watermark)
            commits, problem = list(look.commits), "" if look.broken is None else look.broken.reason
    except KindlingError as error:
        return Lag(reader, source, version, saved_at, newest, None, None, None, text_of(error), begun)
    if problem:
        return Lag(reader, source, version, saved_at, newest, None, None, None, problem, begun)
    news = [commit for commit in commits if brings_rows(commit)]
    since = next((commit.timestamp for commit in news if commit.timestamp is not None), None)
    seconds = 0.0 if not news else None if since is None else max(0.0, (now - since).total_seconds())
    return Lag(reader, source, version, saved_at, newest, len(news), rows_in(news), seconds, "", begun)
