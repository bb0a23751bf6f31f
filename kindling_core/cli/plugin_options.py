"""Options of ``kindling run`` that plugins add."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import click

from kindling_core.app import App
from kindling_core.cli.own_plugins import own_sources
from kindling_core.errors import PluginError, text_of
from kindling_core.logs import say
from kindling_core.plugin_sources import discover
from kindling_core.secrets import Redactor, secrets_of_environment


class CommandWithPluginOptions(click.Command):
    """A command that takes the options of every installed plugin, and of the job's own plugins."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._owners: dict[str, str] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if self._owners is None:
            self._owners = {}
            for option, owner in _options():
                if option.name is not None and option.name not in {known.name for known in self.params}:
                    self._owners[option.name] = owner
                    self.params.append(option)
        return super().get_params(ctx)

    def of_plugins(self, app: App, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that were given for options of plugins.

        Raises:
            click.UsageError: the job does not name the feature of an option.
        """
        given = {name: value for name, value in values.items() if value is not None}
        for name in given:
            owner = (self._owners or {})[name]
            if owner not in app.host.plugins:
                raise click.UsageError(
                    f"--{name.replace('_', '-')} belongs to the feature {owner!r}, which this job does not name. "
                    f"Active features: {', '.join(app.features) or 'none'}."
                )
        return given


def _options() -> Iterator[tuple[click.Option, str]]:
    """Give each option with the feature that it belongs to."""
    # No job is composed while options are looked for.
    redact = Redactor(secrets_of_environment(os.environ))
    for source in (*discover().values(), *own_sources()):
        try:
            plugin = source.make()
            options = list(plugin.kindling_run_options()) if hasattr(plugin, "kindling_run_options") else []
        except PluginError as error:
            # Named, but in nobody's way: the job may not need this plugin.
            say(redact(f"warning: {text_of(error)}"))
        except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
            say(
                redact(
                    f"warning: feature {source.name!r} of {source.origin} has no options, they fail: "
                    f"{type(error).__name__}: {text_of(error)}"
                )
            )
        else:
            yield from ((option, source.name) for option in options)
