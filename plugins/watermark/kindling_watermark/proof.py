"""Computes incremental outputs anew from whole inputs, beside the real ones, and compares every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kindling_core import KindlingError, PipeMetadata, RunInfo
from kindling_core.errors import text_of
from kindling_entities import EntityStore
from kindling_entities.verify.comparison import compare
from kindling_watermark.declare.options import CHANGES, Declaration
from kindling_watermark.ranges.values import Range, ReaderState
from kindling_watermark.records import Kept
from kindling_watermark.run import frames
from kindling_watermark.run.work import Work, Works

if TYPE_CHECKING:
    from kindling_core import App

SIDES = ("as it is", "computed anew")
# What a history makes of the time of a write.
_TIMES = ("valid_from", "valid_to", "is_current")


@dataclass(frozen=True)
class Proof:
    """How an output compares with a full computation.

    Attributes:
        rows: of the output and of the full computation; None where nothing was compared.
        differences: one readable line each; empty means equal.
        note: why nothing was compared, or what of it was not.
    """

    reader_id: str
    entity_id: str
    rows: tuple[int | None, int | None] = (None, None)
    differences: Sequence[str] = ()
    note: str = ""


class Prover:
    """Compares the outputs of incremental pipes with full computations.

    Args:
        app: that has started.
        store: its tables.
        works: what its pipes are doing.
        folder: where full computations are kept for as long as they are compared.
    """

    def __init__(self, app: App, store: EntityStore, works: Works, folder: str) -> None:
        self._app = app
        self._store = store
        self._works = works
        self._side = store.elsewhere(store.engine, folder)

    def prove(self, declaration: Declaration, state: ReaderState) -> Proof:
        """Compare one output with what its whole inputs give, as far as they were read."""
        reader, output = declaration.reader_id, declaration.output
        entity = self._store.manager.get_entity_definition(output)
        if set(declaration.modes) - set(state.watermarks):
            return Proof(reader, output, note="the pipe has not run so far")
        if entity.path is not None:
            return Proof(reader, output, note="declared with path=..., so it cannot be computed in another place")
        try:
            self._compute(declaration, state)
            sides = [self._rows(store, output, entity.scd == 2) for store in (self._store, self._side)]
            keys = entity.keys
            ignored = (*_TIMES, *([entity.surrogate_key] if entity.surrogate_key else [])) if entity.scd == 2 else ()
            found = compare(output, sides[0], sides[1], keys, SIDES, ignored=ignored)
        except KindlingError as error:
            return Proof(reader, output, differences=[f"it cannot be computed anew: {text_of(error)}"])
        note = "the rows that are current" if entity.scd == 2 else ""
        return Proof(reader, output, found.rows, found.differences, note)

    def _compute(self, declaration: Declaration, state: ReaderState) -> None:
        pipe = self._app.pipes.get_pipe_definition(declaration.reader_id)
        run = RunInfo(f"proof of {pipe.pipe_id}", "batch", (pipe.pipe_id,))
        ranges = {
            source: Range(None, one.version, cursor=one.cursor)
            for source, one in state.watermarks.items()
            if source in declaration.modes
        }
        kept = Kept(ReaderState().begun(ranges, True, "to compare"), 0)
        self._works.set(run, pipe, Work(declaration, kept, -1, increment=False))
        try:
            # Without an output, so that what the function returns is kept beside the real one.
            self._app.run_pipe(self._keeping(pipe, declaration), run)
        finally:
            self._works.drop(run, pipe)

    def _keeping(self, pipe: PipeMetadata, declaration: Declaration) -> PipeMetadata:
        def keep(**arguments: Any) -> None:
            value = pipe.execute(**arguments)
            if CHANGES in declaration.modes.values():
                value = frames.without_changes(self._side.engine.to_frame(value))
            self._side.write(declaration.output, value, None)

        return replace(pipe, output_entity_id=None, execute=keep)

    def _rows(self, store: EntityStore, output: str, history: bool) -> Any:
        frame = store.read_entity(output)
        return store.engine.to_reader(frame.where("is_current") if history else frame)
