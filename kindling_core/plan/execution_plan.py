"""A plan: which pipes run in which generation, and what to keep in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kindling_core.errors import PlanError, did_you_mean
from kindling_core.pipes import PipeMetadata, check_pipe
from kindling_core.plan.graph import ExecutionMode, Links, producers_in

if TYPE_CHECKING:
    from kindling_core.plan.graph import Graph


class _GraphOnDemand:
    """The attribute ``dependency_graph``: what is given as Links becomes a graph when somebody looks at it."""

    def __get__(self, plan: Any, owner: type | None = None) -> Any:
        if plan is None:
            return None
        graph = _given(plan)
        if isinstance(graph, Links):
            graph = graph.graph()
            self.__set__(plan, graph)
        return graph

    def __set__(self, plan: Any, graph: Any) -> None:
        vars(plan)["dependency_graph"] = graph


def _given(plan: ExecutionPlan) -> Graph | Links | None:
    """Return what the plan was made of, as it is."""
    given: Graph | Links | None = vars(plan)["dependency_graph"]
    return given


@dataclass
class ExecutionPlan:
    """What a run will do.

    Attributes:
        generations: pipe ids in the order in which they run; empty for a run without a graph.
        max_parallelism: pipes in the largest generation.
        cache_recommendations: entity id as the pipes write it -> storage level.
        dependency_graph: networkx DiGraph, or without networkx a dict pipe id -> set of producers.
        pipes: pipe id -> declaration, in run order.
        notes: what a reader of the plan should know, such as a table that is read while a stream writes it; a feature
            adds a line to what ``kindling plan`` prints by appending to it.
        pinned_versions: entity id -> the version that every pipe reads, of what the run does not write; what a feature
            finds here when the run starts, it keeps to, and adds what is missing.
        added_pipes: pipe id -> declaration, of what features added with ``add_pipe``.
        added_edges: (pipe id, pipe id that waits for it), of what features added with ``add_edge``.
    """

    generations: list[list[str]]
    total_pipes: int
    max_parallelism: int
    mode: ExecutionMode
    cache_recommendations: dict[str, str] = field(default_factory=dict)
    dependency_graph: Graph | None = _GraphOnDemand()  # type: ignore[assignment]
    pipes: dict[str, PipeMetadata] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list)
    pinned_versions: dict[str, int] = field(default_factory=dict)
    added_pipes: dict[str, PipeMetadata] = field(default_factory=dict, repr=False)
    added_edges: list[tuple[str, str]] = field(default_factory=list)

    def add_pipe(self, pipe: PipeMetadata) -> None:
        """Have a further pipe run; for ``kindling_plan``. Its inputs and its output give it its place.

        Raises:
            PipeDefinitionError: its declaration cannot run.
            PlanError: another pipe of the plan has its id.
        """
        check_pipe(pipe)
        other = self.pipes.get(pipe.pipe_id)
        if other is pipe:
            return
        if other is not None:
            raise PlanError(
                f"The pipe {pipe.pipe_id!r} cannot be added to the plan: it has {other.name!r} "
                f"({other.location or 'unknown place'}) under this id. Give the added pipe another."
            )
        self.pipes[pipe.pipe_id] = self.added_pipes[pipe.pipe_id] = pipe

    def add_edge(self, first: str, then: str) -> None:
        """Have one pipe wait for another as if it read what that writes; for ``kindling_plan``.

        Raises:
            PlanError: the plan has no pipe of one of the ids.
        """
        for pipe_id in (first, then):
            if pipe_id not in self.pipes:
                raise PlanError(
                    f"No edge {first!r} -> {then!r}: the plan has no pipe {pipe_id!r}."
                    f"{did_you_mean(pipe_id, self.pipes)} Add the pipe first, or leave the edge out."
                )
        self.added_edges.append((first, then))

    def rearrange(self, other: ExecutionPlan) -> None:
        """Take the order of another plan of the same pipes; what features have put into this plan stays."""
        self.generations, self.total_pipes = other.generations, other.total_pipes
        self.max_parallelism, self.pipes = other.max_parallelism, other.pipes
        self.cache_recommendations = {**other.cache_recommendations, **self.cache_recommendations}
        self.dependency_graph = _given(other)  # type: ignore[assignment]
        self.notes = list(dict.fromkeys([*other.notes, *self.notes]))

    @property
    def pipe_ids(self) -> list[str]:
        """Every pipe in run order."""
        if self.generations:
            return [pipe_id for generation in self.generations for pipe_id in generation]
        return list(self.pipes)

    @property
    def has_graph(self) -> bool:
        """Whether the pipes are ordered by what they read; else they run in the given order."""
        return _given(self) is not None

    @property
    def producers(self) -> Mapping[str, tuple[str, ...]]:
        """Pipe id -> ids of the pipes of this run that it reads from; empty for a run without a graph."""
        given = _given(self)
        return producers_in(given) if given is not None else {}

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values that JSON can carry."""
        producers = self.producers
        place = {pipe_id: index for index, ids in enumerate(self.generations) for pipe_id in ids}
        return {
            "mode": ExecutionMode(self.mode).value,
            "total_pipes": self.total_pipes,
            "generation_count": len(self.generations),
            "max_parallelism": self.max_parallelism,
            "generations": [list(generation) for generation in self.generations],
            "cache_recommendations": dict(self.cache_recommendations),
            "notes": list(self.notes),
            "pipes": [
                {
                    "pipe_id": pipe_id,
                    "name": pipe.name,
                    "mode": pipe.mode,
                    "generation": place.get(pipe_id),
                    "input_entity_ids": list(pipe.input_entity_ids),
                    "output_entity_id": pipe.output_entity_id,
                    "depends_on": list(producers.get(pipe_id, ())),
                    "tags": dict(pipe.tags),
                }
                for pipe_id, pipe in self.pipes.items()
            ],
        }
