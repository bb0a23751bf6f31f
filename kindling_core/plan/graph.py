"""The graph of the pipes of a run, and the generations that it falls into."""

from __future__ import annotations

import graphlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

from kindling_core.errors import CycleError, PlanError, UnknownPipeError, did_you_mean
from kindling_core.pipes import DataPipesRegistry, PipeMetadata, split_version
from kindling_core.plan.entity_info import EntityInfo
from kindling_core.plan.followers import Followers

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


@dataclass(frozen=True, eq=False)
class Links:
    """What the pipes of a run read from each other.

    A run needs no more than this. Whoever looks at its plan gets a graph; making it takes a fifth of the time of a run
    whose pipes do nothing.

    Attributes:
        pipes: in the order of their registration.
        producers: pipe id -> ids of its producers, in the same order.
        makers: entity id -> ids of the pipes that write or fill it.
        needs: pipe id -> entities that must be there first.
        edges: (producer, consumer) of pipes that read nothing from each other.
    """

    pipes: Sequence[PipeMetadata]
    producers: Mapping[str, tuple[str, ...]]
    makers: Mapping[str, Sequence[str]]
    needs: Mapping[str, Sequence[str]]
    edges: Sequence[tuple[str, str]] = ()

    def graph(self) -> Graph:
        """Return them as a graph with edges producer -> consumer; its kind depends on whether there is networkx."""
        if not has_networkx():
            return {pipe_id: set(before) for pipe_id, before in self.producers.items()}
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph()
        for pipe in self.pipes:
            graph.add_node(pipe.pipe_id, metadata=pipe)
        for pipe in self.pipes:
            for entity_id in self.needs[pipe.pipe_id]:
                for maker in self.makers.get(entity_id, ()):
                    graph.add_edge(maker, pipe.pipe_id, entity_id=entity_id)
        graph.add_edges_from(edge for edge in self.edges if not graph.has_edge(*edge))
        return graph


def has_networkx() -> bool:
    """Return whether graphs are networkx's."""
    return sys.modules["networkx"] is not None if "networkx" in sys.modules else find_spec("networkx") is not None


def producers_in(graph: Graph | Links) -> Mapping[str, tuple[str, ...]]:
    """Return pipe id -> ids of its producers, whichever kind of graph this is."""
    if isinstance(graph, Links):
        return graph.producers
    # Tuples of strings, unlike lists, are nothing that the garbage collector has to look at again.
    if isinstance(graph, dict):
        return {pipe_id: tuple(sorted(before)) for pipe_id, before in graph.items()}
    return {pipe_id: tuple(graph.predecessors(pipe_id)) for pipe_id in graph}


def forward_generations(graph: Graph | Links) -> list[list[str]]:
    """Group pipes so that each comes after all of its producers, as early as possible.

    Args:
        graph: the order of its nodes is the order within a generation.

    Raises:
        CycleError: prints the cycle.
    """
    # graphlib gives the same generations, but makes an object or more for each pipe and each generation, and then
    # garbage collection keeps ten thousand pipes from planning in ten times the time of one thousand. It is left to
    # find cycles.
    producers = producers_in(graph)
    ids = list(producers)
    position = {pipe_id: place for place, pipe_id in enumerate(ids)}
    waiting_for = [len(before) for before in producers.values()]
    followers = Followers(producers, position)
    ready = [place for place, count in enumerate(waiting_for) if not count]
    generations = []
    placed = 0
    while ready:
        generations.append([ids[place] for place in ready])
        placed += len(ready)
        freed = []
        for done in ready:
            for place in followers.of(done):
                waiting_for[place] -= 1
                if not waiting_for[place]:
                    freed.append(place)
        freed.sort()
        ready = freed
    if placed < len(ids):
        left = [pipe_id for pipe_id, count in zip(ids, waiting_for, strict=True) if count]
        raise CycleError(_a_cycle({pipe_id: producers[pipe_id] for pipe_id in left}, position))
    return generations


