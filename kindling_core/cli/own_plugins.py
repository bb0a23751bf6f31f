"""The job's own plugins, for what the command line needs of them before it knows its options."""

from __future__ import annotations

import os
from collections.abc import Sequence

from kindling_core.cli.context import CommandContext
from kindling_core.composition import own_plugins
from kindling_core.config import Config
from kindling_core.config_layers import environment_layer, file_layer
from kindling_core.errors import KindlingError, text_of
from kindling_core.logs import say
from kindling_core.plugin_sources import Source
from kindling_core.sections import JobSection


def own_sources() -> Sequence[Source]:
    """Return the job's own plugins; ``--job`` comes after a command's name, so only the usual job file can be asked."""
    path = CommandContext().job
    if not path.exists():
        return []
    try:
        config = Config([file_layer(path), environment_layer(os.environ)])
        return own_plugins(config, config.resolve("job", JobSection).plugins, path.parent.resolve())
    except KindlingError as error:
        say(f"warning: the commands of the job's own plugins are not known: {text_of(error)}")
        return []
