"""What a picture shows, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kindling_core.pipes import PipeMetadata
    from kindling_core.plan import ExecutionPlan
    from kindling_core.report import RunReport


@dataclass(frozen=True)
class GraphNode:
    """One pipe.

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

    def critical_path(self) -> list[str]:
        """The chain of pipes whose durations add up to the most; empty without durations."""
        producers = self.producers()
        longest: dict[str, tuple[float, str | None]] = {}
        for node in sorted(self.nodes, key=lambda one: one.generation):
            known = [(longest[maker][0], maker) for maker in producers[node.pipe_id] if maker in longest]
            before, maker = max(known) if known else (0.0, None)
            longest[node.pipe_id] = (before + (node.duration_seconds or 0.0), maker)
        if not longest or all(total == 0 for total, _ in longest.values()):
            return []
        current: str | None = max(longest, key=lambda pipe_id: longest[pipe_id][0])
        path: list[str] = []
        while current is not None:
            path.append(current)
            current = longest[current][1]
        return path[::-1]


def picture_of(
    plan: ExecutionPlan,
    pipes: Mapping[str, PipeMetadata],
    report: RunReport | None = None,
    title: str = "pipes",
) -> GraphPicture:
    """Make the picture of a plan, with figures where there is a report."""
    ended = {pipe.pipe_id: pipe for pipe in report.pipes} if report else {}
    nodes = []
    for generation, pipe_ids in enumerate(plan.generations):
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
    subtitle = f"{len(nodes)} pipes in {len(plan.generations)} generations"
    if report is not None:
        subtitle = f"{report.status}, {subtitle}, {report.duration_seconds:.2f} s, run {report.run_id}"
    return GraphPicture(title, tuple(nodes), subtitle, report.duration_seconds if report else None)
