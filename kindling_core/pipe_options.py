"""Checks the options of pipes: each belongs to a plugin of the job, which says whether its value can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kindling_core.composition import feature_with
from kindling_core.errors import did_you_mean
from kindling_core.logs import Log
from kindling_core.pipes import PipeMetadata

if TYPE_CHECKING:
    from kindling_core.app import App


def check_pipes(app: App, pipes: Iterable[PipeMetadata], environ: Mapping[str, str] | None) -> None:
    """Have the plugins check pipes; warn of options that nobody in this job owns.

    Raises:
        PipeDefinitionError: a plugin refuses a pipe.
    """
    owned: dict[str, str] = {}
    for contributed in app.host.results("kindling_pipe_options"):
        owned.update(contributed)
    for pipe in pipes:
        for option in pipe.options:
            if option not in owned:
                _warn(app, pipe, option, owned, environ)
        app.host.call("kindling_check_pipe", app=app, pipe=pipe)


def _warn(
    app: App, pipe: PipeMetadata, option: str, owned: Mapping[str, str], environ: Mapping[str, str] | None
) -> None:
    def owns(plugin: object) -> bool:
        return option in plugin.kindling_pipe_options()  # type: ignore[attr-defined]

    owner = feature_with(owns, "kindling_pipe_options", app.host.plugins, environ)
    advice = (
        f"It belongs to the feature {owner!r}, which this job does not name."
        if owner
        else f"No installed feature knows it.{did_you_mean(option, owned)}"
    )
    Log("kindling.app").warning(
        "Pipe %r (%s): option %r has no effect. %s", pipe.pipe_id, pipe.location, option, advice
    )
