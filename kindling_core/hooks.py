"""Every extension point of the core, on one screen. Hooks change what happens; signals only say what happened.

A plugin is a class with methods marked ``@hookimpl``, named by an entry point in the group ``kindling``.
Each App makes an instance of its own, so a plugin may keep the state of its App on ``self``. Class
attributes ``requires`` and ``optional`` (lists of feature names) order the features of a job; ``hookspecs``
names the module of a plugin that has extension points of its own. A hook that raises fails what it was
called for, and the error names the plugin. Specs marked "first result" stop at the first answer that is
not None; ``@hookimpl(wrapper=True)`` goes around the others.

Specs marked ``@sets_up`` are called in the order of the features, those marked ``@takes_down`` in the opposite order
and each by itself, so that an error of a plugin keeps no other from releasing what it holds. Without a mark the last
is asked first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

if TYPE_CHECKING:
    from types import ModuleType

    import click
    from pydantic import BaseModel

    from kindling_core.app import App
    from kindling_core.doctor import Check
    from kindling_core.pipes import PipeMetadata
    from kindling_core.plan.entity_info import EntityInfo
    from kindling_core.plan.execution_plan import ExecutionPlan
    from kindling_core.run.fence import Fence
    from kindling_core.run.report import PipeReport, RunReport
    from kindling_core.run.requests import Continuation, ReadRequest, RunInfo, WriteRequest, WriteResult
    from kindling_core.run.streams import StreamHandle
    from kindling_core.signals import SignalEmitter

hookspec = pluggy.HookspecMarker("kindling")
hookimpl = pluggy.HookimplMarker("kindling")

Specification = TypeVar("Specification", bound=Callable[..., Any])
SETS_UP, TAKES_DOWN = "sets up", "takes down"


def sets_up(specification: Specification) -> Specification:
    """Mark a hook that is called in the order of the features."""
    specification.kindling_order = SETS_UP  # type: ignore[attr-defined]
    return specification


def takes_down(specification: Specification) -> Specification:
    """Mark a hook that is called in the opposite order, for each feature whatever the others raise."""
    specification.kindling_order = TAKES_DOWN  # type: ignore[attr-defined]
    return specification


def order_of(specification: object) -> str | None:
    """Return ``SETS_UP``, ``TAKES_DOWN``, or None for a specification without a mark."""
    return getattr(specification, "kindling_order", None)


@hookspec
def kindling_config() -> Mapping[str, type[BaseModel]]:
    """Called while the job file is read. Return the sections that you own: name -> pydantic model."""
    return {}


@hookspec
def kindling_signals() -> Iterable[type[SignalEmitter]]:
    """Called while the App is composed. Return your emitter classes; their EMITS become known signals."""
    return []


@hookspec
def kindling_pipe_options() -> Mapping[str, str]:
    """Called while the App is composed. Return the pipe options that you own: name -> one-line meaning."""
    return {}


@hookspec(firstresult=True)
def kindling_mount(app: App, collection: object, module: ModuleType | None) -> bool | None:
    """Called for each public object of a job module. Return True if it is yours and you took it. First result."""


@hookspec
@sets_up
def kindling_check_pipe(app: App, pipe: PipeMetadata) -> None:
    """Called for each pipe once all modules are mounted. Raise PipeDefinitionError if your options are wrong."""


@hookspec
def kindling_check_without(app: App, pipe: PipeMetadata) -> None:
    """Called for a pipe with an option of yours in a job without you. Raise PipeDefinitionError if it needs you."""


@hookspec
def kindling_services(app: App) -> Mapping[type, Callable[[], Any]]:
    """Called while the App is composed. Return services that need no start, made when asked for: type -> maker."""
    return {}


@hookspec
@sets_up
def kindling_start(app: App) -> None:
    """Called when the App starts, in the order of the features. Open what the run needs."""


@hookspec
@takes_down
def kindling_stop(app: App) -> None:
    """Called in the opposite order when the App closes, or when it could not start. Release what you opened."""


@hookspec
def kindling_entity_ids() -> Iterable[str]:
    """Called while planning. Return the ids of the entities that you know."""
    return []


@hookspec(firstresult=True)
def kindling_describe_entity(entity_id: str) -> EntityInfo | None:
    """Called while planning. Return what you know of this entity, None if it is not yours. First result."""


@hookspec
def kindling_depends_on(entity_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Called as a run begins or is resumed. Return what rows of your entities depend on: entity id -> name -> text."""
    return {}


@hookspec(firstresult=True)
def kindling_newest_transaction(entity_id: str, ending: str) -> str | None:
    """Called about an unfinished run. Return the newest transaction id with this ending, "" if none. First result."""


