"""Checks the options of pipes: each belongs to a plugin of the job, which says whether its value can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

from kindling_core import hooks
from kindling_core.composition import feature_with, plugin_with
from kindling_core.errors import PipeDefinitionError, did_you_mean
from kindling_core.logs import Log
from kindling_core.pipes import PipeMetadata
from kindling_core.plugin_sources import GROUP

if TYPE_CHECKING:
    from kindling_core.app import App


def check_pipes(app: App, pipes: Iterable[PipeMetadata], environ: Mapping[str, str] | None) -> None:
    """Have the plugins check pipes; warn of options that nobody in this job owns.

    Raises:
        PipeDefinitionError: a plugin refuses a pipe, or none gives an argument that its function needs.
    """
    owned: dict[str, str] = {}
    for contributed in app.host.results("kindling_pipe_options"):
        owned.update(contributed)
    arguments: dict[str, str] = {}
    for contributed in app.host.results("kindling_pipe_arguments"):
        arguments.update(contributed)
    for pipe in pipes:
        for option in pipe.options:
            if option not in owned:
                _without_owner(app, pipe, option, owned, environ)
        for name in pipe.arguments:
            if name not in arguments:
                raise PipeDefinitionError(_nobody_gives(app, pipe, name, arguments, environ))
        app.host.call("kindling_check_pipe", app=app, pipe=pipe)


def _nobody_gives(
    app: App, pipe: PipeMetadata, name: str, known: Mapping[str, str], environ: Mapping[str, str] | None
) -> str:
    def gives(plugin: object) -> bool:
        return name in plugin.kindling_pipe_arguments()  # type: ignore[attr-defined]

    owner = feature_with(gives, "kindling_pipe_arguments", app.host.plugins, environ, app.redact)
    advice = (
        f"The feature {owner!r} gives it; add it to the job's features."
        if owner
        else f"Add the input, or give the parameter a default.{did_you_mean(name, [*pipe.parameters, *known])}"
    )
    return (
        f"Pipe {pipe.pipe_id!r} ({pipe.location}): no input fills the parameter {name!r}, "
        f"and no active feature gives it. {advice}"
    )


def _without_owner(
    app: App, pipe: PipeMetadata, option: str, owned: Mapping[str, str], environ: Mapping[str, str] | None
) -> None:
    """Warn of an option that nobody in this job owns, or refuse the pipe.

    Raises:
        PipeDefinitionError: the feature that owns it says that the pipe needs it, or no installed feature owns it and
            the pipe appends: without what it asks for it might append rows that it has appended before.
    """

    def owns(plugin: object) -> bool:
        return option in plugin.kindling_pipe_options()  # type: ignore[attr-defined]

    owner = plugin_with(owns, "kindling_pipe_options", app.host.plugins, environ, app.redact)
    if owner is not None:
        name, plugin = owner
        # Through pluggy, since a hook may take fewer arguments.
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hooks)
        manager.register(plugin)
        manager.hook.kindling_check_without(app=app, pipe=pipe)
        advice = f"It belongs to the feature {name!r}, which this job does not name."
    else:
        advice = f"No installed feature knows it.{did_you_mean(option, owned)}"
        if _appends(app, pipe):
            raise PipeDefinitionError(
                f"Pipe {pipe.pipe_id!r} ({pipe.location}) appends to {pipe.output_entity_id!r}, and nothing heeds its "
                f"option {option!r}. {advice} Install the feature and name it in the job, or remove the option."
            )
    Log("kindling.app").warning(
        "Pipe %r (%s): option %r has no effect. %s", pipe.pipe_id, pipe.location, option, advice
    )


def _appends(app: App, pipe: PipeMetadata) -> bool:
    info = app.describe_entity(pipe.output_entity_id) if pipe.output_entity_id is not None else None
    return info is not None and info.write_mode == "append"
