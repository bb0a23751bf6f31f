"""What features keep between runs: the Protocol of the state store.

The feature ``state`` offers a store as ``app.service(StateStore)``, also before the App has started. Whatever must be
exact goes through hooks and compare-and-set; history is what a receiver of signals has received, and may be
incomplete. Nothing here assumes a database: records, leases and runs can be kept on any storage that has conditional
writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from kindling_core.state.held_lease import HeldLease
from kindling_core.state.values import (
    AttemptRecord,
    CancelRequest,
    Lease,
    Owner,
    Record,
    RunEnd,
    RunRecord,
    RunStart,
    Success,
    Unfinished,
)


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
        """Remove a record and return whether there was one. Raises StateConflict as ``put`` does."""

    def scan(self, space: str, prefix: str = "") -> list[Record]:
        """Return the records whose keys begin with ``prefix``, in the order of their keys."""

    def spaces(self) -> list[str]:
        """Return the spaces that have records, in order."""

    def drop_space(self, space: str) -> int:
        """Remove a space with all its records, such as that of a plugin which is not used any more.

        Returns:
            How many records there were.
        """

    # Leases

    def acquire(self, names: Collection[str], owner: Owner, ttl_seconds: float) -> list[Lease]:
        """Take all of these leases, or none.

        A lease that has expired, or whose process is known to be dead (same host), is anybody's. Taking a lease that
        the owner holds already extends it; every other taking gives it a higher fencing token, see ``Lease.token``.

        Returns:
            The leases of others that are in the way; empty when all were taken.
        """

    def renew(self, names: Collection[str], owner_id: str, ttl_seconds: float) -> bool:
        """Extend leases; False, and nothing is extended, if one of them is not this owner's any more."""

    def release(self, names: Collection[str], owner_id: str) -> None:
        """Give back those of these leases that are still this owner's."""

    def holders(self, names: Collection[str]) -> list[Lease]:
        """Return those of these leases that are held by somebody who is not known to be dead."""

    def hold(self, name: str, ttl_seconds: float, *, description: str = "") -> AbstractContextManager[HeldLease]:
        """Hold a lease while a block lasts: ``with store.hold("compact:silver.orders", 30) as lease:``.

        The lease is taken when the block begins, renewed by a thread, and given back at its end. ``lease.token`` is its
        fencing token; ``lease.check()`` raises where it is not held any more. ``hold_lease`` of ``kindling_core.state``
        makes this of the other methods.

        Args:
            name: of the lease. Names of runs begin with "run:", "job:" and "pipe:"; choose another beginning.
            ttl_seconds: how long it outlives a process that was not seen to end, in seconds.
            description: who holds it, for people. Default: the process and its host.

        Raises:
            StateConflict: somebody else holds it; names the holder. At the end of the block: it was lost meanwhile.
        """

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

    def request_cancel(self, run_id: str, by: str) -> bool:
        """Ask a run of any process to end; its own process sees that and cancels it.

        Args:
            by: who asks, for people. The first who asks is remembered.

        Returns:
            Whether it has no end yet; else nothing is written.
        """

    def cancel_request(self, run_id: str) -> CancelRequest | None:
        """Return who has asked a run to end; None where nobody has. Quick enough to be called every second."""

    def settle(self, root_run_ids: Collection[str], by_run_id: str) -> None:
        """Write down that a run finished others or took their place, each with all that continued it."""

    # Runs, as history has them

    def record(self, attempts: Sequence[AttemptRecord], ends: Sequence[RunEnd] = ()) -> None:
        """Write what happened, in one transaction; a record of the same run, pipe and attempt is replaced."""

    def run(self, run_id: str) -> RunRecord | None:
        """Return a run."""

    def runs(
        self,
        job: str | None = None,
        limit: int | None = 50,
        *,
        status: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        pipe_id: str | None = None,
        prefix: str = "",
        after: str | None = None,
    ) -> list[RunRecord]:
        """Return runs, the newest first: the run that was written down last, whatever the clocks said.

        Args:
            job: of this job alone.
            limit: at most so many; None is no limit. Only what is returned is decoded.
            status: any of "running" (no end is known), "succeeded", "failed" and "cancelled"; empty for all.
            since, until: started at or after, and before, this moment by the clock of the run; UTC without a zone.
            pipe_id: with this pipe.
            prefix: whose id begins with this.
            after: a cursor: the run id that the page before ended with; what comes after it in this order.

        Raises:
            StateError: there is no run ``after``, such as where it was forgotten meanwhile.
        """

    def attempts(self, run_id: str) -> list[AttemptRecord]:
        """Return the attempts of a run in the order in which they were recorded first."""

    def expected_seconds(self, job: str, pipe_ids: Collection[str], of_last: int = 5) -> dict[str, float]:
        """Return pipe id -> median duration of its last successful attempts in this job, for those that have any."""

    def forget(self, run_ids: Collection[str], *, dry_run: bool = False) -> list[str]:
        """Remove runs with their attempts, marks and edges, as far as nobody needs them any more.

        What stays, whoever asks: a run that is running; a run that is unfinished and not settled, with all that it
        continued and that continued it; a run whose success counts for an unfinished run; the newest run of each job,
        by which a job knows that its state is not lost.

        Args:
            dry_run: remove nothing.

        Returns:
            The runs that were removed, or would be.
        """

    def close(self) -> None:
        """Release connections; the store opens them again if it is used again."""
