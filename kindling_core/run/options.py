"""The settings of a run, each with its default; the section ``[execution]`` of the job file shows the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kindling_core.run.policy import OnFailure, PipePolicy

DEFAULT_MAX_WORKERS = 4
"""Pipes that run at the same time."""


@dataclass(frozen=True)
class RunOptions:
    """How runs are scheduled, and what a failure means to them.

    Attributes:
        schedule: "ready": a pipe starts once its last producer has ended; "generation": once its generation does.
        on_failure: what a failed pipe means to the others.
        timeout_seconds: how long a run may take; None is no limit.
        grace_seconds: how long a pipe that has to stop may still run before the run goes on without it.
        cache: "auto", "always" or "never": keep in memory what several pipes read.
        pipe: the policy of each pipe; its own options change it.
        pools: pool -> how many of its pipes may run at a time.
    """

    schedule: Literal["ready", "generation"] = "ready"
    on_failure: OnFailure = OnFailure.SKIP_DOWNSTREAM
    timeout_seconds: float | None = None
    grace_seconds: float = 2.0
    cache: Literal["auto", "always", "never"] = "auto"
    pipe: PipePolicy = field(default_factory=PipePolicy)
    pools: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, limit in self.pools.items():
            if limit < 1:
                raise ValueError(f"Pool {name!r} lets {limit} pipes run at a time; it must be at least 1.")
