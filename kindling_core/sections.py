"""The sections of the job file that the core owns."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from kindling_core.config import Section
from kindling_core.run.options import DEFAULT_MAX_WORKERS, RunOptions
from kindling_core.run.policy import OnFailure, PipePolicy, RetryPolicy


class JobSection(Section):
    """``[job]``: what runs, and the features that it runs with."""

    name: str = Field("job", description="the job's name in reports and pictures")
    modules: list[str] = Field([], description="Python modules that hold the pipes and entities")
    features: list[str] = Field([], description="the plugins that are active in this job")
    plugins: list[str] = Field([], description="module:Class of further plugins, of the job's own code")


class SignalsSection(Section):
    """``[signals]``."""

    affects_rows: ClassVar[bool] = False
    strict: bool = Field(False, description="raise when a receiver fails or a signal is misused")


class RetrySection(Section):
    """``[execution.retry]``, see ``RetryPolicy``."""

    attempts: int = Field(RetryPolicy.attempts, ge=1, description="how often a pipe is tried")
    delay_seconds: float = Field(RetryPolicy.delay_seconds, ge=0, description="before the second attempt")
    backoff_multiplier: float = Field(
        RetryPolicy.backoff_multiplier, ge=1, description="how much longer each further delay is"
    )
    max_delay_seconds: float = Field(RetryPolicy.max_delay_seconds, ge=0, description="the longest delay")
    jitter: float = Field(RetryPolicy.jitter, ge=0, le=1, description="the part of a delay that is left to chance")


class ExecutionSection(Section):
    """``[execution]``."""

    affects_rows: ClassVar[bool] = False
    max_workers: int = Field(DEFAULT_MAX_WORKERS, ge=1, description="pipes that run at the same time")
    schedule: Literal["ready", "generation"] = Field(
        RunOptions.schedule, description="a pipe starts once its last producer has ended, or once its generation may"
    )
    on_failure: OnFailure = Field(
        RunOptions.on_failure,
        description="what a failed pipe means: what depends on it is skipped, or nothing new starts",
    )
    retry: RetrySection = Field(
        default_factory=lambda: RetrySection.model_validate({}), description="of each pipe, but for its own option"
    )
    timeout_seconds: float | None = Field(RunOptions.timeout_seconds, gt=0, description="how long a run may take")
    pipe_timeout_seconds: float | None = Field(
        PipePolicy.timeout_seconds, gt=0, description="how long an attempt at a pipe may take"
    )
    grace_seconds: float = Field(
        RunOptions.grace_seconds,
        ge=0,
        description="seconds that a pipe which was asked to stop may still run, before the run goes on without it",
    )
    pools: dict[str, Annotated[int, Field(ge=1)]] = Field({}, description="pool -> its pipes that run at a time")
    cache: Literal["auto", "always", "never"] = Field(
        RunOptions.cache, description="keep what several pipes read in memory: where it pays, always, never"
    )

    def options(self) -> RunOptions:
        """Return these settings as the options of a run."""
        retry = RetryPolicy(**self.retry.model_dump())
        return RunOptions(
            schedule=self.schedule,
            on_failure=self.on_failure,
            timeout_seconds=self.timeout_seconds,
            grace_seconds=self.grace_seconds,
            cache=self.cache,
            pipe=PipePolicy(retry=retry, timeout_seconds=self.pipe_timeout_seconds),
            pools=self.pools,
        )
