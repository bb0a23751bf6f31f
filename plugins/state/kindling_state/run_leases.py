"""What a run holds while it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from kindling_core.clock import Clock
from kindling_core.run.requests import RunInfo
from kindling_core.state import Lease, Owner, StateStore
from kindling_core.state.held_lease import LeaseKeeper
from kindling_core.state.resume import run_lease
from kindling_state.errors import LeaseHeld, LeaseLost

LOOK_SECONDS = 1.0
"""How often the process of a run looks whether somebody has asked the run to cancel."""


def lease_names(kind: str, job: str, pipe_ids: Sequence[str]) -> list[str]:
    """Return what a run has to hold, by the setting ``lease``."""
    if kind == "job":
        return [f"job:{job}"]
    return [f"pipe:{job}/{pipe_id}" for pipe_id in pipe_ids] if kind == "pipe" else []


def refusal(held: Sequence[Lease]) -> LeaseHeld:
    """Return the error that says who holds what."""
    owners = list(dict.fromkeys(lease.owner.description for lease in held))
    return LeaseHeld(
        f"{', '.join(sorted(lease.name for lease in held)[:5])} is held by {'; '.join(owners)} until "
        f"{max(lease.expires_at for lease in held)} unless it goes on. Wait with --wait, or set state.lease."
    )


class RunLeases(LeaseKeeper):
    """The leases of a run, renewed by a thread until they are released.

    Args:
        lost: called once, on that thread, when they cannot be kept.
        look: called on that thread every ``LOOK_SECONDS``.
        clock: measures how long the leases last, and when they are renewed; replaced in tests.
    """

    TAKEN = "another run has taken it"

    def __init__(
        self,
        store: StateStore,
        owner: Owner,
        names: Collection[str],
        seconds: float,
        lost: Callable[[], object],
        look: Callable[[], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            store,
            owner,
            [*names, run_lease(owner.owner_id)],
            seconds,
            f"run {owner.owner_id}",
            lost=lost,
            look=look,
            look_seconds=LOOK_SECONDS,
            clock=clock,
        )

    def check(self) -> None:
        """Raise unless the leases are held now.

        Raises:
            LeaseLost: they are not; the run may not write any more.
        """
        problem = self.problem()
        if problem is not None:
            run_id = self.owner.owner_id
            raise LeaseLost(
                f"The lease of run {run_id} is lost: {problem}. What had not been written is not written. "
                f"Run `kindling resume {run_id}` once nothing else runs."
            )


def owner_of(run: RunInfo, job: str, process: tuple[str, int, str]) -> Owner:
    """Return who a run is, for its leases."""
    host, pid, started = process
    return Owner(run.run_id, host, pid, started, f"job {job}, run {run.run_id}, process {pid}")
