"""How a graph becomes a plan: a strategy for each execution mode."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from kindling_core.errors import PlanError
from kindling_core.pipes import PipeMetadata, split_version
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plan.graph import ExecutionMode, Links, generations_in_mode, producers_in
from kindling_core.plan.payloads import PlanCreated
from kindling_core.signals import SignalEmitter, SignalPayload, SignalProvider

if TYPE_CHECKING:
    from kindling_core.plan.graph import Graph

# The storage level that a plan recommends, by its name in Spark.
STORAGE_LEVEL = "MEMORY_AND_DISK"


class ExecutionStrategy(SignalEmitter):
    """Turns a graph into a plan and sends ``execution.plan_created``."""

    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = (PlanCreated,)
    EMITS: ClassVar[list[str]] = [payload.SIGNAL for payload in PAYLOADS]
    mode: ClassVar[ExecutionMode]

    def __init__(self, signal_provider: SignalProvider | None = None) -> None:
        super().__init__()
        if signal_provider is not None:
            self.set_signal_provider(signal_provider)

    @abstractmethod
    def streaming_pipes(self, pipes: Mapping[str, PipeMetadata]) -> Collection[str]:
        """Return the pipes that this strategy runs as streams."""

    def create_plan(
        self, graph: Graph, pipes: Sequence[PipeMetadata | str], run_id: str | None = None
    ) -> ExecutionPlan:
        """Make the plan of a run and send ``execution.plan_created``.

        Args:
            pipes: the pipes of the graph; ids are looked up in its nodes.

        Raises:
            CycleError: prints the cycle.
            PlanError: ids were given and the graph does not know their pipes.
        """
        plan = self.arrange(graph, pipes)
        self.announce(plan, run_id)
        return plan

    def arrange(self, graph: Graph | Links, pipes: Sequence[PipeMetadata | str]) -> ExecutionPlan:
        """Make the plan and send no signal."""
        metadata = _metadata_by_id(graph, pipes)
        streaming = set(self.streaming_pipes(metadata))
        generations = generations_in_mode(graph, self.mode, streaming)
        order = [pipe_id for generation in generations for pipe_id in generation]
        return ExecutionPlan(
            generations=generations,
            total_pipes=len(order),
            max_parallelism=max(map(len, generations), default=0),
            mode=self.mode,
            cache_recommendations=self._recommend(metadata, streaming),
            dependency_graph=graph,  # type: ignore[arg-type]
            pipes={pipe_id: metadata[pipe_id] for pipe_id in order if pipe_id in metadata},
            notes=_notes(order, producers_in(graph), metadata, streaming) if self._may_read_early(streaming) else [],
        )

    def announce(self, plan: ExecutionPlan, run_id: str | None) -> None:
        """Send ``execution.plan_created``."""
        self.emit(
            PlanCreated.SIGNAL,
            mode=self.mode.value,
            total_pipes=plan.total_pipes,
            generation_count=len(plan.generations),
            max_parallelism=plan.max_parallelism,
            run_id=run_id,
        )

    def _may_read_early(self, streaming: Collection[str]) -> bool:
        return bool(streaming) or self.mode is not ExecutionMode.BATCH

    def _recommend(self, pipes: Mapping[str, PipeMetadata], streaming: Collection[str]) -> dict[str, str]:
        if self.mode is ExecutionMode.STREAMING:
            return {}
        readers = Counter(
            entity_id
            for pipe_id, pipe in pipes.items()
            if pipe_id not in streaming
            for entity_id in pipe.input_entity_ids
        )
        return {entity_id: STORAGE_LEVEL for entity_id, count in readers.items() if count > 1}


class BatchExecutionStrategy(ExecutionStrategy):
    """Producers before consumers."""

    mode = ExecutionMode.BATCH

    def streaming_pipes(self, pipes: Mapping[str, PipeMetadata]) -> Collection[str]:
        """Return the pipes that are declared as streams."""
        return declared_streaming(pipes)


class StreamingExecutionStrategy(ExecutionStrategy):
    """Consumers before producers, so that each stream's reader listens before data comes."""

    mode = ExecutionMode.STREAMING

    def streaming_pipes(self, pipes: Mapping[str, PipeMetadata]) -> Collection[str]:
        """Return the pipes that are declared as streams."""
        return declared_streaming(pipes)


