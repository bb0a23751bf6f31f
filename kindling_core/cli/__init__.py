"""The command line: ``kindling``. Plugins add commands through the hook ``kindling_commands``."""

from __future__ import annotations

from kindling_core.cli.age import Age
from kindling_core.cli.context import CommandContext
from kindling_core.cli.main import cli, main
from kindling_core.cli.options import job_options, json_option, run_options
from kindling_core.cli.output import printable
from kindling_core.cli.plugin_options import CommandWithPluginOptions, options_of_plugins
from kindling_core.cli.run import run_and_report

__all__ = [
    "Age",
    "CommandContext",
    "CommandWithPluginOptions",
    "cli",
    "job_options",
    "json_option",
    "main",
    "options_of_plugins",
    "printable",
    "run_and_report",
    "run_options",
]
