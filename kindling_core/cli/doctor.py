"""``kindling doctor``: says what would stop a run, before a run does."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from kindling_core._version import __version__
from kindling_core.app import App
from kindling_core.cli.context import CommandContext
from kindling_core.cli.options import job_options, json_option
from kindling_core.doctor import Check
from kindling_core.errors import KindlingError, PluginError
from kindling_core.plugins import PluginHost, discover


@click.command()
@json_option
@job_options
@click.pass_obj
def doctor(context: CommandContext) -> None:
    """Check the installation and the job. Exit status 1 if something would stop a run."""
    app, findings = _job(context)
    findings = [*_python(), *_plugins(), *findings, *_features(app)]

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


def _python() -> list[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    return [Check("ok", "kindling-core", f"{__version__} on Python {version} ({sys.executable})")]


def _plugins() -> list[Check]:
    try:
        available = discover()
    except PluginError as error:
        return [Check("error", "plugins", str(error), "Uninstall one of the distributions.")]
    findings = []
    for name, feature in sorted(available.items()):
        try:
            feature.load()
            findings.append(Check("ok", f"plugin {name}", f"{feature.distribution} {feature.version}"))
        except PluginError as error:
            findings.append(
                Check("warning", f"plugin {name}", str(error), f"pip install --upgrade {feature.distribution}")
            )
    return findings


def _job(context: CommandContext) -> tuple[App | None, list[Check]]:
    if not context.job.exists():
        return None, [
            Check("warning", "job", f"no job file at {context.job}", "Run `kindling init`, or name one with --job.")
        ]
    try:
        app = context.app()
    except KindlingError as error:
        return None, [Check("error", "job", str(error), f"Correct {context.job}.")]
    findings = [
        Check("ok", "job", f"{app.name}: {len(app.pipes.get_pipe_ids())} pipes, features {', '.join(app.features)}")
    ]
    if app.pipes.get_pipe_ids():
        try:
            app.plan()
        except KindlingError as error:
            findings.append(Check("error", "plan", str(error), "Correct the pipes named above."))
    return app, findings


def _features(app: App | None) -> list[Check]:
    """Ask the job's features, or every installed one where there is no job that composes."""
    if app is not None:
        return [check for found in app.host.results("kindling_checks", app=app) for check in found]
    findings: list[Check] = []
    available = discover()
    for name in available:
        try:
            host = PluginHost.compose([name], available)
            findings.extend(check for found in host.results("kindling_checks", app=None) for check in found)
        except PluginError:
            continue  # a broken plugin is reported by name already; one that lacks its requirement is not in use
    return findings
