"""The command line: ``kindling``. Plugins add commands through the hook ``kindling_commands``."""

from __future__ import annotations

from kindling_core.cli._context import CommandContext, job_options, json_option, printable
from kindling_core.cli._main import cli, main
from kindling_core.cli._run import run_and_report, run_options

__all__ = ["CommandContext", "cli", "job_options", "json_option", "main", "printable", "run_and_report", "run_options"]
