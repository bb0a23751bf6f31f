"""The graph of the pipes of a run, and the generations that it falls into."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from kindling_core.errors import CycleError, PlanError, UnknownPipeError, did_you_mean
from kindling_core.pipes import DataPipesRegistry, PipeMetadata, split_version
from kindling_core.requests import EntityInfo

if TYPE_CHECKING:
    import networkx as nx

    from kindling_core.signals import SignalProvider

    Graph: TypeAlias = "nx.DiGraph[str] | dict[str, set[str]]"

DescribeEntity: TypeAlias = Callable[[str], "EntityInfo | None"]


class ExecutionMode(str, Enum):
    """The order of a run: producers first, consumers first, or batch first and then streams in reverse."""

    BATCH = "batch"
    STREAMING = "streaming"
    HYBRID = "hybrid"


def networkx_available() -> bool:
    """Say whether networkx can be imported; without it pipes run one at a time."""
    try:
        import networkx  # noqa: F401
    except ImportError:
        return False
    return True


def producers_in(graph: Graph) -> dict[str, Collection[str]]:
    """Return pipe id -> ids of its producers, whichever kind of graph this is."""
    if isinstance(graph, dict):
        return dict(graph)
    # The private-looking `pred` is networkx's public adjacency view; `_pred` would save a wrapper per node.
    return {pipe_id: list(before) for pipe_id, before in graph.pred.items()}


def forward_generations(producers: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Group pipes so that each comes after all of its producers, as early as possible.

    Args:
        producers: pipe id -> ids of its producers; its order is the order within a generation.

    Raises:
        CycleError: prints the cycle.
    """
    position = {pipe_id: index for index, pipe_id in enumerate(producers)}
    sorter = graphlib.TopologicalSorter(producers)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise CycleError(_from_first_registered(error.args[1], position)) from None
    generations = []
    while sorter.is_active():
        ready = sorter.get_ready()
        generations.append(sorted(ready, key=position.__getitem__))
        sorter.done(*ready)
    return generations


def generations_in_mode(
    producers: Mapping[str, Collection[str]], mode: ExecutionMode, streaming: Collection[str] = ()
) -> list[list[str]]:
    """Return the generations in the order in which this mode runs them.

    Args:
        streaming: the pipes that a hybrid run starts last, in reverse order.

    Raises:
        CycleError: prints the cycle.
    """
    forward = forward_generations(producers)
    if mode is ExecutionMode.BATCH:
        return forward
    if mode is ExecutionMode.STREAMING:
        return forward[::-1]
    last = set(streaming)
    batch_part = forward_generations(_among(producers, lambda pipe_id: pipe_id not in last))
    streaming_part = forward_generations(_among(producers, lambda pipe_id: pipe_id in last))
    return batch_part + streaming_part[::-1]


