"""The graph of the pipes of a run, and the generations that it falls into."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

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


def producers_in(graph: Graph) -> dict[str, list[str]]:
    """Return pipe id -> ids of its producers, whichever kind of graph this is."""
    if isinstance(graph, dict):
        return {pipe_id: sorted(before) for pipe_id, before in graph.items()}
    return {pipe_id: list(graph.predecessors(pipe_id)) for pipe_id in graph}


def forward_generations(graph: Graph) -> list[list[str]]:
    """Group pipes so that each comes after all of its producers, as early as possible.

    Args:
        graph: the order of its nodes is the order within a generation.

    Raises:
        CycleError: prints the cycle.
    """
    # graphlib gives the same generations, but makes an object or more for each pipe and each generation, and then
    # garbage collection keeps ten thousand pipes from planning in ten times the time of one thousand. Neither
    # does this copy what networkx keeps already. graphlib is left to find cycles.
    consumers_of: Callable[[str], Iterable[str]]
    if isinstance(graph, dict):
        waiting_for = {pipe_id: len(before) for pipe_id, before in graph.items()}
        consumers: dict[str, list[str]] = {}
        for pipe_id, before in graph.items():
            for other in before:
                consumers.setdefault(other, []).append(pipe_id)
        consumers_of = lambda pipe_id: consumers.get(pipe_id, ())  # noqa: E731 - two shapes of one function
    else:
        waiting_for = {pipe_id: degree for pipe_id, degree in graph.in_degree()}  # noqa: C416 - not a mapping
        consumers_of = graph.successors
    position = {pipe_id: index for index, pipe_id in enumerate(waiting_for)}
    ready = [pipe_id for pipe_id, count in waiting_for.items() if not count]
    generations = []
    placed = 0
    while ready:
        generations.append(ready)
        placed += len(ready)
        freed = []
        for done in ready:
            for pipe_id in consumers_of(done):
                waiting_for[pipe_id] -= 1
                if not waiting_for[pipe_id]:
                    freed.append(pipe_id)
        if len(freed) > 1:
            freed.sort(key=position.__getitem__)
        ready = freed
    if placed < len(waiting_for):
        producers = producers_in(graph)
        raise CycleError(
            _a_cycle({pipe_id: producers[pipe_id] for pipe_id, count in waiting_for.items() if count}, position)
        )
    return generations


def generations_in_mode(graph: Graph, mode: ExecutionMode, streaming: Collection[str] = ()) -> list[list[str]]:
    """Return the generations in the order in which this mode runs them.

    Args:
        streaming: the pipes that a hybrid run starts last, in reverse order.

    Raises:
        CycleError: prints the cycle.
    """
    forward = forward_generations(graph)
    if mode is ExecutionMode.BATCH:
        return forward
    if mode is ExecutionMode.STREAMING:
        return forward[::-1]
    last = set(streaming)
    producers = producers_in(graph)
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
        graph = self.connect(pipe_ids)
        forward_generations(graph)
        return graph

    def connect(self, pipe_ids: Iterable[str]) -> Graph:
        """Build the graph as ``build_graph`` does, and leave it to who orders it to find cycles."""
        pipes = self._in_registration_order(self.definitions(pipe_ids))
        return _connected(pipes, *self._checked(pipes))

    def get_generations(self, graph: Graph, mode: ExecutionMode | str = ExecutionMode.BATCH) -> list[list[str]]:
        """Return sets of pipes that do not depend on each other, in the order in which this mode runs them.

        Raises:
            CycleError: prints the cycle.
        """
        mode = ExecutionMode(mode)
        streaming = (
            [pipe.pipe_id for pipe in self.definitions(graph) if pipe.mode == "streaming"]
            if mode is ExecutionMode.HYBRID
            else []
        )
        return generations_in_mode(graph, mode, streaming)

    def definitions(self, pipe_ids: Iterable[str]) -> list[PipeMetadata]:
        """Return the pipes in the given order, each once.

        Raises:
            PlanError: an id is unknown; with near matches.
        """
        try:
            return [self._registry.get_pipe_definition(pipe_id) for pipe_id in dict.fromkeys(pipe_ids)]
        except UnknownPipeError as error:
            raise PlanError(str(error)) from error

    def check(self, pipes: Sequence[PipeMetadata]) -> None:
        """Check the inputs and outputs of the pipes of one run.

        Raises:
            PlanError: an undeclared input or output, two producers, or an output that is read only.
        """
        self._checked(pipes)

    def _checked(self, pipes: Sequence[PipeMetadata]) -> tuple[dict[str, list[str]], dict[str, Sequence[str]]]:
        """Return entity id -> ids of the pipes that write it, and pipe id -> entities that must be there first."""
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
        needs: dict[str, Sequence[str]] = {pipe.pipe_id: pipe.input_entity_ids for pipe in pipes}
        if self._describe_entity is not None:
            for pipe in pipes:
                info = describe(pipe.output_entity_id) if pipe.output_entity_id is not None else None
                if info is not None and info.references:
                    others = [entity_id for entity_id in info.references if entity_id != info.entity_id]
                    needs[pipe.pipe_id] = [*pipe.input_entity_ids, *others]
                for written in needs[pipe.pipe_id]:
                    entity_id = split_version(written)[0]
                    if entity_id in makers:
                        continue
                    info = describe(entity_id)
                    if info is None:
                        raise PlanError(
                            f"{_told(pipe)} reads {written!r}, which no pipe of this run produces and no feature "
                            f"declares. Declare it as an entity, or select the pipe that produces it."
                            f"{self._near(entity_id, makers)}"
                        )
                    if info.written_with in makers:
                        makers[entity_id] = makers[info.written_with]
        return makers, needs

    def _check_output(self, entity_id: str, makers: Sequence[PipeMetadata], info: EntityInfo | None) -> None:
        if self._describe_entity is not None and info is None:
            raise PlanError(
                f"{_told(makers[0])} writes {entity_id!r}, which no feature declares. Declare it as an entity."
                f"{self._near(entity_id, ())}"
            )
        if info is not None and info.written_with is not None:
            raise PlanError(
                f"{_told(makers[0])} writes {entity_id!r}, which is written together with {info.written_with!r} "
                f"and by nothing else. Write to another entity."
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


def _connected(
    pipes: Sequence[PipeMetadata], makers: Mapping[str, Sequence[str]], needs: Mapping[str, Sequence[str]]
) -> Graph:
    try:
        import networkx as nx
    except ImportError:
        return {
            pipe.pipe_id: {maker for entity_id in needs[pipe.pipe_id] for maker in makers.get(entity_id, ())}
            for pipe in pipes
        }
    graph: nx.DiGraph[str] = nx.DiGraph()
    for pipe in pipes:
        graph.add_node(pipe.pipe_id, metadata=pipe)
    for pipe in pipes:
        for entity_id in needs[pipe.pipe_id]:
            for maker in makers.get(entity_id, ()):
                graph.add_edge(maker, pipe.pipe_id, entity_id=entity_id)
    return graph


def _among(producers: Mapping[str, Collection[str]], belongs: Callable[[str], bool]) -> dict[str, set[str]]:
    return {
        pipe_id: {other for other in before if belongs(other)}
        for pipe_id, before in producers.items()
        if belongs(pipe_id)
    }


def _a_cycle(producers: Mapping[str, Collection[str]], position: Mapping[str, int]) -> list[str]:
    """Find a cycle and start it at the pipe registered first, so that it prints the same each time."""
    cycle: list[str] = []
    try:
        graphlib.TopologicalSorter(producers).prepare()
    except graphlib.CycleError as error:
        cycle = error.args[1][:-1]
    start = min(range(len(cycle)), key=lambda index: position[cycle[index]])
    return cycle[start:] + cycle[:start]
