"""What a picture shows, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kindling_core.pipes import PipeMetadata
    from kindling_core.plan.execution_plan import ExecutionPlan
    from kindling_core.run.report import RunReport


@dataclass(frozen=True)
class GraphNode:
    """A pipe.

    Attributes:
        inputs, output: entity ids; ``x@v3`` is read as it stood and makes no edge.
        started_seconds: from the start of the run.
    """

    pipe_id: str
    inputs: tuple[str, ...]
    output: str | None
    generation: int
    status: str | None = None
    started_seconds: float | None = None
    duration_seconds: float | None = None
    rows: int | None = None
    error: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphPicture:
    """Pipes in plan order with what is known of their run."""

    title: str
    nodes: tuple[GraphNode, ...]
    subtitle: str = ""
    total_seconds: float | None = None

    def producers(self) -> dict[str, list[str]]:
        """Pipe id -> the pipes of the picture that it waits for."""
        makers: dict[str, list[str]] = {}
        for node in self.nodes:
            if node.output is not None:
                makers.setdefault(node.output, []).append(node.pipe_id)
        return {
            node.pipe_id: [maker for name in node.inputs for maker in makers.get(name, ()) if maker != node.pipe_id]
            for node in self.nodes
        }

    def sources(self) -> dict[str, list[str]]:
        """External entity -> the pipes that read it."""
        made = {node.output for node in self.nodes}
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name not in made:
                    found.setdefault(name, []).append(node.pipe_id)
        return found

    def levels(self) -> dict[str, int]:
        """Pipe id -> its column: one to the right of the last pipe that it waits for.

        In a batch run these are the generations. A streaming run starts its consumers first, yet data
        flows the same way.
        """
        return _levels(self.producers())

    def critical_path(self) -> list[str]:
        """The chain of pipes whose durations add up to the most; empty without durations."""
        producers, levels = self.producers(), self.levels()
        longest: dict[str, tuple[float, str | None]] = {}
        for node in sorted(self.nodes, key=lambda node: levels[node.pipe_id]):
            known = [(longest[maker][0], maker) for maker in producers[node.pipe_id] if maker in longest]
            before, maker = max(known) if known else (0.0, None)
            longest[node.pipe_id] = (before + (node.duration_seconds or 0.0), maker)
        if all(total == 0 for total, _ in longest.values()):
            return []
        current: str | None = max(longest, key=lambda pipe_id: longest[pipe_id][0])
        path: list[str] = []
        while current is not None:
            path.append(current)
            current = longest[current][1]
        return path[::-1]


def _levels(producers: Mapping[str, Sequence[str]]) -> dict[str, int]:
    waiting = {pipe_id: len(makers) for pipe_id, makers in producers.items()}
    consumers: dict[str, list[str]] = {}
    for pipe_id, makers in producers.items():
        for maker in makers:
            consumers.setdefault(maker, []).append(pipe_id)
    # Whoever waits for itself through others keeps level 0; planning refuses such a job, a picture need not.
    levels = dict.fromkeys(producers, 0)
    ready = [pipe_id for pipe_id, count in waiting.items() if not count]
    for pipe_id in ready:
        for consumer in consumers.get(pipe_id, ()):
            levels[consumer] = max(levels[consumer], levels[pipe_id] + 1)
            waiting[consumer] -= 1
            if not waiting[consumer]:
                ready.append(consumer)
    return levels


def picture_of(
    plan: ExecutionPlan,
    pipes: Mapping[str, PipeMetadata],
    report: RunReport | None = None,
    title: str = "pipes",
) -> GraphPicture:
    """Make the picture of a plan, with figures where there is a report.

    Args:
        pipes: the declarations of at least the pipes of the plan.
    """
    ended = {pipe.pipe_id: pipe for pipe in report.pipes} if report else {}
    nodes = []
    # A run without a graph has no generations: its pipes ran in turn.
    generations = plan.generations or [[pipe_id] for pipe_id in plan.pipe_ids]
    for generation, pipe_ids in enumerate(generations):
        for pipe_id in pipe_ids:
            pipe, end = pipes[pipe_id], ended.get(pipe_id)
            figures = (
                {
                    "status": end.status,
                    "started_seconds": end.started_seconds,
                    "duration_seconds": end.duration_seconds if end.started_seconds is not None else None,
                    "rows": end.rows,
                    "error": end.error,
                }
                if end
                else {}
            )
            nodes.append(
                GraphNode(
                    pipe_id,
                    tuple(pipe.input_entity_ids),
                    pipe.output_entity_id,
                    generation,
                    tags=dict(pipe.tags),
                    **figures,  # type: ignore[arg-type]
                )
            )
    subtitle = f"{_counted(len(nodes), 'pipe')} in {_counted(len(generations), 'generation')}"
    if not plan.generations:
        subtitle = f"{_counted(len(nodes), 'pipe')}, one after the other"
    if report is not None:
        subtitle = f"{report.status}, {subtitle}, {report.duration_seconds:.2f} s, run {report.run_id}"
    return GraphPicture(title, tuple(nodes), subtitle, report.duration_seconds if report else None)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
