"""What features keep between runs: the Protocol of the state store, and the values that go in and out of it.

The feature ``state`` offers a store as ``app.service(StateStore)``. Whatever must be exact goes through hooks and
compare-and-set; history is what a receiver of signals was told, and may be incomplete.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

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
        told: for people, such as "job flights, run 2026..., process 17 on etl-1".
    """

    owner_id: str
    host: str
    pid: int
    started: str
    told: str


@dataclass(frozen=True)
class Lease:
    """A lease that is held.

    Attributes:
        expires_at: UTC, ISO 8601 with offset, by the clock of the store.
    """

    name: str
    owner: Owner
    expires_at: str


@dataclass(frozen=True)
class RunStart:
    """What must be known to continue a run that was killed.

    Attributes:
        root_run_id: the run that was asked for first; a resumed run keeps it, its own id elsewhere.
        resumes: the run that this one continues.
        selection: as it was given; empty for the whole job.
        pipe_ids: in plan order.
        overrides: ``section.key=value`` assignments of the command line, without secrets.
        fingerprints: pipe id -> what its declaration and code come to.
        pinned_versions: entity id -> the version that every pipe of the run reads.
        job_hash: of the job file; None where there is none.
        started_at: UTC, ISO 8601 with offset.
        depends_on: what else its rows come from, as ``dependencies`` has it: name -> text, secrets as digests.
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
    """One attempt at a pipe, or its being skipped.

    Attributes:
        attempt: from 1; 0 for a pipe that was skipped.
        status: "running", "succeeded", "failed", "retried" (failed, and tried again) or "skipped".
        started_at: UTC, ISO 8601 with offset; None for a pipe that was skipped.
        rows: written; None where the engine cannot tell.
        caused_by: the pipe whose failure had this one skipped.
        versions_read: entity id -> table version, as far as they are known.
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
class RunRecord:
    """A run with what is known of its end.

    Attributes:
        status: that of its end; "running" while it has none.
        settled_by: the run that finished it or took its place; None while somebody may still have to continue it.
    """

    start: RunStart
    end: RunEnd | None = None
    settled_by: str | None = None

    @property
    def status(self) -> str:
        return self.end.status if self.end is not None else "running"


@dataclass(frozen=True)
class Unfinished:
    """A run that did not come to its end, with what was done of it.

    Attributes:
        record: the run, or the newest of those that continued it.
        succeeded: pipe id -> its success in this run or in one that continued it.
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


@runtime_checkable
class StateStore(Protocol):
    """Keeps state between runs; safe on any thread and between processes.

    Every method raises StateError where the storage cannot be read or written, with what to do about it.
    """

    # Small values of features, changed by compare-and-set

    def get(self, space: str, key: str) -> Record | None:
        """Return a record; ``space`` keeps the keys of features apart."""

    def put(self, space: str, key: str, value: Mapping[str, Any], *, expected: int | None = None) -> int:
        """Write a record and return its version.

        Args:
            value: what JSON can carry.
            expected: the version that it must have now; 0: it must not exist; None: whatever it is.

        Raises:
            StateConflict: it has another version; nothing was written.
        """

    def delete(self, space: str, key: str, *, expected: int | None = None) -> bool:
        """Remove a record and tell whether there was one. Raises StateConflict as ``put`` does."""

    def scan(self, space: str, prefix: str = "") -> list[Record]:
        """Return the records whose keys begin with ``prefix``, in the order of their keys."""

    # Leases

    def acquire(self, names: Collection[str], owner: Owner, ttl_seconds: float) -> list[Lease]:
        """Take all of these leases, or none.

        A lease that has expired, or whose process is known to be dead (same host), is anybody's. Taking a lease that
        one holds already extends it.

        Returns:
            The leases of others that are in the way; empty when all were taken.
        """

    def renew(self, names: Collection[str], owner_id: str, ttl_seconds: float) -> bool:
        """Extend leases; False, and nothing is extended, if one of them is not this owner's any more."""

    def release(self, names: Collection[str], owner_id: str) -> None:
        """Give back those of these leases that are still this owner's."""

    def holders(self, names: Collection[str]) -> list[Lease]:
        """Return those of these leases that are held by somebody who is not known to be dead."""

    # Runs, exactly

    def begin_run(self, start: RunStart) -> None:
        """Write down a run before it does anything. Its id must be new."""

    def mark_succeeded(self, root_run_id: str, pipe_id: str, run_id: str, version_written: int | None = None) -> None:
        """Write down that a pipe of a run has succeeded; once written it is not changed by a second time."""

    def succeeded(self, root_run_id: str) -> dict[str, Success]:
        """Return what has succeeded of a run and all that continued it, by pipe id."""

    def unfinished(self, job: str, of_last: int = 1000) -> list[Unfinished]:
        """Return the runs of a job that did not come to a good end and are not settled, the newest first.

        Those that still run are among them, and those that died when all their pipes had succeeded.

        Args:
            of_last: look at so many of the newest runs.
        """

    def settle(self, root_run_ids: Collection[str], by_run_id: str) -> None:
        """Write down that a run finished others or took their place, each with all that continued it."""

    # Runs, as history has them

    def record(self, attempts: Sequence[AttemptRecord], ends: Sequence[RunEnd] = ()) -> None:
        """Write what happened, in one transaction; a record of the same run, pipe and attempt is replaced."""

    def run(self, run_id: str) -> RunRecord | None:
        """Return a run."""

    def runs(self, job: str | None = None, limit: int | None = 50) -> list[RunRecord]:
        """Return runs, the newest first: the one that was written down last, whatever the clocks said."""

    def attempts(self, run_id: str) -> list[AttemptRecord]:
        """Return the attempts of a run in the order in which they were recorded first."""

    def expected_seconds(self, job: str, pipe_ids: Collection[str], of_last: int = 5) -> dict[str, float]:
        """Return pipe id -> median duration of its last successful attempts in this job, for those that have any."""

    def close(self) -> None:
        """Release connections; the store opens them again if it is used again."""
