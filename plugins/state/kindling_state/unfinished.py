"""What a new run means to those of its job that were not finished: refuse, continue a run, or start anew."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kindling_core.errors import UnfinishedRun
from kindling_core.pipes import PipeMetadata
from kindling_core.run.requests import RunInfo
from kindling_core.state import RunStart, StateStore, Unfinished
from kindling_core.state.dependencies import changes, described
from kindling_core.state.resume import run_lease

if TYPE_CHECKING:
    from kindling_core.app import App

_log = logging.getLogger("kindling.state")


@dataclass(frozen=True)
class Choice:
    """What a run is to do.

    Attributes:
        go_on_with: the run that it continues; None starts anew.
        supersedes: the first runs of those that it takes the place of.
    """

    go_on_with: RunStart | None = None
    supersedes: Sequence[str] = ()


@dataclass(frozen=True)
class InTheWay:
    """An unfinished run, and what of it a new run would do again.

    Attributes:
        repeats: pipe id -> the entity that it has appended to, of the pipes that the new run has, too.
    """

    run: Unfinished
    repeats: Mapping[str, str]

    @property
    def description(self) -> str:
        """For people."""
        tables = ", ".join(dict.fromkeys(self.repeats.values()))
        status = "died" if self.run.record.end is None else self.run.record.status
        what = f"after it had appended to {tables}, and" if self.repeats else "and"
        left = "was not finished" if self.run.left else "had only its end left to be written down"
        return f"Run {self.run.run_id} {status} {what} {left}"


def choose(app: App, store: StateStore, run: RunInfo, pipes: Mapping[str, PipeMetadata], policy: str) -> Choice:
    """Decide what a run does about those that were not finished; call it with the leases of the run held.

    Args:
        policy: "refuse", "resume" or "ignore".

    Raises:
        UnfinishedRun: it would append again what an earlier run has appended.
    """
    known = [earlier for earlier in store.unfinished(app.name) if earlier.run_id != run.run_id]
    for earlier in known:
        if _is_settled(earlier):
            # Later runs did what it had left, so that nobody has to look at it again.
            store.settle([earlier.root_run_id], max(earlier.since.values()))
    running = {lease.name for lease in store.holders([run_lease(earlier.run_id) for earlier in known])}
    open_runs = [earlier for earlier in known if not _is_settled(earlier) and run_lease(earlier.run_id) not in running]
    if not open_runs:
        if not run.afresh and policy != "ignore" and not known and not store.runs(app.name, limit=1):
            _refuse_unknown(app, store, pipes)
        return Choice()
    ways = [InTheWay(earlier, _repeats(app, earlier, pipes)) for earlier in open_runs]
    blocking = [way for way in ways if way.repeats]
    touched = [way for way in ways if any(pipe_id in pipes for pipe_id in way.run.record.start.pipe_ids)]
    if run.afresh or policy == "ignore":
        if blocking:
            _log.warning("%s. This run starts anew, and appends again.", ". ".join(way.description for way in blocking))
        return Choice(supersedes=[way.run.root_run_id for way in touched])
    why = ""
    if policy == "resume" and touched:
        newest = (blocking or touched)[0]
        why = _unlike(app, newest.run, run, pipes)
        if not why and len(blocking) <= 1:
            _log.warning("%s. This run continues it.", newest.description)
            return Choice(newest.run.record.start)
    if blocking:
        raise UnfinishedRun(_refusal(blocking, why), [way.run.run_id for way in blocking])
    done = [way for way in ways if not way.run.left and set(way.run.record.start.pipe_ids) <= set(pipes)]
    left = [way for way in ways if way.run.left]
    for way in left[:1]:
        more = f" ({len(left) - 1} more)" if len(left) > 1 else ""
        _log.warning("%s%s. This run repeats nothing that it appended, and starts anew. %s", way.description, more, why)
    return Choice(supersedes=[way.run.root_run_id for way in done])


def _is_settled(earlier: Unfinished) -> bool:
    """Whether later runs did all that this run had left."""
    return not earlier.left and any(pipe_id not in earlier.succeeded for pipe_id in earlier.record.start.pipe_ids)


def _repeats(app: App, earlier: Unfinished, pipes: Mapping[str, PipeMetadata]) -> dict[str, str]:
    """Return pipe id -> entity of what this run appended, no run has appended since, and these pipes would again."""
    found: dict[str, str] = {}
    for pipe_id in earlier.record.start.pipe_ids:
        pipe = pipes.get(pipe_id)
        if pipe is None or pipe_id in earlier.since or not appends(app, pipe):
            continue
        entity_id = str(pipe.output_entity_id)
        # A run that was killed between a commit and its mark: the table knows.
        if pipe_id in earlier.succeeded or newest_transaction(app, entity_id, f"{earlier.root_run_id}/{pipe_id}"):
            found[pipe_id] = entity_id
    return found


def appends(app: App, pipe: PipeMetadata) -> bool:
    """Whether running a pipe twice writes its rows twice."""
    info = app.describe_entity(pipe.output_entity_id) if pipe.output_entity_id is not None else None
    if info is None or info.write_mode != "append" or pipe.mode != "batch":
        return False
    return not app.host.call("kindling_writes_once", pipe=pipe)


def newest_transaction(app: App, entity_id: str, ending: str) -> str | None:
    """Return the newest transaction of an entity with this ending; None or "" where none is known."""
    found: str | None = app.host.call("kindling_newest_transaction", entity_id=entity_id, ending=ending)
    return found


def _unlike(app: App, earlier: Unfinished, run: RunInfo, pipes: Mapping[str, PipeMetadata]) -> str:
    """Say why a run cannot be the continuation of another; empty if it can."""
    start = earlier.record.start
    missing = sorted(set(start.pipe_ids) - set(pipes))
    further = sorted(set(pipes) - set(start.pipe_ids))
    if missing or further:
        parts = [f"without {', '.join(missing)}"] if missing else []
        parts += [f"with {', '.join(further)} besides"] if further else []
        return f"It is not continued, because this run has another selection: {', '.join(parts)}."
    if start.mode != run.mode:
        return f"It is not continued, because it has the mode {start.mode!r}."
    again = [pipe_id for pipe_id in start.pipe_ids if pipe_id in earlier.since and pipe_id not in earlier.succeeded]
    if again:
        return f"It is not continued, because {', '.join(map(repr, again))} succeeded since in another run."
    found = changes(app, start, earlier.succeeded)
    return f"It is not continued, because something changed since it started: {described(found)[1]}." if found else ""


def _refusal(blocking: Sequence[InTheWay], why: str) -> str:
    earlier = ". ".join(way.description for way in blocking)
    pipes = ", ".join(dict.fromkeys(pipe_id for way in blocking for pipe_id in way.repeats))
    resume = " and ".join(f"`kindling resume {way.run.run_id}`" for way in blocking)
    continues = "continues" if len(blocking) == 1 else "continue"
    return (
        f"{earlier}; a new run would append again with {pipes}. {why}{' ' if why else ''}{resume} {continues}, "
        f"`kindling run --afresh` starts anew (App.run(afresh=True)). See the setting state.unfinished."
    )


def _refuse_unknown(app: App, store: StateStore, pipes: Mapping[str, PipeMetadata]) -> None:
    """Refuse to append to tables that know more runs of the job than the store, which knows none."""
    found: dict[str, list[PipeMetadata]] = {}
    for pipe in pipes.values():
        if not appends(app, pipe):
            continue
        transaction = newest_transaction(app, str(pipe.output_entity_id), f"/{pipe.pipe_id}")
        run_id, _, pipe_id = (transaction or "").partition("/")
        if run_id and pipe_id == pipe.pipe_id and store.run(run_id) is None:
            found.setdefault(run_id, []).append(pipe)
    if not found:
        return
    earlier = "; ".join(
        f"run {run_id} was the last to append to {', '.join(sorted({str(pipe.output_entity_id) for pipe in wrote}))}"
        for run_id, wrote in sorted(found.items(), reverse=True)
    )
    names = [f"'!{pipe.pipe_id}'" for wrote in found.values() for pipe in wrote]
    raise UnfinishedRun(
        f"The state knows no run of the job {app.name!r}, but its tables do: {earlier}. Whether that run came to its "
        f"end is not known, and a new run would append again. Put the state back and run again. "
        f"Without it, look at the tables: if the rows of that run are all to stay, run the rest with `kindling run "
        f"{' '.join(names)}`; if new rows are to be appended, `kindling run --afresh`.",
        list(found),
    )
