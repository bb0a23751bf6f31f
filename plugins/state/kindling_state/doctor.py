"""What ``kindling doctor`` asks the state plugin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kindling_core.doctor import Check
from kindling_core.state import StateError
from kindling_core.state.resume import run_lease
from kindling_state.config import url_of

if TYPE_CHECKING:
    from kindling_core.app import App
    from kindling_state.sql_store import SqlStateStore


def check(app: App, store: SqlStateStore) -> Iterable[Check]:
    """Return whether the state can be read and written."""
    place = app.redact(url_of(app))
    try:
        newest = store.runs(app.name, limit=1)
    except StateError as error:
        return [Check("error", "state.url", app.redact(str(error)), "Correct state.url, or start the server.")]
    if problem := store.database.unwritable():
        return [
            Check("error", "state.url", app.redact(problem), "Correct state.url, or see that the place can be written.")
        ]
    newest_run = f"newest run {newest[0].start.run_id}: {newest[0].status}" if newest else "no run yet"
    open_runs = [run for run in store.unfinished(app.name) if not store.holders([run_lease(run.run_id)])]
    unfinished = [
        Check("warning", "runs", f"run {run.run_id} was not finished", f"`kindling resume {run.run_id}` continues it.")
        for run in open_runs[:3]
        if run.left
    ]
    return [Check("ok", "state.url", f"{place}, {newest_run}"), *unfinished]
