"""Holds leases for as long as they are needed: takes them, renews them on a thread, gives them back."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kindling_core.clock import Bell, Clock, SystemClock, wait_until
from kindling_core.state.values import Lease, Owner, StateConflict, StateError

if TYPE_CHECKING:
    from kindling_core.state.protocol import StateStore

_log = logging.getLogger("kindling.state")
# Renewed so often within the time that a lease lasts: two renewals may fail before it is lost.
_RENEWALS = 3


class LeaseKeeper:
    """Leases of an owner, renewed by a thread until they are released.

    Args:
        names: of the leases; they are taken together.
        seconds: how long they outlive a process that was not seen to end.
        description: what holds them, for log lines, such as "run 2026...".
        lost: called once, on the thread, when they cannot be kept.
        look: called on the thread every ``look_seconds``, such as to see whether somebody wants something of the owner.
        clock: measures how long the leases last, and when they are renewed; replaced in tests.
    """

    TAKEN = "somebody else has taken it"

    def __init__(
        self,
        store: StateStore,
        owner: Owner,
        names: Collection[str],
        seconds: float,
        description: str = "",
        *,
        lost: Callable[[], object] | None = None,
        look: Callable[[], object] | None = None,
        look_seconds: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self.owner = owner
        self._names = list(names)
        self.seconds = seconds
        self._description = description or owner.description
        self._lost = lost
        self._look = look
        self._look_seconds = look_seconds
        self._clock: Clock = clock or SystemClock()
        self._until = self._clock.now()
        self._problem: str | None = None
        self._released = False
        self._bell = Bell()
        self._thread: threading.Thread | None = None

    def take(self) -> list[Lease]:
        """Take the leases; returns those of others that are in the way, and then holds nothing."""
        asked = self._clock.now()
        held = self._store.acquire(self._names, self.owner, self.seconds)
        if not held:
            self._until = asked + self.seconds
        return held

    def keep(self) -> None:
        """Begin to renew them."""
        self._thread = threading.Thread(target=self._beat, name="kindling-lease", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        pause = self.seconds / _RENEWALS
        # Looking is cheaper than renewing, which writes, so that it may come more often.
        looks = 1 if self._look is None else max(1, math.ceil(pause / self._look_seconds))
        for beat in itertools.count(1):
            if wait_until(self._clock, self._bell, lambda: self._released, pause / looks):
                return
            if self._look is not None:
                self._look_once(self._look)
            if beat % looks:
                continue
            self.renew()
            if self._problem is not None:
                if self._lost is not None:
                    self._lost()
                return

    def _look_once(self, look: Callable[[], object]) -> None:
        try:
            look()
        except Exception as error:  # noqa: BLE001 - the leases have to be renewed whatever else goes wrong
            _log.warning("Whether somebody wants something of %s is not known: %s", self._description, error)

    def renew(self) -> None:
        """Extend the leases, or note that they are lost."""
        asked = self._clock.now()
        try:
            kept = self._store.renew(self._names, self.owner.owner_id, self.seconds)
        except StateError as error:
            # What is held still counts until it expires.
            _log.warning("The leases of %s could not be renewed: %s", self._description, error)
            if self._clock.now() >= self._until:
                self._problem = f"it could not be renewed in time: {error}"
            return
        if kept:
            self._until = asked + self.seconds
        else:
            self._problem = self.TAKEN

    def problem(self) -> str | None:
        """Return why the leases are not held any more; None while they are."""
        if self._problem is None and self._clock.now() >= self._until:
            self._problem = "it was not renewed in time; this process may have been stopped for a while"
        return self._problem

    def release(self, patience_seconds: float | None = None) -> None:
        """Give the leases back.

        Args:
            patience_seconds: what takes longer goes on without being waited for; None waits.

        Raises:
            StateError: they cannot be given back, and end by themselves.
        """
        self._released = True
        self._bell.ring()
        errors: list[StateError] = []

        def give_back() -> None:
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join(self.seconds)
            try:
                self._store.release(self._names, self.owner.owner_id)
            except StateError as error:
                errors.append(error)

        giving = threading.Thread(target=give_back, name="kindling-release", daemon=True)
        giving.start()
        giving.join(patience_seconds)
        if giving.is_alive():
            _log.warning(
                "The leases of %s are not given back yet, since the state does not answer; they end by themselves "
                "within %g s.",
                self._description,
                self.seconds,
            )
        if errors:
            raise errors[0]


class HeldLease:
    """A lease that a block holds; ``StateStore.hold`` gives it.

    Attributes:
        name: of the lease.
        token: its fencing token, higher than that of everybody who held the lease before.
    """

    def __init__(self, name: str, token: int, keeper: LeaseKeeper) -> None:
        self.name = name
        self.token = token
        self._keeper = keeper

    def check(self) -> None:
        """Raise unless the lease is held now; call it before something that must not happen twice.

        Raises:
            StateConflict: it is not held any more.
        """
        problem = self._keeper.problem()
        if problem is not None:
            raise StateConflict(
                f"The lease {self.name!r} of {self._keeper.owner.description} is lost: {problem}. Somebody else may be "
                f"doing the same by now; begin again, and give a longer time if this happens often."
            )


@contextmanager
def hold_lease(
    store: StateStore, name: str, owner: Owner, ttl_seconds: float, clock: Clock | None = None
) -> Iterator[HeldLease]:
    """Hold a lease while a block lasts, by means of ``acquire``, ``renew`` and ``release``; see ``StateStore.hold``.

    Args:
        owner: who takes it; its ``owner_id`` must be unique to this block.
        clock: measures how long the leases last, and when they are renewed; replaced in tests.

    Raises:
        ValueError: the time is not positive.
        StateConflict: somebody else holds it, or it was lost before the block ended.
    """
    if not ttl_seconds > 0:
        raise ValueError(f"The lease {name!r} would last {ttl_seconds} s; give a time above 0.")
    keeper = LeaseKeeper(store, owner, [name], ttl_seconds, clock=clock)
    held = keeper.take()
    if held:
        raise StateConflict(_held(held[0]))
    try:
        mine = store.holders([name])
        if not mine or mine[0].owner.owner_id != owner.owner_id:
            raise StateConflict(_held(mine[0]) if mine else f"The lease {name!r} ended before it could be used.")
        lease = HeldLease(name, mine[0].token, keeper)
        keeper.keep()
        yield lease
        lease.check()
    finally:
        try:
            keeper.release(ttl_seconds)
        except StateError as error:
            # What the block did, or raised, counts; the lease ends by itself.
            _log.warning("The lease %r is not given back, and ends by itself within %g s: %s", name, ttl_seconds, error)


def _held(lease: Lease) -> str:
    return (
        f"The lease {lease.name!r} is held by {lease.owner.description} until {lease.expires_at} unless it goes on. "
        f"Wait until it has ended, or end it."
    )
