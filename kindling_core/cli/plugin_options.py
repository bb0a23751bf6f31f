"""Options of ``kindling run``, and of ``kindling resume``, that plugins add."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click
from click.core import ParameterSource

from kindling_core.app import App
from kindling_core.cli.own_plugins import contributions, own_sources
from kindling_core.plugin_sources import discover

# In the context of a command, since a process may run several, each for another job.
_KEY = "kindling.options_of_plugins"


class CommandWithPluginOptions(click.Command):
    """A command that takes the options of every installed plugin, and of the job's own plugins."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if _KEY not in ctx.meta:
            mine = {known.name for known in self.params}
            ctx.meta[_KEY] = {option.name: (option, owner) for option, owner in _options() if option.name not in mine}
        return [*(option for option, _ in ctx.meta[_KEY].values()), *super().get_params(ctx)]


def options_of_plugins(app: App, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of options of plugins: those that were given to the command, and the defaults of others.

    Raises:
        click.UsageError: the job does not name the feature of an option that was given.
    """
    context = click.get_current_context()
    options = context.meta[_KEY]
    given: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for name, value in values.items():
        owner = options[name][1]
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            if owner not in app.host.plugins:
                raise click.UsageError(
                    f"--{name.replace('_', '-')} belongs to the feature {owner!r}, which this job does not name. "
                    f"Active features: {', '.join(app.features) or 'none'}."
                )
            given[name] = value
        elif value is not None and owner in app.host.plugins:
            defaults[name] = value
    return given, defaults


def _options() -> Iterator[tuple[click.Option, str]]:
    """Give each option with the feature that it belongs to."""
    sources = (*discover().values(), *own_sources("options"))
    for source, options in contributions(sources, "kindling_run_options", "options"):
        yield from ((option, source.name) for option in options)
