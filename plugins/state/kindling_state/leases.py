"""What a run holds while it runs, and the thread that keeps it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence

from kindling_core.run.requests import RunInfo
from kindling_core.state import Lease, Owner, StateError, StateStore
from kindling_core.state.resume import run_lease
from kindling_state.errors import LeaseHeld, LeaseLost

_log = logging.getLogger("kindling.state")


def lease_names(kind: str, job: str, pipe_ids: Sequence[str]) -> list[str]:
    """Return what a run has to hold, by the setting ``lease``."""
    if kind == "job":
        return [f"job:{job}"]
    return [f"pipe:{job}/{pipe_id}" for pipe_id in pipe_ids] if kind == "pipe" else []


def refusal(held: Sequence[Lease]) -> LeaseHeld:
    """Return the error that says who holds what."""
    owners = list(dict.fromkeys(lease.owner.told for lease in held))
    return LeaseHeld(
        f"{', '.join(sorted(lease.name for lease in held)[:5])} is held by {'; '.join(owners)} until "
        f"{max(lease.expires_at for lease in held)} unless it goes on. Wait with --wait, or set state.lease."
    )


class Hold:
    """The leases of one run, renewed by a thread until they are released.

    Args:
        lost: called once, on that thread, when they cannot be kept.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        store: StateStore,
        owner: Owner,
        names: Collection[str],
        seconds: float,
        lost: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._owner = owner
        self._names = [*names, run_lease(owner.owner_id)]
        self._seconds = seconds
        self._told_lost = lost
        self._clock = clock
        self._until = clock()
        self._reason: str | None = None
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> list[Lease]:
        """Take the leases; returns those of others that are in the way, and then holds nothing."""
        asked = self._clock()
        held = self._store.acquire(self._names, self._owner, self._seconds)
        if not held:
            self._until = asked + self._seconds
        return held

    def keep(self) -> None:
        """Begin to renew them."""
        self._thread = threading.Thread(target=self._beat, name="kindling-lease", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._released.wait(self._seconds / 3):
            self.renew()
            if self._reason is not None:
                self._told_lost()
                return

    def renew(self) -> None:
        """Extend the leases, or note that they are lost."""
        asked = self._clock()
        try:
            kept = self._store.renew(self._names, self._owner.owner_id, self._seconds)
        except StateError as error:
            # What is held still counts until it expires.
            _log.warning("The leases of run %s could not be renewed: %s", self._owner.owner_id, error)
            if self._clock() >= self._until:
                self._reason = f"it could not be renewed in time: {error}"
            return
        if kept:
            self._until = asked + self._seconds
        else:
            self._reason = "another run has taken it"

    def check(self) -> None:
        """Raise unless the leases are held now.

        Raises:
            LeaseLost: they are not; the run may not write any more.
        """
        if self._reason is None and self._clock() >= self._until:
            self._reason = "it was not renewed in time; this process may have been stopped for a while"
        if self._reason is not None:
            raise LeaseLost(
                f"The lease of run {self._owner.owner_id} is lost: {self._reason}. What had not been written is not "
                f"written. Run `kindling resume {self._owner.owner_id}` once nothing else runs."
            )

    def release(self, patience_seconds: float | None = None) -> None:
        """Give the leases back; what takes longer than the patience goes on without being waited for.

        Raises:
            StateError: they cannot be given back, and end by themselves.
        """
        self._released.set()
        errors: list[StateError] = []

        def give_back() -> None:
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join(self._seconds)
            try:
                self._store.release(self._names, self._owner.owner_id)
            except StateError as error:
                errors.append(error)

        giving = threading.Thread(target=give_back, name="kindling-release", daemon=True)
        giving.start()
        giving.join(patience_seconds)
        if giving.is_alive():
            _log.warning(
                "The leases of run %s are not given back yet, since the state does not answer; they end by themselves "
                "within %g s.",
                self._owner.owner_id,
                self._seconds,
            )
        if errors:
            raise errors[0]


def owner_of(run: RunInfo, job: str, process: tuple[str, int, str]) -> Owner:
    """Return who a run is, for its leases."""
    host, pid, started = process
    return Owner(run.run_id, host, pid, started, f"job {job}, run {run.run_id}, process {pid}")