class PipeGraphBuilder:
    """Builds the graph of the pipes of a run and checks that they fit together.

    Args:
        pipe_registry: where the pipes are declared.
        signal_provider: taken so that all parts of planning are made alike; building a graph sends nothing.
        describe_entity: returns what is known of an entity, None if it is not declared. Without it every
            input that no pipe produces is taken as external.
        known_entities: returns the ids of the declared entities, for near matches.
    """

    def __init__(
        self,
        pipe_registry: DataPipesRegistry,
        signal_provider: SignalProvider | None = None,
        *,
        describe_entity: DescribeEntity | None = None,
        known_entities: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.signal_provider = signal_provider
        self._registry = pipe_registry
        self._describe_entity = describe_entity
        self._known_entities = known_entities

    def build_graph(self, pipe_ids: Iterable[str]) -> Graph:
        """Build the graph with edges producer -> consumer; nodes stand in the order of registration.

        Returns:
            A networkx DiGraph with the node attribute ``metadata``; without networkx a dict pipe id -> set
            of producers.

        Raises:
            CycleError: prints the cycle.
            PlanError: an unknown pipe, an undeclared input, two producers, or an output that is read only.
        """
        pipes = self._in_registration_order(self.definitions(pipe_ids))
        makers = self.check(pipes)
        producers: dict[str, set[str]] = {}
        for pipe in pipes:
            producers[pipe.pipe_id] = {
                maker for entity_id in pipe.input_entity_ids for maker in makers.get(entity_id, ())
            }
        forward_generations(producers)
        try:
            import networkx as nx
        except ImportError:
            return producers
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from((pipe.pipe_id, {"metadata": pipe}) for pipe in pipes)
        for pipe in pipes:
            for entity_id in pipe.input_entity_ids:
                graph.add_edges_from(
                    (maker, pipe.pipe_id, {"entity_id": entity_id}) for maker in makers.get(entity_id, ())
                )
        return graph

    def get_generations(self, graph: Graph, mode: ExecutionMode | str = ExecutionMode.BATCH) -> list[list[str]]:
        """Return sets of pipes that do not depend on each other, in the order in which this mode runs them.

        Raises:
            CycleError: prints the cycle.
        """
        producers = producers_in(graph)
        mode = ExecutionMode(mode)
        streaming = (
            [pipe.pipe_id for pipe in self.definitions(producers) if pipe.mode == "streaming"]
            if mode is ExecutionMode.HYBRID
            else []
        )
        return generations_in_mode(producers, mode, streaming)

    def definitions(self, pipe_ids: Iterable[str]) -> list[PipeMetadata]:
        """Return the pipes in the given order, each once.

        Raises:
            PlanError: an id is unknown; with near matches.
        """
        try:
            return [self._registry.get_pipe_definition(pipe_id) for pipe_id in dict.fromkeys(pipe_ids)]
        except UnknownPipeError as error:
            raise PlanError(str(error)) from error

    def check(self, pipes: Sequence[PipeMetadata]) -> dict[str, list[str]]:
        """Check the inputs and outputs of the pipes of one run.

        Returns:
            Entity id -> ids of the pipes that produce it.

        Raises:
            PlanError: an undeclared input or output, two producers, or an output that is read only.
        """
        makers: dict[str, list[str]] = {}
        for pipe in pipes:
            if pipe.output_entity_id is not None:
                makers.setdefault(pipe.output_entity_id, []).append(pipe.pipe_id)
        by_id = {pipe.pipe_id: pipe for pipe in pipes}
        described: dict[str, EntityInfo | None] = {}

        def describe(entity_id: str) -> EntityInfo | None:
            if self._describe_entity is not None and entity_id not in described:
                described[entity_id] = self._describe_entity(entity_id)
            return described.get(entity_id)

        for entity_id, pipe_ids in makers.items():
            self._check_output(entity_id, [by_id[pipe_id] for pipe_id in pipe_ids], describe(entity_id))
        if self._describe_entity is not None:
            for pipe in pipes:
                for written in pipe.input_entity_ids:
                    entity_id = split_version(written)[0]
                    if entity_id not in makers and describe(entity_id) is None:
                        raise PlanError(
                            f"{_told(pipe)} reads {written!r}, which no pipe of this run produces and no feature "
                            f"declares. Declare it as an entity, or select the pipe that produces it."
                            f"{self._near(entity_id, makers)}"
                        )
        return makers

    def _check_output(self, entity_id: str, makers: Sequence[PipeMetadata], info: EntityInfo | None) -> None:
        if self._describe_entity is not None and info is None:
            raise PlanError(
                f"{_told(makers[0])} writes {entity_id!r}, which no feature declares. Declare it as an entity."
                f"{self._near(entity_id, ())}"
            )
        if info is not None and info.read_only:
            raise PlanError(
                f"{_told(makers[0])} writes {entity_id!r}, which is declared as a source and only read. "
                f"Write to another entity."
            )
        if len(makers) > 1 and (info is None or info.write_mode != "append"):
            raise PlanError(
                f"{entity_id!r} has {len(makers)} producers: {', '.join(map(_told, makers))}. Give each an "
                f"entity of its own, or declare {entity_id!r} with the write mode append."
            )

    def _near(self, entity_id: str, produced: Iterable[str]) -> str:
        known = list(self._known_entities()) if self._known_entities is not None else []
        return did_you_mean(entity_id, [*known, *produced])

    def _in_registration_order(self, pipes: Sequence[PipeMetadata]) -> list[PipeMetadata]:
        position = {pipe_id: index for index, pipe_id in enumerate(self._registry.get_pipe_ids())}
        return sorted(pipes, key=lambda pipe: position[pipe.pipe_id])


def _told(pipe: PipeMetadata) -> str:
    return f"pipe {pipe.pipe_id!r} ({pipe.location})" if pipe.location else f"pipe {pipe.pipe_id!r}"


def _among(producers: Mapping[str, Collection[str]], belongs: Callable[[str], bool]) -> dict[str, Collection[str]]:
    return {
        pipe_id: [other for other in before if belongs(other)]
        for pipe_id, before in producers.items()
        if belongs(pipe_id)
    }


def _from_first_registered(closed: Sequence[Any], position: Mapping[str, int]) -> list[str]:
    """Drop the repeated end of a cycle and start it where registration did, so that it prints the same each time."""
    cycle = [str(pipe_id) for pipe_id in closed[:-1]]
    start = min(range(len(cycle)), key=lambda index: position[cycle[index]])
    return cycle[start:] + cycle[:start]
