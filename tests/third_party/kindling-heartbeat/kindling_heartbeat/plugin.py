"""The plugin's class, named by the entry point ``heartbeat`` in the group ``kindling``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from kindling_core import App, Check, PipeMetadata, ReadRequest, RunInfo, Section, SignalEmitter, hookimpl
from kindling_heartbeat.signals import Heart

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from kindling_entities import Engine, StorageProvider


class HeartbeatConfig(Section):
    """``[heartbeat]``."""

    pause_file: str = Field("PAUSE", description="while this file exists every pipe is skipped")


class HeartbeatPlugin:
    """Tells each read, skips pipes while the job is paused, and keeps entities as Arrow files."""

    requires = ("entities",)

    def __init__(self) -> None:
        self._heart = Heart()
        self._reads = itertools.count(1)
        self._pause_file = Path()

    @hookimpl
    def kindling_config(self) -> Mapping[str, type[BaseModel]]:
        return {"heartbeat": HeartbeatConfig}

    @hookimpl
    def kindling_signals(self) -> Iterable[type[SignalEmitter]]:
        return [Heart]

    @hookimpl
    def kindling_start(self, app: App) -> None:
        self._heart.set_signal_provider(app.signals)
        self._pause_file = _pause_file(app)

    @hookimpl
    def kindling_before_pipe(self, pipe: PipeMetadata, run: RunInfo) -> str | None:
        return f"paused by {self._pause_file}" if self._pause_file.exists() else None

    @hookimpl(wrapper=True)
    def kindling_read(self, request: ReadRequest) -> Generator[None, Any, Any]:
        frame = yield
        self._heart.emit(
            "heartbeat.input_read",
            pipe_id=request.pipe.pipe_id,
            entity_id=request.entity_id,
            read_count=next(self._reads),
            run_id=request.run.run_id,
        )
        return frame

    @hookimpl
    def kindling_entity_providers(self) -> Mapping[str, Callable[[Engine], StorageProvider]]:
        from kindling_heartbeat.storage import ArrowProvider

        return {"arrow": ArrowProvider}

    @hookimpl
    def kindling_commands(self) -> Iterable[click.Command]:
        from kindling_heartbeat.commands import heartbeat

        return [heartbeat]

    @hookimpl
    def kindling_checks(self, app: App | None) -> Iterable[Check]:
        if app is None:
            return []
        pause_file = _pause_file(app)
        if pause_file.exists():
            return [Check("warning", "heartbeat", f"the job is paused by {pause_file}", "Remove the file.")]
        return [Check("ok", "heartbeat", "the job is not paused")]


def _pause_file(app: App) -> Path:
    return app.base_dir / str(app.config.section("heartbeat").pause_file)
