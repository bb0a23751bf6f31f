"""The payloads of the signals of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from kindling_core.signals._payload import ReceiverFailed as ReceiverFailed
from kindling_core.signals._payload import SignalPayload

RunId = Annotated[str, "the run"]
ErrorText = Annotated[str, "the error's message"]
ErrorType = Annotated[str, "the error's class"]
Succeeded = Annotated[int, "pipes that succeeded"]
Failed = Annotated[int, "pipes that failed"]


@dataclass
class PipePayload(SignalPayload):
    """Base of what is sent of a pipe."""

    pipe_id: Annotated[str, "the pipe"]
    pipe_name: Annotated[str, "its name for people"]


@dataclass
class FailedAttemptPayload(PipePayload):
    """Base of what is sent of a failed attempt at a pipe."""

    error: ErrorText
    error_type: ErrorType
    duration_seconds: Annotated[float, "since the first attempt began"]
    run_id: RunId
    attempt: Annotated[int, "the number of the attempt that failed, from 1"] = 1
    attempt_seconds: Annotated[float, "of this attempt alone, its delay not counted"] = 0.0


@dataclass
class GenerationPayload(SignalPayload):
    """Base of what is sent of a generation."""

    generation_index: Annotated[int, "from 0"]


@dataclass
class BeforeRun(SignalPayload):
    """A run is planned and about to start."""

    SIGNAL: ClassVar[str] = "datapipes.before_run"

    pipe_ids: Annotated[list[str], "the pipes in plan order"]
    pipe_count: Annotated[int, "how many"]
    run_id: RunId
    execution_mode: Annotated[str, "batch, streaming or hybrid"]
    generation_count: Annotated[int, "0 where the pipes run in the given order"]


@dataclass
class AfterRun(SignalPayload):
    """Every pipe of a run has ended and none failed."""

    SIGNAL: ClassVar[str] = "datapipes.after_run"

    pipe_ids: Annotated[list[str], "the pipes in plan order"]
    success_count: Succeeded
    failed_count: Failed
    duration_seconds: Annotated[float, "of the run"]
    run_id: RunId


@dataclass
class RunFailed(SignalPayload):
    """A run could not be planned, failed, or was cancelled."""

    SIGNAL: ClassVar[str] = "datapipes.run_failed"

    pipe_ids: Annotated[list[str], "the pipes of the run"]
    failed_pipe: Annotated[str | None, "the first that failed, None if no pipe is to blame"]
    success_count: Succeeded
    error: ErrorText
    error_type: ErrorType
    duration_seconds: Annotated[float, "of the run"]
    run_id: RunId
    failed_pipes: Annotated[list[str], "all that failed, in the order of their failures"] = field(default_factory=list)


@dataclass
class BeforePipe(PipePayload):
    """A pipe is about to read its inputs."""

    SIGNAL: ClassVar[str] = "datapipes.before_pipe"

    pipe_index: Annotated[int, "its place in the plan, from 0"]
    run_id: RunId
    attempt: Annotated[int, "from 1; sent once, with the first attempt"] = 1


@dataclass
class AfterPipe(PipePayload):
    """A pipe has succeeded and its output is written."""

    SIGNAL: ClassVar[str] = "datapipes.after_pipe"

    duration_seconds: Annotated[float, "reading, computing and writing"]
    rows_processed: Annotated[int | None, "rows written; 0 if nothing was, None if the engine does not know"]
    run_id: RunId
    attempt: Annotated[int, "the number of the attempt that succeeded, from 1"] = 1
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
class PipeRetrying(FailedAttemptPayload):
    """An attempt at a pipe has failed, and there will be another attempt."""

    SIGNAL: ClassVar[str] = "datapipes.pipe_retrying"

    max_attempts: Annotated[int, "how many there may be"] = 1
    delay_seconds: Annotated[float, "until the next attempt"] = 0.0
    will_retry: Annotated[bool, "True"] = True


@dataclass
class PipeFailed(FailedAttemptPayload):
    """A pipe has failed for good; its output is as it was."""

    SIGNAL: ClassVar[str] = "datapipes.pipe_failed"

    will_retry: Annotated[bool, "False; pipe_retrying is sent for attempts that another attempt follows"] = False
    allowed: Annotated[bool, "its failure does not fail the run"] = False
    details: Annotated[dict[str, Any], "plain values of the error, as JSON carries them, bounded in size"] = field(
        default_factory=dict
    )


@dataclass
class PipeSkipped(PipePayload):
    """A pipe of the run was not run."""

    SIGNAL: ClassVar[str] = "datapipes.pipe_skipped"

    reason: Annotated[str, "why"]
    run_id: RunId
    caused_by: Annotated[str | None, "the pipe whose failure is the reason"] = None


@dataclass
class BeforeGeneration(GenerationPayload):
    """The first pipe of a generation is about to start."""

    SIGNAL: ClassVar[str] = "execution.before_generation"

    pipe_ids: Annotated[list[str], "its pipes"]
    pipe_count: Annotated[int, "how many"]
    run_id: Annotated[str | None, "the run"]


@dataclass
class AfterGeneration(GenerationPayload):
    """The last pipe of a generation has ended."""

    SIGNAL: ClassVar[str] = "execution.after_generation"

    results: Annotated[dict[str, bool], "pipe id -> whether it succeeded, for each that was started"]
    success_count: Succeeded
    failed_count: Failed
    run_id: Annotated[str | None, "the run"]
