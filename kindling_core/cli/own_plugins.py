"""What the command line asks of plugins before a job is composed, and the job's own plugins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from kindling_core.cli.context import CommandContext
from kindling_core.composition import own_plugins
from kindling_core.config import Config
from kindling_core.config_layers import environment_layer, file_layer
from kindling_core.errors import KindlingError, PluginError, text_of
from kindling_core.logs import say
from kindling_core.plugin_sources import Source
from kindling_core.secrets import Redactor, secrets_of_environment
from kindling_core.sections import JobSection


def own_sources(what: str) -> Sequence[Source]:
    """Return the job's own plugins; ``--job`` comes after a command's name, so only the usual job file can be asked.

    Args:
        what: they are asked for, for the warning.
    """
    path = CommandContext().job
    redact: Callable[[str], str] = Redactor(secrets_of_environment(os.environ))
    if not path.exists():
        return []
    try:
        config = Config([file_layer(path), environment_layer(os.environ)])
        redact = config.redact
        return own_plugins(config, config.resolve("job", JobSection).plugins, path.parent.resolve())
    except KindlingError as error:
        say(f"warning: the {what} of the job's own plugins are not known: {text_of(error, redact)}")
        return []


def contributions(sources: Iterable[Source], hook: str, what: str) -> Iterator[tuple[Source, list[Any]]]:
    """Give each plugin with what its hook returns; a plugin that fails is named in a warning, and in nobody's way.

    Args:
        what: the hook returns, for the warning.
    """
    # No job is composed yet whose secrets could be asked for.
    redact = Redactor(secrets_of_environment(os.environ))
    for source in sources:
        try:
            plugin = source.make()
            found = list(getattr(plugin, hook)()) if hasattr(plugin, hook) else []
        except PluginError as error:
            say(f"warning: {text_of(error, redact)}")
        except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
            say(
                f"warning: feature {source.name!r} of {source.origin} has no {what}, they fail: "
                f"{type(error).__name__}: {text_of(error, redact)}"
            )
        else:
            yield source, found
