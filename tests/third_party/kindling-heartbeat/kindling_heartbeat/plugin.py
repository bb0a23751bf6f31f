"""The plugin's class, named by the entry point ``heartbeat`` in the group ``kindling``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import click

from kindling_core import Check, Section, SignalEmitter, SignalPayload, WriteRequest, WriteResult, hookimpl
from kindling_entities import EntityDefinition, StorageKind
from kindling_heartbeat.storage import ArrowTables, files_of


@dataclass
class HeartbeatSent(SignalPayload):
    """A pipe has written its output, and the heart beats once."""

    SIGNAL: ClassVar[str] = "heartbeat.beat_sent"

    pipe_id: Annotated[str, "the pipe"]
    beat: Annotated[int, "how many beats this App has sent, from 1"]


class Heart(SignalEmitter):
    """Counts and sends the beats of one App."""

    PAYLOADS = (HeartbeatSent,)
    EMITS = [HeartbeatSent.SIGNAL]

    def __init__(self) -> None:
        self.beats = 0

    def beat(self, pipe_id: str) -> None:
        self.beats += 1
        self.emit(HeartbeatSent.SIGNAL, pipe_id=pipe_id, beat=self.beats)


class HeartbeatSection(Section):
    """``[heartbeat]``."""

    refuse: list[str] = []


class HeartbeatPlugin:
    """Features of a job that lists ``heartbeat``."""

    requires = ("entities",)

    def __init__(self) -> None:
        self.heart = Heart()
        self.refuse: list[str] = []

    @hookimpl
    def kindling_config(self) -> Mapping[str, type[Section]]:
        return {"heartbeat": HeartbeatSection}

    @hookimpl
    def kindling_signals(self) -> Iterable[type[SignalEmitter]]:
        return [Heart]

    @hookimpl
    def kindling_pipe_options(self) -> Mapping[str, str]:
        return {"quiet": "send no beat for this pipe"}

    @hookimpl
    def kindling_start(self, app: Any) -> None:
        self.heart.set_signal_provider(app.signals)
        self.refuse = app.config.section("heartbeat").refuse
        app.provide(Heart, self.heart)

    @hookimpl
    def kindling_before_pipe(self, pipe: Any) -> str | None:
        return "its heart is stopped" if pipe.pipe_id in self.refuse else None

    @hookimpl(wrapper=True)
    def kindling_write(self, request: WriteRequest) -> Any:
        result: WriteResult | None = yield
        if not request.pipe.options.get("quiet"):
            self.heart.beat(request.pipe.pipe_id)
        return result

    @hookimpl
    def kindling_entity_providers(self) -> Iterable[StorageKind]:
        arrow = StorageKind(
            "arrow",
            ArrowTables,
            options=frozenset(),
            write_modes=frozenset({"overwrite", "append"}),
            versioned=True,
            transactional=True,
            reads_eagerly=True,
            partitions=False,
            in_files=True,
            checks=look_at_tables,
        )
        return [arrow]

    @hookimpl
    def kindling_commands(self) -> Iterable[click.Command]:
        return [pulse]

    @hookimpl
    def kindling_checks(self, app: Any) -> Iterable[Check]:
        return [Check("ok", "heartbeat", "the heart can beat")]


def look_at_tables(places: Mapping[str, tuple[EntityDefinition, str]]) -> Iterable[Check]:
    """What `kindling doctor` says of the tables of this kind; no engine runs."""
    written = [entity_id for entity_id, (_, location) in places.items() if files_of(location)]
    return [Check("ok", "arrow tables", f"{len(written)} of {len(places)} are written")]


@click.command()
@click.pass_obj
def pulse(context: Any) -> None:
    """Say which pipes would be refused."""
    refuse = context.app().config.section("heartbeat").refuse
    context.emit({"refuse": refuse}, lambda console: console.print(f"refused: {', '.join(refuse) or 'none'}"))
