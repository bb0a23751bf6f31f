"""``kindling plugins``: the installed features."""

from __future__ import annotations

import click

from kindling_core.cli.context import CommandContext
from kindling_core.cli.options import job_options, json_option
from kindling_core.errors import PluginError
from kindling_core.plugin_sources import OwnPlugin, discover


@click.command()
@json_option
@job_options
@click.pass_obj
def plugins(context: CommandContext) -> None:
    """List the installed features, which of them this job runs with, what is wrong with any, and its own plugins."""
    active = context.app().host.plugins if context.job.exists() else {}
    rows = []
    for name, feature in sorted(discover().items()):
        problem = ""
        requires: list[str] = []
        try:
            requires = list(getattr(feature.load(), "requires", ()))
        except PluginError as error:
            problem = context.redact(str(error))
        rows.append(
            {
                "feature": name,
                "active": name in active,
                "distribution": feature.distribution,
                "version": feature.version,
                "requires": requires,
                "problem": problem,
            }
        )
    for name, source in active.items():
        if isinstance(source, OwnPlugin):
            rows.append(
                {
                    "feature": name,
                    "active": True,
                    "distribution": source.origin,
                    "version": "",
                    "requires": list(getattr(source.load(), "requires", ())),
                    "problem": "",
                }
            )
    render = context.table(
        ["feature", "active", "distribution", "version", "requires", "problem"],
        [["yes" if value is True else "" if value is False else value for value in row.values()] for row in rows],
    )
    context.emit(rows, render)
