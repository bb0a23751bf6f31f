"""Which pipe starts next, and which are skipped: a ready queue with priorities and pools.

Pure bookkeeping, without threads or clocks; whoever runs the pipes holds a lock around it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from kindling_core._edges import Followers
from kindling_core.graph import ExecutionMode
from kindling_core.pipes import split_version
from kindling_core.plan import ExecutionPlan


@dataclass(frozen=True)
class Schedule:
    """What a run has to keep to.

    Attributes:
        pipe_ids: in an order that keeps to ``waits_for``.
        waits_for: pipe id -> pipes that must have ended before it starts.
        needs: pipe id -> pipes that must not have failed, each of which comes before it.
        remaining: pipe id -> seconds from its start to the end of the longest chain of pipes that wait for it.
    """

    pipe_ids: Sequence[str]
    waits_for: Mapping[str, Collection[str]]
    needs: Mapping[str, Collection[str]]
    remaining: Mapping[str, float] = field(default_factory=dict)

    def critical_path(self) -> list[str]:
        """Return the chain of pipes that the run cannot be shorter than, first pipe first."""
        followers: dict[str, list[str]] = {}
        for pipe_id, before in self.waits_for.items():
            for other in before:
                followers.setdefault(other, []).append(pipe_id)
        starts: Collection[str] = [pipe_id for pipe_id in self.pipe_ids if not self.waits_for.get(pipe_id)]
        path: list[str] = []
        while starts:
            path.append(max(starts, key=lambda pipe_id: self.remaining.get(pipe_id, 0.0)))
            starts = followers.get(path[-1], ())
        return path


def schedule_of(plan: ExecutionPlan, seconds: Mapping[str, float] | None = None) -> Schedule:
    """Read off a plan what waits for what.

    A failure reaches those that read, directly or not, what a pipe makes before them. A stream that is started before
    what it reads from therefore fails without it, and the other way round.

    Args:
        seconds: pipe id -> what it is expected to take; those without count as the median of the others.
    """
    ids = plan.pipe_ids
    if not plan.has_graph:
        return _in_given_order(plan)
    producers = plan.producers
    if plan.mode is ExecutionMode.BATCH:
        waits_for: Mapping[str, Collection[str]] = producers
        needs: Mapping[str, Collection[str]] = producers
    else:
        position = {pipe_id: index for index, pipe_id in enumerate(ids)}
        waits_for = _in_mode(plan, producers, position)
        needs = {
            pipe_id: [other for other in before if position[other] < position[pipe_id]]
            for pipe_id, before in producers.items()
        }
    return Schedule(ids, waits_for, needs, _remaining(ids, waits_for, seconds or {}))


def _in_given_order(plan: ExecutionPlan) -> Schedule:
    makers: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    for pipe_id, pipe in plan.pipes.items():
        read = (split_version(entity_id) for entity_id in pipe.input_entity_ids)
        needs[pipe_id] = [makers[name] for name, version in read if version is None and name in makers]
        if pipe.output_entity_id is not None:
            makers[pipe.output_entity_id] = pipe_id
    ids = list(plan.pipes)
    return Schedule(ids, {after: [before] for before, after in pairwise(ids)}, needs)


def _in_mode(
    plan: ExecutionPlan, producers: Mapping[str, Collection[str]], position: Mapping[str, int]
) -> dict[str, list[str]]:
    """Turn edges around where the consumer starts first; in a hybrid run every stream waits for all batch pipes."""
    waits_for: dict[str, list[str]] = {pipe_id: [] for pipe_id in position}
    for pipe_id, before in producers.items():
        for other in before:
            first, second = sorted((pipe_id, other), key=position.__getitem__)
            waits_for[second].append(first)
    if plan.mode is ExecutionMode.HYBRID:
        batch = [pipe_id for pipe_id in position if plan.pipes[pipe_id].mode != "streaming"]
        waited_for = {other for pipe_id in batch for other in waits_for[pipe_id]}
        last = [pipe_id for pipe_id in batch if pipe_id not in waited_for]
        for pipe_id, before in waits_for.items():
            if plan.pipes[pipe_id].mode == "streaming" and all(plan.pipes[one].mode != "streaming" for one in before):
                waits_for[pipe_id] = list(dict.fromkeys([*before, *last]))
    return waits_for


def _remaining(
    ids: Sequence[str], waits_for: Mapping[str, Collection[str]], seconds: Mapping[str, float]
) -> dict[str, float]:
    known = sorted(seconds[pipe_id] for pipe_id in ids if pipe_id in seconds)
    usual = known[len(known) // 2] if known else 1.0
    after = dict.fromkeys(ids, 0.0)
    for pipe_id in reversed(ids):
        after[pipe_id] += seconds.get(pipe_id, usual)
        longest = after[pipe_id]
        for other in waits_for.get(pipe_id, ()):
            if after[other] < longest:
                after[other] = longest
    return after


class ReadyQueue:
    """The pipes of a run that may start now, the one with the longest remaining path first.

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
        # Told apart so that nothing ends twice: what was given out, and what will never be.
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
                    # What waits for a skipped pipe waits as long as for one that runs: for all that it waits for.
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


def unordered(pipe_ids: Iterable[str]) -> Schedule:
    """Return the schedule of pipes that do not wait for each other, to be started in the given order."""
    return Schedule(list(dict.fromkeys(pipe_ids)), {}, {})
