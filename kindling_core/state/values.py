"""The values that go in and out of a state store, and its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kindling_core.errors import KindlingError


class StateError(KindlingError):
    """The state store cannot be read or written."""


class StateConflict(StateError):
    """Somebody else has changed the record; read it again and decide anew."""


@dataclass(frozen=True)
class Record:
    """A small value of a feature.

    Attributes:
        version: 1 for a new record, one more with each change.
    """

    key: str
    value: Mapping[str, Any]
    version: int


@dataclass(frozen=True)
class Owner:
    """Who holds a lease.

    Attributes:
        owner_id: unique; the run's id.
        host: names the machine and the process namespace, so that a process id means something.
        pid, started: the process and when it began; together they name it until the machine starts again.
        description: for people, such as "job flights, run 2026..., process 17 on etl-1".
    """

    owner_id: str
    host: str
    pid: int
    started: str
    description: str


@dataclass(frozen=True)
class Lease:
    """A lease that is held.

    Attributes:
        expires_at: UTC, ISO 8601 with offset, by the clock of the store.
        token: the fencing token: it grows with each taking of the lease, so that a storage which remembers the highest
            that it has seen can refuse who held the lease before. Extending a lease keeps its token.
    """

    name: str
    owner: Owner
    expires_at: str
    token: int = 0


@dataclass(frozen=True)
class RunStart:
    """What must be known to continue a run that was killed.

    Attributes:
        root_run_id: the run that was asked for first; a resumed run keeps it, its own id elsewhere.
        resumes: the run that this run continues.
        selection: as it was given; empty for the whole job.
        pipe_ids: in plan order.
        overrides: ``section.key=value`` assignments of the command line, without secrets.
        fingerprints: pipe id -> what its declaration and code come to.
        pinned_versions: entity id -> the version that every pipe of the run reads.
        job_hash: of the job file; None where there is none.
        started_at: UTC, ISO 8601 with offset.
        depends_on: what else its rows come from, as ``dependencies`` has it: name -> text, secrets as digests.
        inputs: pipe id -> the entities that it reads, as they are declared.
        outputs: pipe id -> the entity that it writes; None for a pipe without an output.
        options: values for the options of ``kindling run`` that features add, as JSON carries them: name -> value;
            "***" for a secret and for what JSON cannot carry.
    """

    run_id: str
    root_run_id: str
    job: str
    mode: str
    started_at: str
    host: str
    pid: int
    resumes: str | None = None
    selection: Sequence[str] = ()
    pipe_ids: Sequence[str] = ()
    overrides: Sequence[str] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    pinned_versions: Mapping[str, int] = field(default_factory=dict)
    job_hash: str | None = None
    depends_on: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outputs: Mapping[str, str | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, as history has it.

    Attributes:
        status: "succeeded", "failed" or "cancelled".
    """

    run_id: str
    status: str
    ended_at: str
    duration_seconds: float
    success_count: int
    failed_count: int
    skipped_count: int
    error: str | None = None
    error_type: str | None = None


@dataclass(frozen=True)
class AttemptRecord:
    """An attempt at a pipe, or its being skipped.

    Attributes:
        attempt: from 1; 0 for a pipe that was skipped.
        status: "running", "succeeded", "failed", "retried" (failed, and tried again) or "skipped".
        started_at: UTC, ISO 8601 with offset; None for a pipe that was skipped.
        rows: written; None where the engine does not know.
        caused_by: the pipe whose failure had this pipe skipped.
        versions_read: entity id -> table version, as far as they are known.
        note: a line of whoever wrote the output.
        details: plain values of the features, as JSON carries them; bounded in size.
        ranges_read: entity id -> (start_version, version) of the inputs of which only the changes after
            ``start_version`` were read, up to ``version``.
    """

    run_id: str
    pipe_id: str
    attempt: int
    status: str
    started_at: str | None = None
    duration_seconds: float | None = None
    rows: int | None = None
    error: str | None = None
    error_type: str | None = None
    reason: str | None = None
    caused_by: str | None = None
    output_entity_id: str | None = None
    version_written: int | None = None
    versions_read: Mapping[str, int] = field(default_factory=dict)
    note: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    ranges_read: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Success:
    """That a pipe of a run has succeeded, for those that continue the run.

    Attributes:
        run_id: the run in which it did.
        version_written: of its output table; None where that has no versions.
    """

    run_id: str
    version_written: int | None = None


@dataclass(frozen=True)
class CancelRequest:
    """That somebody has asked a run to end.

    Attributes:
        by: who, for people, such as "etl on host-1, process 17".
        at: UTC, ISO 8601 with offset.
    """

    by: str
    at: str


@dataclass(frozen=True)
class RunRecord:
    """A run with what is known of its end.

    Attributes:
        status: that of its end; "running" while it has none.
        settled_by: the run that finished it or took its place; None while somebody may still have to continue it.
        cancel: who asked it to end, if anybody did.
    """

    start: RunStart
    end: RunEnd | None = None
    settled_by: str | None = None
    cancel: CancelRequest | None = None

    @property
    def status(self) -> str:
        return self.end.status if self.end is not None else "running"


@dataclass(frozen=True)
class Unfinished:
    """A run that did not come to its end, with what was done of it.

    Attributes:
        record: the run, or the newest of those that continued it.
        succeeded: pipe id -> its success in this run or in a run that continued it.
        since: pipe id -> a later run, not of these, in which the pipe has succeeded.
    """

    record: RunRecord
    succeeded: Mapping[str, Success] = field(default_factory=dict)
    since: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        return self.record.start.run_id

    @property
    def root_run_id(self) -> str:
        return self.record.start.root_run_id

    @property
    def left(self) -> list[str]:
        """The pipes that have succeeded neither in it nor since."""
        done = self.succeeded.keys() | self.since.keys()
        return [pipe_id for pipe_id in self.record.start.pipe_ids if pipe_id not in done]
