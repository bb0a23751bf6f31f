"""Continues a run that failed or was killed, with what the state store knows of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kindling_core.errors import PlanError, did_you_mean
from kindling_core.run.cancellation import CancelToken, following
from kindling_core.run.report import RunReport
from kindling_core.state import RunRecord, RunStart, StateStore, Unfinished
from kindling_core.state.dependencies import Change, changes, described, pipes_of

if TYPE_CHECKING:
    from kindling_core.app import App


# Of runs whose ids begin alike, and of those among which a near match is looked for, so many are read.
_MOST_ALIKE = 10
_MOST_NEAR = 50


def run_lease(run_id: str) -> str:
    """Return the name of the lease that a run holds for as long as its process lives."""
    return f"run:{run_id}"


def find_run(store: StateStore, job: str, run_id: str | None = None) -> RunRecord:
    """Return a run by its id or by the unique beginning of it; the newest run of the job unless a run is named.

    Raises:
        PlanError: there is none, or several begin like that.
    """
    if run_id is None:
        newest = store.runs(job, limit=1)
        if not newest:
            raise PlanError(f"No run of the job {job!r} is known yet.")
        return newest[0]
    exact = store.run(run_id)
    if exact is not None:
        return exact
    like = store.runs(prefix=run_id, limit=_MOST_ALIKE) if run_id else []
    if len(like) == 1:
        return like[0]
    if like:
        number = f"{len(like)} runs or more" if len(like) == _MOST_ALIKE else f"{len(like)} runs"
        raise PlanError(f"{number} begin with {run_id!r}. Give more of the id, or all of it.")
    ids = [record.start.run_id for record in store.runs(limit=_MOST_NEAR)]
    raise PlanError(f"No run {run_id!r} is known.{did_you_mean(run_id, ids)} `kindling runs` lists them.")


def resumable(app: App, store: StateStore, run_id: str | None = None, *, force: bool = False) -> RunStart:
    """Return the run to continue.

    Args:
        run_id: its id, or the beginning of it; the newest run of the job if None.
        force: also if what it depends on has changed since, or another run has taken its place.

    Raises:
        PlanError: there is no such run, it succeeded, it still runs, or something has changed; see ``changes``.
    """
    # Which files a source has is known only to features that have started.
    app.start()
    record = find_run(store, app.name, run_id)
    start = record.start
    root = start.root_run_id
    if start.job != app.name:
        raise PlanError(f"Run {start.run_id} is of the job {start.job!r}, not of {app.name!r}.")
    if record.end is None and store.holders([run_lease(start.run_id)]):
        raise PlanError(f"Run {start.run_id} is still running (process {start.pid}). Wait for it, or end it first.")
    done = store.succeeded(start.root_run_id)
    waiting = {run.root_run_id: run for run in store.unfinished(app.name)}
    mine = waiting.get(root)
    finished = all(pipe_id in done for pipe_id in start.pipe_ids)
    # A run that died between its last pipe and its end has its end written down by being resumed.
    if record.status == "succeeded" or (finished and (mine is None or mine.record.end is not None)):
        others = sorted({done[pipe_id].run_id for pipe_id in start.pipe_ids if pipe_id in done} - {start.run_id})
        resumed = f", resumed by {', '.join(others)}" if others else ""
        other = next((run.run_id for run in waiting.values()), None) if run_id is None else None
        older = f" Run {other} was not finished: `kindling resume {other}`." if other is not None else ""
        raise PlanError(
            f"Run {start.run_id} has succeeded{resumed}, so that nothing is left to resume. Use `kindling run`.{older}"
        )
    if not force:
        _refuse_settled(record, mine, store)
    known = pipes_of(app, start)
    gone = [pipe_id for pipe_id in start.pipe_ids if pipe_id not in known]
    if gone:
        raise PlanError(
            f"Run {start.run_id} cannot be resumed: the job has no pipe {', '.join(map(repr, gone))} any more. "
            f"Start a new run with `kindling run`."
        )
    found = changes(app, start, done) if not force else []
    if found:
        raise PlanError(
            f"Run {start.run_id} is not resumed: {_changed(found)} Resume with --force to go on with what is there "
            f"now; what has succeeded stays as it is. Or start anew with `kindling run --afresh`. "
            f"What changed: {described(found)[1]}."
        )
    return start


def _changed(found: Sequence[Change]) -> str:
    return f"{described(found)[0]} changed since it started."


def _refuse_settled(record: RunRecord, unfinished: Unfinished | None, store: StateStore) -> None:
    """Refuse to continue a run that another has taken the place of, wholly or in some of its pipes."""
    run_id = record.start.run_id
    advice = "Use `kindling run`, or resume it with --force all the same."
    other = store.run(record.settled_by) if record.settled_by is not None else None
    if record.settled_by is not None and other is None:
        raise PlanError(
            f"Run {run_id} is not resumed: run {record.settled_by} finished it or took its place, and that run was "
            f"forgotten since. {advice}"
        )
    if other is not None and other.start.root_run_id != record.start.root_run_id:
        raise PlanError(f"Run {run_id} is not resumed: run {record.settled_by} has taken its place. {advice}")
    if unfinished is None:
        return
    again = [
        pipe_id
        for pipe_id in record.start.pipe_ids
        if pipe_id in unfinished.since and pipe_id not in unfinished.succeeded
    ]
    if again:
        pipes = ", ".join(f"{pipe_id!r} (in run {unfinished.since[pipe_id]})" for pipe_id in again)
        raise PlanError(f"Run {run_id} is not resumed: it would run {pipes} again, which succeeded since. {advice}")


def resume_run(
    app: App,
    run_id: str | None = None,
    *,
    force: bool = False,
    wait: bool = False,
    cancelled: CancelToken | threading.Event | None = None,
    options: Mapping[str, object] | None = None,
) -> RunReport:
    """Continue a failed, cancelled or killed run: what has not succeeded runs, with what the run had fixed.

    Args:
        run_id, force: see ``resumable``.
        wait: for a run that is in the way.
        cancelled: cancels the run, also before it has begun.
        options: take the place of those that the run was started with: name -> value.

    Raises:
        PluginError: no active feature keeps runs.
        PlanError: see ``resumable``.
        RunFailed: pipes failed again.
    """
    with following(cancelled, app.clock) as token, app.cancelling(token):
        app.start()
        store = app.service(StateStore)  # type: ignore[type-abstract]
        start = resumable(app, store, run_id, force=force)
        return app.run(wait=wait, resume=start, cancelled=token, options=options)