@hookspec(firstresult=True)
def kindling_writes_once(pipe: PipeMetadata) -> bool | None:
    """Called about an unfinished run. Return True if a further run of the pipe repeats no row. First result."""


@hookspec
@sets_up
def kindling_plan(plan: ExecutionPlan, run: RunInfo | None) -> None:
    """Called with each plan, also a plan that is only shown (run: None). Add to it; raise PlanError to refuse it."""


@hookspec
@sets_up
def kindling_claim_run(plan: ExecutionPlan, run: RunInfo) -> Continuation | None:
    """Called once a run is planned. Keep other runs away, such as by a lease; return the run that it is to continue."""


@hookspec
@sets_up
def kindling_before_run(plan: ExecutionPlan, run: RunInfo) -> None:
    """Called once a run is claimed, before its first signal. Take what the run needs; raise to refuse it."""


@hookspec
@sets_up
def kindling_pin(plan: ExecutionPlan, run: RunInfo) -> None:
    """Called after every ``kindling_before_run``. Add to ``plan.pinned_versions`` the versions that the run reads."""


@hookspec
@sets_up
def kindling_run_begins(plan: ExecutionPlan, run: RunInfo) -> None:
    """Called last, when nothing of the run changes any more. Write it down; raise to refuse it."""


@hookspec
@takes_down
def kindling_after_run(run: RunInfo, report: RunReport | None) -> None:
    """Called before a run's last signal. Release what the run held; the report is None if the run was refused."""


@hookspec
def kindling_expected_seconds(app: App, pipe_ids: Sequence[str]) -> Mapping[str, float]:
    """Called while planning. Return what these pipes are expected to take: pipe id -> seconds."""
    return {}


@hookspec(firstresult=True)
@sets_up
def kindling_before_pipe(pipe: PipeMetadata, run: RunInfo) -> str | None:
    """Called on the pipe's thread before each attempt. Return a reason to skip the pipe. First result."""


@hookspec
def kindling_pipe_succeeded(pipe: PipeMetadata, run: RunInfo, result: WriteResult) -> None:
    """Called with what a pipe has written, before its last signal. Record it; raise to fail the pipe."""


@hookspec
@takes_down
def kindling_after_pipe(pipe: PipeMetadata, run: RunInfo, report: PipeReport) -> None:
    """Called once a pipe has ended, however it did. Release what you hold for it; what is raised here is logged."""


@hookspec
def kindling_interrupt_pipe(pipe: PipeMetadata, run: RunInfo) -> None:
    """Called when a pipe has to stop (timeout, cancelling), on another thread. Stop what your engine does for it."""


@hookspec(firstresult=True)
def kindling_classify_error(error: BaseException, pipe: PipeMetadata) -> bool | None:
    """Called when an attempt failed and there may be another. Return whether that is worth it. First result."""


@hookspec(firstresult=True)
def kindling_read(request: ReadRequest) -> Any | None:
    """Called for each input of a pipe. Return its frame. First result; a wrapper may alter the request."""


@hookspec(firstresult=True)
def kindling_write(request: WriteRequest) -> WriteResult | None:
    """Called with what a pipe returned. Write it and return the result. First result."""


@hookspec(firstresult=True)
def kindling_start_stream(pipe: PipeMetadata, run: RunInfo, fence: Fence) -> StreamHandle | None:
    """Called for a streaming pipe. Start its query; return its handle once it runs. First result."""


@hookspec
def kindling_pipe_arguments() -> Mapping[str, str]:
    """Called while the App is composed. Return the arguments that you give to functions: name -> one-line meaning."""
    return {}


@hookspec(firstresult=True)
def kindling_pipe_argument(name: str, pipe: PipeMetadata, run: RunInfo) -> Any | None:
    """Called for a keyword-only parameter that no input fills. Return its value if it is yours. First result."""


@hookspec(firstresult=True)
def kindling_execute_pipe(pipe: PipeMetadata, run: RunInfo, arguments: Mapping[str, Any]) -> Any | None:
    """Goes around the call of a pipe's function. Implement it with ``@hookimpl(wrapper=True)``; ``yield`` calls it."""


@hookspec
def kindling_run_options() -> Iterable[click.Option]:
    """Called by the command line. Return options of ``kindling run``, ``resume``; ``run.options`` has their values."""
    return []


@hookspec
def kindling_commands() -> Iterable[click.Command]:
    """Called by the command line. Return click commands; ``click.pass_obj`` gives them the CommandContext."""
    return []


@hookspec
def kindling_checks(app: App | None) -> Iterable[Check]:
    """Called by ``kindling doctor``. Return findings; app is None when the job does not compose."""
    return []
