"""A plan: which pipes run in which generation, and what to keep in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kindling_core.pipes import PipeMetadata
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
        notes: what a reader of the plan should know, such as a table that is read while a stream writes it.
        pinned_versions: entity id -> the version that every pipe reads, of what the run does not write; what a feature
            finds here when the run starts, it keeps to, and adds what is missing.
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
