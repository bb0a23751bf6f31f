"""The errors of the state plugin."""

from __future__ import annotations

from typing import ClassVar

from kindling_core.errors import PlanError
from kindling_core.state import StateError


class LeaseHeld(PlanError):
    """Another run holds what this run needs; nothing ran."""


class StateRemoved(StateError):
    """The file of the state is not there any more, or is another."""


class LeaseLost(StateError):
    """The lease of a run expired or was taken while it ran; it may not write any more."""

    ends_run: ClassVar[bool] = True
