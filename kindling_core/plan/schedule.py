"""What a run has to keep to: which pipe waits for which, whose failure reaches it, and the longest path."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from kindling_core.pipes import split_version
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plan.graph import ExecutionMode


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
            if plan.pipes[pipe_id].mode == "streaming" and all(
                plan.pipes[producer].mode != "streaming" for producer in before
            ):
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


def unordered(pipe_ids: Iterable[str]) -> Schedule:
    """Return the schedule of pipes that do not wait for each other, to be started in the given order."""
    return Schedule(list(dict.fromkeys(pipe_ids)), {}, {})
