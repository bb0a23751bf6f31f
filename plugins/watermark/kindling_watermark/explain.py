"""What an incremental pipe would read now, and why: lines for ``kindling plan``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from kindling_core import KindlingError, PipeMetadata
from kindling_core.errors import text_of
from kindling_entities import EntityStore
from kindling_watermark.declare.options import Declaration
from kindling_watermark.manager import WatermarkManager
from kindling_watermark.planning import Planner
from kindling_watermark.ranges.decisions import told
from kindling_watermark.reconciling import Reconciler


def lines(
    store: EntityStore,
    manager: WatermarkManager,
    declarations: Sequence[Declaration],
    written: Collection[str],
    anew: Collection[str] = (),
) -> Iterator[str]:
    """Say of each pipe what it would read.

    Args:
        manager: sends no signals.
        written: entities that pipes of the plan write before.
        anew: the pipes whose outputs are computed anew.
    """
    for declaration in declarations:
        try:
            text = _of(store, manager, declaration, declaration.reader_id in anew)
        except KindlingError as error:
            text = f"cannot go on: {text_of(error)}"
        later = [source for source in declaration.modes if source in written]
        after = f" (as it stands; {', '.join(later)} is written by this run before)" if later else ""
        yield f"{declaration.reader_id} reads {text}{after}"


def _of(store: EntityStore, manager: WatermarkManager, declaration: Declaration, anew: bool) -> str:
    kept, why = Reconciler(store, manager).reconciled(declaration, anew=anew, write=False)
    why = "asked for" if anew else why
    intent = kept.state.intent
    if intent is not None and (intent.full or not why):
        ranges = [told(source, one, declaration.modes[source]) for source, one in intent.ranges.items()]
        return f"{'; '.join(ranges)}, as an earlier run has begun"
    decision = Planner(store, manager, declaration, lambda source: None).decide(kept.state, why)
    if not decision.ranges:
        return f"nothing: {decision.reason.removeprefix('nothing new: ')}"
    ranges = [told(source, one, declaration.modes[source]) for source, one in decision.ranges.items()]
    reasons = [f"{one.source}: {one.reason}" for one in decision.resets]
    if decision.full and not reasons:
        reasons = [decision.reason]
    elif not decision.full and all(one.start is None for one in decision.ranges.values()) and not reasons:
        reasons = ["it has no watermark so far"]
    text = "; ".join(ranges) + (", and what is behind it, slice by slice" if decision.more else "")
    if decision.full:
        text += f", and replaces {declaration.output}"
    return text + (f", because {'; '.join(reasons)}" if reasons else "")


def incremental(pipes: Sequence[PipeMetadata], declarations: dict[str, Declaration]) -> list[Declaration]:
    """The declarations of those pipes that are incremental."""
    return [declarations[pipe.pipe_id] for pipe in pipes if pipe.pipe_id in declarations]
