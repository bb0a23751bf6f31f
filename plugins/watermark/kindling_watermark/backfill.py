"""Runs versions of a source through a pipe once more, beside the pipe's own progress.

A backfill is a reader of its own: it has its own record, its own transaction ids and its own traces in the output. So
one that is killed is continued by the same call, and what it has written is not written again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kindling_core import PipeMetadata, RunInfo
from kindling_entities import EntityStore
from kindling_watermark.declare.options import CURSOR, Declaration
from kindling_watermark.errors import WatermarkError
from kindling_watermark.manager import WatermarkManager
from kindling_watermark.ranges.news import Limits
from kindling_watermark.ranges.values import Range, ReaderState, Watermark
from kindling_watermark.run.pipes import RunPipes
from kindling_watermark.sources import Sources
from kindling_watermark.trace import trace_of

if TYPE_CHECKING:
    from kindling_core import App


@dataclass(frozen=True)
class Slice:
    """One slice that was written.

    Attributes:
        rows: that were written; None where that cannot be told.
    """

    range: Range
    rows: int | None


class Backfill:
    """Versions of a source for one pipe.

    Args:
        app: that has started.
        declaration: of the pipe.
        first, last: versions of the source, both included.
        max_versions: how many at a time; None: all at once.

    Raises:
        WatermarkError: the source has no such versions, or the output would get rows twice.
    """

    def __init__(
        self, app: App, declaration: Declaration, source: str, first: int, last: int, max_versions: int | None = None
    ) -> None:
        self._app = app
        self._store = app.service(EntityStore)
        self._manager = app.service(WatermarkManager)
        self._source, self._first, self._last = source, first, last
        self._pipe: PipeMetadata = app.pipes.get_pipe_definition(declaration.reader_id)
        self._main = declaration
        reader = f"{declaration.reader_id}:backfill:{source}:{first}-{last}"
        limits = Limits() if declaration.affected else Limits(max_versions=max_versions)
        self._declaration = replace(declaration, reader_id=reader, limits=limits)
        self._refuse()

    def _refuse(self) -> None:
        newest = self._store.get_entity_version(self._source)
        if self._main.modes[self._source] == CURSOR:
            raise WatermarkError(f"{self._source!r} is read by a cursor and has no versions to go through again.")
        if not self._first <= self._last <= newest:
            raise WatermarkError(
                f"{self._source!r} has no versions {self._first} to {self._last}; the newest is {newest}."
            )
        output = self._main.output
        if self._store.manager.get_entity_definition(output).write_mode != "append":
            return
        for commit in self._store.commits(output) if self._store.check_entity_exists(output) else ():
            trace = trace_of(commit, self._main.reader_id)
            start, end = trace.ranges.get(self._source, (0, 0)) if trace is not None else (0, 0)
            if end >= self._first and (start is None or start < self._last) and start != end:
                raise WatermarkError(
                    f"{output!r} is appended to, and its version {commit.version} is made of {self._source!r} up to "
                    f"version {end} already: a backfill of versions {self._first} to {self._last} would double rows. "
                    f"`kindling run --full-refresh {self._main.reader_id}` computes it anew."
                )

    def run(self) -> Iterator[Slice]:
        """Write slice after slice; gives each once it is written."""
        pipes, run = self._app.service(RunPipes), self._begin()
        try:
            while True:
                work = pipes.following(self._pipe, run, self._declaration)
                if isinstance(work, str):
                    return
                work.nested = True
                pipes.works.set(run, self._pipe, work)
                result = self._app.run_pipe(self._pipe, run)
                yield Slice(work.intent.ranges[self._source], result.rows)
        finally:
            pipes.works.drop(run, self._pipe)
            pipes.end(run)

    def _begin(self) -> RunInfo:
        """Write down where the backfill begins, unless an earlier call has."""
        reader, looks = self._declaration.reader_id, Sources(self._store)
        run = RunInfo(reader, "batch", (self._pipe.pipe_id,))
        kept = self._manager.records.get(reader)
        others = {name: self._store.get_entity_version(name) for name in self._main.modes if name != self._source}
        if not kept.version:
            starts = {**others, **({self._source: self._first - 1} if self._first else {})}
            marks = {
                name: Watermark(
                    version, looks.table_id(name), looks.mark(name, version), saved_at=self._manager.saved_at()
                )
                for name, version in starts.items()
            }
            kept = self._manager.records.put(reader, ReaderState(watermarks=marks), 0)
        bounds = {name: one.version for name, one in kept.state.watermarks.items() if one.version is not None}
        self._app.service(RunPipes).bounds.begin(run, {**bounds, self._source: self._last})
        return run
