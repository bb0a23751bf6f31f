"""The payloads of the core's own signals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from kindling_core.signals._payload import ReceiverFailed as ReceiverFailed
from kindling_core.signals._payload import SignalPayload


@dataclass
class BeforeRun(SignalPayload):
    """A run is planned and about to start."""

    SIGNAL: ClassVar[str] = "datapipes.before_run"

    pipe_ids: Annotated[list[str], "the pipes in plan order"]
    pipe_count: Annotated[int, "how many"]
    run_id: Annotated[str, "the run"]
    execution_mode: Annotated[str, "batch, streaming or hybrid"]
    generation_count: Annotated[int, "0 where the pipes run in the given order"]


@dataclass
class AfterRun(SignalPayload):
    """Every pipe of a run has ended and none failed."""

    SIGNAL: ClassVar[str] = "datapipes.after_run"

    pipe_ids: Annotated[list[str], "the pipes in plan order"]
    success_count: Annotated[int, "pipes that succeeded"]
    failed_count: Annotated[int, "pipes that failed"]
    duration_seconds: Annotated[float, "of the run"]
    run_id: Annotated[str, "the run"]


@dataclass
class RunFailed(SignalPayload):
    """A run could not be planned, failed, or was cancelled."""

    SIGNAL: ClassVar[str] = "datapipes.run_failed"

    pipe_ids: Annotated[list[str], "the pipes of the run"]
    failed_pipe: Annotated[str | None, "the first that failed, None if no pipe is to blame"]
    success_count: Annotated[int, "pipes that succeeded"]
    error: Annotated[str, "the error's message"]
    error_type: Annotated[str, "the error's class"]
    duration_seconds: Annotated[float, "of the run"]
    run_id: Annotated[str, "the run"]
    failed_pipes: Annotated[list[str], "all that failed, the first one first"] = field(default_factory=list)


@dataclass
class BeforePipe(SignalPayload):
    """A pipe is about to read its inputs."""

    SIGNAL: ClassVar[str] = "datapipes.before_pipe"

    pipe_id: Annotated[str, "the pipe"]
    pipe_name: Annotated[str, "its name for people"]
    pipe_index: Annotated[int, "its place in the plan, from 0"]
    run_id: Annotated[str, "the run"]
    attempt: Annotated[int, "from 1; sent once, with the first attempt"] = 1


@dataclass
class AfterPipe(SignalPayload):
    """A pipe has succeeded and its output is written."""

    SIGNAL: ClassVar[str] = "datapipes.after_pipe"

    pipe_id: Annotated[str, "the pipe"]
    pipe_name: Annotated[str, "its name for people"]
    duration_seconds: Annotated[float, "reading, computing and writing"]
    rows_processed: Annotated[int | None, "rows written; 0 if nothing was, None if the engine cannot tell"]
    run_id: Annotated[str, "the run"]
    attempt: Annotated[int, "the one that succeeded, from 1"] = 1
    attempt_seconds: Annotated[float, "of this attempt alone, its delay not counted"] = 0.0
    will_retry: Annotated[bool, "False"] = False
    output_entity_id: Annotated[str | None, "what it writes"] = None
    version_written: Annotated[int | None, "of the output table, None where that is not known"] = None
    versions_read: Annotated[dict[str, int], "entity id -> table version, as far as they are known"] = field(
        default_factory=dict
    )
    ranges_read: Annotated[
        dict[str, tuple[int, int]],
        "entity id -> (start_version, version) of inputs of which only the changes in between were read",
    ] = field(default_factory=dict)
    note: Annotated[str | None, "a line of whoever wrote the output"] = None
    details: Annotated[dict[str, Any], "plain values of the features, as JSON carries them, bounded in size"] = field(
        default_factory=dict
    )


@dataclass
class PipeRetrying(SignalPayload):
    """An attempt at a pipe has failed, and there will be another."""

    SIGNAL: ClassVar[str] = "datapipes.pipe_retrying"

    pipe_id: Annotated[str, "the pipe"]
    pipe_name: Annotated[str, "its name for people"]
    error: Annotated[str, "the error's message"]
    error_type: Annotated[str, "the error's class"]
    duration_seconds: Annotated[float, "since the first attempt began"]
    run_id: Annotated[str, "the run"]
    attempt: Annotated[int, "the one that failed, from 1"] = 1
    attempt_seconds: Annotated[float, "of this attempt alone, its delay not counted"] = 0.0
    max_attempts: Annotated[int, "how many there may be"] = 1
    delay_seconds: Annotated[float, "until the next one"] = 0.0
    will_retry: Annotated[bool, "True"] = True


@dataclass
class PipeFailed(SignalPayload):
    """A pipe has failed for good; its output is as it was."""

    SIGNAL: ClassVar[str] = "datapipes.pipe_failed"

    pipe_id: Annotated[str, "the pipe"]
    pipe_name: Annotated[str, "its name for people"]
    error: Annotated[str, "the error's message"]
    error_type: Annotated[str, "the error's class"]
    duration_seconds: Annotated[float, "until the failure"]
    run_id: Annotated[str, "the run"]
    attempt: Annotated[int, "the last one, from 1"] = 1
    attempt_seconds: Annotated[float, "of this attempt alone, its delay not counted"] = 0.0
    will_retry: Annotated[bool, "False; pipe_retrying tells of attempts that another one follows"] = False
    allowed: Annotated[bool, "its failure does not fail the run"] = False
    details: Annotated[dict[str, Any], "plain values of the error, as JSON carries them, bounded in size"] = field(
        default_factory=dict
    )


@dataclass
class PipeSkipped(SignalPayload):
    """A pipe of the run was not run."""

    SIGNAL: ClassVar[str] = "datapipes.pipe_skipped"

    pipe_id: Annotated[str, "the pipe"]
    pipe_name: Annotated[str, "its name for people"]
    reason: Annotated[str, "why"]
    run_id: Annotated[str, "the run"]
    caused_by: Annotated[str | None, "the pipe whose failure is the reason"] = None


@dataclass
class BeforeGeneration(SignalPayload):
    """The first pipe of a generation is about to start."""

    SIGNAL: ClassVar[str] = "execution.before_generation"

    generation_index: Annotated[int, "from 0"]
    pipe_ids: Annotated[list[str], "its pipes"]
    pipe_count: Annotated[int, "how many"]
    run_id: Annotated[str | None, "the run"]


@dataclass
class AfterGeneration(SignalPayload):
    """The last pipe of a generation has ended."""

    SIGNAL: ClassVar[str] = "execution.after_generation"

    generation_index: Annotated[int, "from 0"]
    results: Annotated[dict[str, bool], "pipe id -> whether it succeeded, for each that was started"]
    success_count: Annotated[int, "pipes that succeeded"]
    failed_count: Annotated[int, "pipes that failed"]
    run_id: Annotated[str | None, "the run"]
