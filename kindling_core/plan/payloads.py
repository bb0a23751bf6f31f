"""The payload of the signal that planning sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from kindling_core.signals._payload import ReceiverFailed as ReceiverFailed
from kindling_core.signals._payload import SignalPayload


@dataclass
class PlanCreated(SignalPayload):
    """The pipes of a run are put into order."""

    SIGNAL: ClassVar[str] = "execution.plan_created"

    mode: Annotated[str, "batch, streaming or hybrid"]
    total_pipes: Annotated[int, "pipes in the plan"]
    generation_count: Annotated[int, "generations in the plan"]
    max_parallelism: Annotated[int, "pipes of the largest generation"]
    run_id: Annotated[str | None, "the run, None for a plan that was made without a run"]