def generations_in_mode(graph: Graph | Links, mode: ExecutionMode, streaming: Collection[str] = ()) -> list[list[str]]:
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
        links = self.connect(pipe_ids)
        forward_generations(links)
        return links.graph()

    def connect(
        self, pipe_ids: Iterable[str], added: Iterable[PipeMetadata] = (), edges: Sequence[tuple[str, str]] = ()
    ) -> Links:
        """Check and connect pipes as ``build_graph`` does, and leave it to who orders them to find cycles.

        Args:
            added: further pipes, which need not be registered.
            edges: further edges, producer -> consumer.
        """
        pipes = self._in_registration_order(self.definitions(pipe_ids, added))
        links = _linked(pipes, *self._checked(pipes))
        if not edges:
            return links
        producers = dict(links.producers)
        for first, then in edges:
            producers[then] = tuple(dict.fromkeys([*producers[then], first]))
        return replace(links, producers=producers, edges=edges)

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

    def definitions(self, pipe_ids: Iterable[str], added: Iterable[PipeMetadata] = ()) -> list[PipeMetadata]:
        """Return the pipes in the given order, each once, and then those that were added.

        Raises:
            PlanError: an id is unknown, with near matches; or an added pipe has the id of another.
        """
        try:
            found = {pipe_id: self._registry.get_pipe_definition(pipe_id) for pipe_id in dict.fromkeys(pipe_ids)}
        except UnknownPipeError as error:
            raise PlanError(str(error)) from error
        for pipe in added:
            if pipe.pipe_id in self._registry and self._registry.get_pipe_definition(pipe.pipe_id) is not pipe:
                raise PlanError(
                    f"{_described(pipe)} was added to the plan, but the job has a pipe of this id. Rename one."
                )
            found[pipe.pipe_id] = pipe
        return list(found.values())

    def check(self, pipes: Sequence[PipeMetadata]) -> None:
        """Check the inputs and outputs of the pipes of a run.

        Raises:
            PlanError: an undeclared input or output, two producers, or an output that is read only.
        """
        self._checked(pipes)

    def _checked(self, pipes: Sequence[PipeMetadata]) -> tuple[dict[str, Sequence[str]], dict[str, Sequence[str]]]:
        """Return entity id -> ids of the pipes that fill it, and pipe id -> entities that must be there first."""
        makers, by_id = _makers(pipes), {pipe.pipe_id: pipe for pipe in pipes}
        sources: dict[str, str] = {}
        described: dict[str, EntityInfo | None] = {}

        def describe(entity_id: str) -> EntityInfo | None:
            if self._describe_entity is not None and entity_id not in described:
                described[entity_id] = self._describe_entity(entity_id)
            return described.get(entity_id)

        for entity_id, pipe_ids in makers.items():
            if self._describe_entity is not None or len(pipe_ids) > 1:
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
                            f"{_described(pipe)} reads {written!r}, which no pipe of this run produces and no feature "
                            f"declares. Declare it as an entity, or select the pipe that produces it."
                            f"{self._near(entity_id, makers)}"
                        )
                    if info.written_with in makers:
                        makers[entity_id] = makers[info.written_with]
                    elif info.filled_by_reading is not None:
                        sources[entity_id] = info.filled_by_reading
            if sources:
                _add_readers(sources, makers, needs)
        return makers, needs

    def _check_output(self, entity_id: str, makers: Sequence[PipeMetadata], info: EntityInfo | None) -> None:
        if self._describe_entity is not None and info is None:
            raise PlanError(
                f"{_described(makers[0])} writes {entity_id!r}, which no feature declares. Declare it as an entity."
                f"{self._near(entity_id, ())}"
            )
        if info is not None and info.written_with is not None:
            raise PlanError(
                f"{_described(makers[0])} writes {entity_id!r}, which is written together with {info.written_with!r} "
                f"and by nothing else. Write to another entity."
            )
        if info is not None and info.filled_by_reading is not None:
            raise PlanError(
                f"{_described(makers[0])} writes {entity_id!r}, which is filled when {info.filled_by_reading!r} is "
                f"read, and by nothing else. Write to another entity."
            )
        if info is not None and info.read_only:
            raise PlanError(
                f"{_described(makers[0])} writes {entity_id!r}, which is declared as a source and only read. "
                f"Write to another entity."
            )
        if len(makers) > 1 and (info is None or info.write_mode != "append"):
            raise PlanError(
                f"{entity_id!r} has {len(makers)} producers: {', '.join(map(_described, makers))}. Give each an "
                f"entity of its own, or declare {entity_id!r} with the write mode append."
            )

    def _near(self, entity_id: str, produced: Iterable[str]) -> str:
        known = list(self._known_entities()) if self._known_entities is not None else []
        return did_you_mean(entity_id, [*known, *produced])

    def _in_registration_order(self, pipes: Sequence[PipeMetadata]) -> list[PipeMetadata]:
        position = {pipe_id: index for index, pipe_id in enumerate(self._registry.get_pipe_ids())}
        return sorted(pipes, key=lambda pipe: position.get(pipe.pipe_id, len(position)))


def _described(pipe: PipeMetadata) -> str:
    return f"pipe {pipe.pipe_id!r} ({pipe.location})" if pipe.location else f"pipe {pipe.pipe_id!r}"


def _makers(pipes: Sequence[PipeMetadata]) -> dict[str, Sequence[str]]:
    makers: dict[str, Sequence[str]] = {}
    for pipe in pipes:
        entity_id = pipe.output_entity_id
        if entity_id is None:
            continue
        others = makers.get(entity_id)
        if others is None:
            # Most have a single entry, and a tuple of strings is no work for the garbage collector.
            makers[entity_id] = (pipe.pipe_id,)
        elif isinstance(others, list):
            others.append(pipe.pipe_id)
        else:
            makers[entity_id] = [*others, pipe.pipe_id]
    return makers


def _add_readers(sources: Mapping[str, str], makers: dict[str, Sequence[str]], needs: dict[str, Sequence[str]]) -> None:
    """Make the readers of a source those that fill what its reading fills.

    Args:
        sources: what is filled -> the source whose reading fills it.
    """
    for entity_id, source in sources.items():
        makers[entity_id] = tuple(pipe_id for pipe_id, needed in needs.items() if source in needed)
    for pipe_id, needed in needs.items():
        # Who reads the source as well waits for nobody; else two such pipes would wait for each other.
        if any(name in sources and sources[name] in needed for name in needed):
            needs[pipe_id] = [name for name in needed if sources.get(name) not in needed]


def _linked(
    pipes: Sequence[PipeMetadata], makers: Mapping[str, Sequence[str]], needs: Mapping[str, Sequence[str]]
) -> Links:
    producers: dict[str, tuple[str, ...]] = {}
    for pipe in pipes:
        found = [maker for entity_id in needs[pipe.pipe_id] for maker in makers.get(entity_id, ())]
        producers[pipe.pipe_id] = tuple(dict.fromkeys(found) if len(found) > 1 else found)
    return Links(pipes, producers, makers, needs)


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
