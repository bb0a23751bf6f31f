"""What ``kindling doctor`` asks the state plugin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kindling_core.checks import Check
from kindling_core.state import StateError, StateStore
from kindling_state.config import url_of

if TYPE_CHECKING:
    from kindling_core.app import App


def check(app: App, store: StateStore) -> Iterable[Check]:
    """Return whether the state can be read."""
    place = app.redact(url_of(app))
    try:
        newest = store.runs(app.name, limit=1)
    except StateError as error:
        return [Check("error", "state.url", app.redact(str(error)), "Correct state.url, or start the server.")]
    told = f"newest run {newest[0].start.run_id}: {newest[0].status}" if newest else "no run yet"
    return [Check("ok", "state.url", f"{place}, {told}")]
