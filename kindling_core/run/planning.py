"""How a run is planned: its pipes are arranged, features are asked, and what they add is arranged with the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kindling_core.errors import PipeDefinitionError, PlanError, did_you_mean
from kindling_core.pipes import PipeMetadata
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plan.graph import ExecutionMode, PipeGraphBuilder
from kindling_core.plan.strategies import ExecutionStrategy, strategy_for
from kindling_core.run.hooks import RunHooks
from kindling_core.run.options import RunOptions
from kindling_core.run.policy import PipePolicy, policies_of
from kindling_core.run.requests import RunInfo


class RunPlanner:
    """Plans runs.

    Args:
        builder: makes the graph of pipes.
        hooks: where features take part.
    """

    def __init__(self, builder: PipeGraphBuilder, hooks: RunHooks) -> None:
        self._builder = builder
        self._hooks = hooks

    def plan(
        self,
        pipe_ids: Sequence[str],
        use_graph: bool,
        mode: ExecutionMode,
        run_of: Callable[[Sequence[str]], RunInfo] | None,
    ) -> tuple[ExecutionStrategy | None, ExecutionPlan]:
        """Arrange the pipes, ask the features, and arrange them again with what those have added.

        Args:
            run_of: makes the run of pipe ids; None for a plan that is only shown.
        """
        strategy, plan = self._arrange(pipe_ids, use_graph, mode)
        if self._hooks.on_plan is not None:
            self._hooks.on_plan(plan, run_of(plan.pipe_ids) if run_of is not None else None)
            if plan.added_pipes or plan.added_edges:
                strategy, again = self._arrange(
                    pipe_ids, use_graph, mode, list(plan.added_pipes.values()), plan.added_edges
                )
                plan.rearrange(again)
        return strategy, plan

    def _arrange(
        self,
        pipe_ids: Sequence[str],
        use_graph: bool,
        mode: ExecutionMode,
        added: Sequence[PipeMetadata] = (),
        edges: Sequence[tuple[str, str]] = (),
    ) -> tuple[ExecutionStrategy | None, ExecutionPlan]:
        if isinstance(pipe_ids, str):
            raise PlanError(f"Give a list of pipe ids: [{pipe_ids!r}].")
        pipes = self._builder.definitions(pipe_ids, added)
        for pipe in pipes:
            if pipe.mode == "streaming" and self._hooks.start_stream is None:
                raise PlanError(
                    f"Pipe {pipe.pipe_id!r} is a streaming pipe, and no active feature runs those. "
                    f"pip install kindling-streaming, and add 'streaming' to the job's features."
                )
        if not use_graph:
            self._builder.check(pipes)
            _keeps_to(edges, [pipe.pipe_id for pipe in pipes])
            return None, in_given_order(pipes, mode)
        strategy = strategy_for(mode, pipes)
        return strategy, strategy.arrange(self._builder.connect(pipe_ids, added, edges), pipes)


def policies_of_plan(plan: ExecutionPlan, options: RunOptions) -> dict[str, PipePolicy]:
    """Return the policy of each pipe.

    Raises:
        PlanError: the options of a pipe are wrong.
    """
    try:
        return policies_of(plan.pipes.values(), options.pipe, options.pools)
    except PipeDefinitionError as error:
        raise PlanError(str(error)) from error


def mode_of(mode: ExecutionMode | str) -> ExecutionMode:
    try:
        return ExecutionMode(mode)
    except ValueError:
        names = [known.value for known in ExecutionMode]
        raise PlanError(
            f"Unknown execution mode {mode!r}, use one of {', '.join(names)}.{did_you_mean(str(mode), names)}"
        ) from None


def in_given_order(pipes: Sequence[PipeMetadata], mode: ExecutionMode) -> ExecutionPlan:
    return ExecutionPlan(
        generations=[],
        total_pipes=len(pipes),
        max_parallelism=min(1, len(pipes)),
        mode=mode,
        pipes={pipe.pipe_id: pipe for pipe in pipes},
    )


def _keeps_to(edges: Sequence[tuple[str, str]], order: Sequence[str]) -> None:
    """Refuse a given order in which a pipe comes before a pipe that it has to wait for."""
    for first, then in edges:
        if order.index(first) > order.index(then):
            raise PlanError(f"Pipe {then!r} has to wait for {first!r}, but is to run before it. Turn them around.")
