"""The section ``[state]`` of the job file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kindling_core.config import Section
from kindling_core.errors import ConfigError

if TYPE_CHECKING:
    from kindling_core.app import App


class StateConfig(Section):
    """``[state]``."""

    affects_rows: ClassVar[bool] = False

    url: str | None = Field(
        None, description="postgresql://USER:PASSWORD@HOST/DATABASE, or sqlite:///FILE; default: a file beside the lake"
    )
    lease: Literal["job", "pipe", "none"] = Field(
        "job", description="what only one run at a time may have: the job, each of its pipes, or nothing"
    )
    lease_seconds: float = Field(
        30.0, gt=1, le=604_800, description="how long a lease outlives a process that was not seen to end"
    )
    unfinished: Literal["refuse", "resume", "ignore"] = Field(
        "refuse",
        description="what a run does about an earlier run that was not finished: refuse to append again what that run "
        "has appended, resume it, or ignore it and start anew",
    )
    poll_seconds: float = Field(
        1.0, gt=0, le=3600, description="how often a run with --wait looks whether it may start"
    )


def url_of(app: App) -> str:
    """Return where the state of a job is kept."""
    settings = app.config.section("state")
    if settings.url is not None:
        url = str(settings.url)
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            return f"sqlite:///{app.base_dir / url.removeprefix('sqlite:///')}"
        return url
    try:
        root = str(app.config.section("entities").root)
    except ConfigError:
        root = "lake"
    if "://" in root:
        return f"sqlite:///{app.base_dir / 'kindling.state.db'}"
    lake = app.base_dir / Path(root).expanduser()
    return f"sqlite:///{lake.with_name(lake.name + '.state.db')}"