class HybridExecutionStrategy(ExecutionStrategy):
    """The batch pipes first, then the streaming ones in reverse order.

    Args:
        streaming_pipes: their ids.
    """

    mode = ExecutionMode.HYBRID

    def __init__(self, streaming_pipes: Collection[str], signal_provider: SignalProvider | None = None) -> None:
        super().__init__(signal_provider)
        self._streaming = set(streaming_pipes)

    def streaming_pipes(self, pipes: Mapping[str, PipeMetadata]) -> Collection[str]:
        """Return the pipes that were named."""
        return self._streaming


def strategy_for(mode: ExecutionMode, pipes: Sequence[PipeMetadata]) -> ExecutionStrategy:
    """Return the strategy of a mode; in a hybrid run the pipes that are declared as streams come last."""
    if mode is ExecutionMode.STREAMING:
        return StreamingExecutionStrategy()
    if mode is ExecutionMode.HYBRID:
        return HybridExecutionStrategy([pipe.pipe_id for pipe in pipes if pipe.mode == "streaming"])
    return BatchExecutionStrategy()


def declared_streaming(pipes: Mapping[str, PipeMetadata]) -> list[str]:
    """Return the ids of the pipes that are declared with ``mode="streaming"``."""
    return [pipe_id for pipe_id, pipe in pipes.items() if pipe.mode == "streaming"]


def _metadata_by_id(graph: Graph | Links, pipes: Sequence[PipeMetadata | str]) -> dict[str, PipeMetadata]:
    found: dict[str, PipeMetadata] = {}
    for pipe in pipes:
        if isinstance(pipe, PipeMetadata):
            found[pipe.pipe_id] = pipe
        elif isinstance(graph, dict | Links):
            continue  # this kind of graph carries no metadata; the generations need none
        elif pipe in graph:
            found[pipe] = graph.nodes[pipe]["metadata"]
        else:
            raise PlanError(f"The graph has no pipe {pipe!r}. Build it from the same pipes.")
    return found


def _notes(
    order: Sequence[str],
    producers: Mapping[str, Collection[str]],
    pipes: Mapping[str, PipeMetadata],
    streaming: Collection[str],
) -> list[str]:
    position = {pipe_id: index for index, pipe_id in enumerate(order)}
    notes = []
    for pipe_id in order:
        if pipe_id in streaming or pipe_id not in pipes:
            continue
        for producer in sorted(producers[pipe_id], key=position.__getitem__):
            if producer not in pipes:
                continue
            entity_id = pipes[producer].output_entity_id
            # What it waits for may lie beside what the other writes, such as a quarantine.
            direct = any(_without_version(name) == entity_id for name in pipes[pipe_id].input_entity_ids)
            if producer in streaming:
                notes.append(
                    f"Batch pipe {pipe_id!r} reads {entity_id!r}, which the stream {producer!r} writes: "
                    f"it reads the table as it stands."
                    if direct
                    else f"Batch pipe {pipe_id!r} depends on the stream {producer!r}: it reads tables as they stand."
                )
            elif position[producer] > position[pipe_id]:
                notes.append(
                    f"Batch pipe {pipe_id!r} runs before {producer!r}, which writes {entity_id!r}: "
                    f"it reads the table as it stands."
                    if direct
                    else f"Batch pipe {pipe_id!r} runs before {producer!r}, on which it depends: "
                    f"it reads tables as they stand."
                )
    return notes


def _without_version(entity_id: str) -> str:
    return split_version(entity_id)[0]
