"""Findings of ``kindling doctor``, and those of the core itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kindling_core._version import __version__
from kindling_core.errors import KindlingError, PluginError, did_you_mean
from kindling_core.plugin_sources import LOAD_VARIABLE, discover, wanted_features

if TYPE_CHECKING:
    from kindling_core.app import App


@dataclass(frozen=True)
class Check:
    """A finding.

    Attributes:
        status: "ok", "warning" (the job may run) or "error" (it cannot).
        subject: what was looked at, such as ``java`` or ``entities.root``.
        message: what was found.
        advice: what to do about it; empty when status is "ok".
    """

    status: Literal["ok", "warning", "error"]
    subject: str
    message: str
    advice: str = ""


def check(app: App | None) -> list[Check]:
    """Look at the interpreter, at the installed plugins, and at the job unless it does not compose."""
    return [_python(), *_plugins(), *(_job(app) if app is not None else [])]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("ok", "kindling-core", f"{__version__} on Python {version} ({sys.executable})")


def _plugins() -> list[Check]:
    try:
        available = discover()
    except PluginError as error:
        return [Check("error", "plugins", str(error), "Uninstall one of the distributions.")]
    findings = []
    for name in wanted_features() or []:
        if name not in available:
            near = did_you_mean(name, discover({}))
            message = f"it names {name!r}, which is not installed.{near}"
            findings.append(Check("warning", LOAD_VARIABLE, message, "Correct the name, or leave it out."))
    for name, feature in sorted(available.items()):
        try:
            feature.load()
            findings.append(Check("ok", f"plugin {name}", f"{feature.distribution} {feature.version}"))
        except PluginError as error:
            findings.append(
                Check("warning", f"plugin {name}", str(error), f"pip install --upgrade {feature.distribution}")
            )
    return findings


def _job(app: App) -> list[Check]:
    pipe_ids = app.pipes.get_pipe_ids()
    findings = [Check("ok", "job", f"{app.name}: {len(pipe_ids)} pipes, features {', '.join(app.host.plugins)}")]
    if pipe_ids:
        try:
            app.plan()
        except KindlingError as error:
            findings.append(Check("error", "plan", str(error), "Correct the pipes named above."))
    return findings
