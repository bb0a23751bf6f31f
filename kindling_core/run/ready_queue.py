"""The pipes that may start now: a ready queue with priorities and pools.

Pure bookkeeping, without threads or clocks; whoever runs the pipes holds a lock around it.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from kindling_core.plan.followers import Followers
from kindling_core.plan.schedule import Schedule


class ReadyQueue:
    """The pipes of a run that may start now; the pipe with the longest remaining path comes first.

    Args:
        pools: pipe id -> its pool.
        limits: pool -> how many of its pipes may run at a time.
    """

    def __init__(
        self, schedule: Schedule, pools: Mapping[str, str] | None = None, limits: Mapping[str, int] | None = None
    ) -> None:
        ids = schedule.pipe_ids
        self._ids = ids
        self._place = {pipe_id: place for place, pipe_id in enumerate(ids)}
        self._rank = [-schedule.remaining.get(pipe_id, 0.0) for pipe_id in ids]
        self._pools = dict(pools or {})
        self._free: dict[str | None, int] = {}
        self._free.update((limits or {}).items())
        self._heaps: dict[str | None, list[tuple[float, int]]] = {None: []}
        self._waiting = [len(schedule.waits_for.get(pipe_id, ())) for pipe_id in ids]
        self._followers = Followers(schedule.waits_for, self._place)
        same = schedule.needs is schedule.waits_for
        self._dependents = self._followers if same else Followers(schedule.needs, self._place)
        # Kept apart so that nothing ends twice: what was given out, and what will never be.
        self._given = [False] * len(ids)
        self._gone = [False] * len(ids)
        self._stopped = False
        self._left = len(ids)
        self._count = 0
        for place, count in enumerate(self._waiting):
            if not count:
                self._push(place)

    def __len__(self) -> int:
        """How many pipes may start, but for the limits of their pools."""
        return 0 if self._stopped else self._count

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopped

    @property
    def exhausted(self) -> bool:
        """Whether no pipe will start any more, if none is put back."""
        return self._stopped or not self._left

    def take(self) -> str | None:
        """Give out the next pipe; None if none may start now."""
        if self._stopped or not self._count:
            return None
        best: list[tuple[float, int]] | None = None
        chosen: str | None = None
        for pool, heap in self._heaps.items():
            if heap and self._free.get(pool, 1) > 0 and (best is None or heap[0] < best[0]):
                best, chosen = heap, pool
        if best is None:
            return None
        place = heapq.heappop(best)[1]
        self._count -= 1
        self._left -= 1
        self._given[place] = True
        if chosen in self._free:
            self._free[chosen] -= 1
        return self._ids[place]

    def pause(self, pipe_id: str) -> None:
        """Give a pipe's place in its pool back while it waits to be tried again."""
        pool = self._pools.get(pipe_id)
        if pool in self._free:
            self._free[pool] += 1
        self._left += 1

    def put_back(self, pipe_id: str) -> None:
        """Let a paused pipe start again."""
        self._push(self._place[pipe_id])

    def ended(self, pipe_id: str, reached: bool) -> list[str]:
        """Free what waited for a pipe that was given out.

        Args:
            reached: it did not fail; those that need it may start.

        Returns:
            The pipes that will not run because of it, in plan order.
        """
        pool = self._pools.get(pipe_id)
        if pool in self._free:
            self._free[pool] += 1
        place = self._place[pipe_id]
        skipped: list[int] = []
        if not reached:
            reached_by = [place]
            while reached_by:
                for other in self._dependents.of(reached_by.pop()):
                    if not (self._gone[other] or self._given[other]):
                        self._gone[other] = True
                        skipped.append(other)
                        reached_by.append(other)
            self._left -= len(skipped)
        done = [place]
        while done:
            for other in self._followers.of(done.pop()):
                self._waiting[other] -= 1
                if self._waiting[other]:
                    continue
                if self._gone[other]:
                    # What waits for a skipped pipe waits as if that ran: for everything that it waits for.
                    done.append(other)
                else:
                    self._push(other)
        return [self._ids[other] for other in sorted(skipped)]

    def stop(self) -> None:
        """Give out nothing any more."""
        self._stopped = True

    def _push(self, place: int) -> None:
        pool = self._pools.get(self._ids[place])
        heap = self._heaps.get(pool)
        if heap is None:
            heap = self._heaps[pool] = []
        heapq.heappush(heap, (self._rank[place], place))
        self._count += 1
