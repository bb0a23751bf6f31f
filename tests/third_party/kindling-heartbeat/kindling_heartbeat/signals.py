"""The signal of this plugin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from kindling_core import SignalEmitter, SignalPayload


@dataclass
class InputRead(SignalPayload):
    """A pipe was given one of its inputs."""

    SIGNAL: ClassVar[str] = "heartbeat.input_read"

    pipe_id: Annotated[str, "the pipe"]
    entity_id: Annotated[str, "the input"]
    read_count: Annotated[int, "inputs given since the App started, this one included"]
    run_id: Annotated[str, "the run"]


class Heart(SignalEmitter):
    """Sends what this plugin has to tell."""

    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = (InputRead,)
    EMITS: ClassVar[list[str]] = [payload.SIGNAL for payload in PAYLOADS]
