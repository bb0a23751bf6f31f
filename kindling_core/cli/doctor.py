"""``kindling doctor``: says what would stop a run, before a run does."""

from __future__ import annotations

import click
from rich.console import Console

from kindling_core.app import App
from kindling_core.cli.context import CommandContext
from kindling_core.cli.options import job_options, json_option
from kindling_core.doctor import Check
from kindling_core.errors import KindlingError, PluginError
from kindling_core.plugin_sources import discover
from kindling_core.plugins import PluginHost


@click.command()
@json_option
@job_options
@click.pass_obj
def doctor(context: CommandContext) -> None:
    """Check the installation and the job. Exit status 1 if something would stop a run."""
    app, job = _job(context)
    core, others = _checks(app)
    findings = [*core, *job, *others]

    def render(console: Console) -> None:
        marks = {"ok": "[green]ok     [/green]", "warning": "[yellow]warning[/yellow]", "error": "[red]error  [/red]"}
        for check in findings:
            console.print(f"{marks[check.status]} ", end="")
            console.print(f"{check.subject}: {context.redact(check.message)}", markup=False)
            if check.advice:
                console.print(f"          -> {context.redact(check.advice)}", markup=False)

    data = [
        {"status": c.status, "subject": c.subject, "message": context.redact(c.message), "advice": c.advice}
        for c in findings
    ]
    context.emit(data, render)
    if any(check.status == "error" for check in findings):
        raise click.exceptions.Exit(1)


def _job(context: CommandContext) -> tuple[App | None, list[Check]]:
    if not context.job.exists():
        return None, [
            Check("warning", "job", f"no job file at {context.job}", "Run `kindling init`, or name a file with --job.")
        ]
    try:
        return context.app(), []
    except KindlingError as error:
        return None, [Check("error", "job", str(error), f"Correct {context.job}.")]


def _checks(app: App | None) -> tuple[list[Check], list[Check]]:
    """Ask the core, and the plugins of the job, or every installed plugin where there is no job that composes."""
    if app is not None:
        core, *others = app.host.results("kindling_checks", app=app)
        return list(core), [check for found in others for check in found]
    core = PluginHost.compose([]).results("kindling_checks", app=None)[0]
    findings: list[Check] = []
    try:
        available = discover()
    except PluginError:
        return list(core), findings  # the core's checks name the two distributions
    for name in available:
        try:
            found = PluginHost.compose([name], available).call_one("kindling_checks", name, app=None)
        except PluginError:
            continue  # a broken plugin is reported by name already; a plugin that lacks its requirement is not in use
        findings += [check for checks in found for check in checks]
    return list(core), findings
