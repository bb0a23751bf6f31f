"""Kindling: data pipelines of plain functions, with every feature a plugin and every event a signal.

Names are loaded on first use, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kindling_core._version import __version__

if TYPE_CHECKING:
    from kindling_core.app import App as App
    from kindling_core.clock import Clock as Clock
    from kindling_core.clock import ManualClock as ManualClock
    from kindling_core.clock import SystemClock as SystemClock
    from kindling_core.config import Section as Section
    from kindling_core.doctor import Check as Check
    from kindling_core.errors import ConfigError as ConfigError
    from kindling_core.errors import CycleError as CycleError
    from kindling_core.errors import GenerationFailed as GenerationFailed
    from kindling_core.errors import KindlingError as KindlingError
    from kindling_core.errors import PipeAbandoned as PipeAbandoned
    from kindling_core.errors import PipeCancelled as PipeCancelled
    from kindling_core.errors import PipeDefinitionError as PipeDefinitionError
    from kindling_core.errors import PipeError as PipeError
    from kindling_core.errors import PipeTimeout as PipeTimeout
    from kindling_core.errors import PlanError as PlanError
    from kindling_core.errors import PluginError as PluginError
    from kindling_core.errors import RunFailed as RunFailed
    from kindling_core.errors import RunTimeout as RunTimeout
    from kindling_core.errors import SelectionError as SelectionError
    from kindling_core.errors import SignalError as SignalError
    from kindling_core.errors import UnfinishedRun as UnfinishedRun
    from kindling_core.errors import UnknownPipeError as UnknownPipeError
    from kindling_core.hooks import hookimpl as hookimpl
    from kindling_core.hooks import hookspec as hookspec
    from kindling_core.pipes import DataPipesRegistry as DataPipesRegistry
    from kindling_core.pipes import PipeMetadata as PipeMetadata
    from kindling_core.pipes import Pipes as Pipes
    from kindling_core.plan.entity_info import EntityInfo as EntityInfo
    from kindling_core.plan.execution_plan import ExecutionPlan as ExecutionPlan
    from kindling_core.plan.graph import ExecutionMode as ExecutionMode
    from kindling_core.plan.graph import PipeGraphBuilder as PipeGraphBuilder
    from kindling_core.plan.strategies import BatchExecutionStrategy as BatchExecutionStrategy
    from kindling_core.plan.strategies import ExecutionStrategy as ExecutionStrategy
    from kindling_core.plan.strategies import HybridExecutionStrategy as HybridExecutionStrategy
    from kindling_core.plan.strategies import StreamingExecutionStrategy as StreamingExecutionStrategy
    from kindling_core.run.cancellation import CancelToken as CancelToken
    from kindling_core.run.executer import DataPipesExecuter as DataPipesExecuter
    from kindling_core.run.fence import Fence as Fence
    from kindling_core.run.generation_executor import GenerationExecutor as GenerationExecutor
    from kindling_core.run.policy import OnFailure as OnFailure
    from kindling_core.run.policy import PipePolicy as PipePolicy
    from kindling_core.run.policy import RetryPolicy as RetryPolicy
    from kindling_core.run.report import PipeReport as PipeReport
    from kindling_core.run.report import RunReport as RunReport
    from kindling_core.run.requests import Continuation as Continuation
    from kindling_core.run.requests import ReadRequest as ReadRequest
    from kindling_core.run.requests import ReadResult as ReadResult
    from kindling_core.run.requests import RunInfo as RunInfo
    from kindling_core.run.requests import RunRequest as RunRequest
    from kindling_core.run.requests import VersionRange as VersionRange
    from kindling_core.run.requests import WriteRequest as WriteRequest
    from kindling_core.run.requests import WriteResult as WriteResult
    from kindling_core.signals import BlinkerSignalProvider as BlinkerSignalProvider
    from kindling_core.signals import Signal as Signal
    from kindling_core.signals import SignalEmitter as SignalEmitter
    from kindling_core.signals import SignalPayload as SignalPayload
    from kindling_core.signals import SignalProvider as SignalProvider
    from kindling_core.signals import TypedSignal as TypedSignal
    from kindling_core.state import StateStore as StateStore
    from kindling_core.state.resume import resume_run as resume_run

_HOMES = {
    "app": ("App",),
    "config": ("Section",),
    "doctor": ("Check",),
    "errors": (
        "ConfigError",
        "CycleError",
        "GenerationFailed",
        "KindlingError",
        "PipeAbandoned",
        "PipeCancelled",
        "PipeDefinitionError",
        "PipeError",
        "PipeTimeout",
        "PlanError",
        "PluginError",
        "RunFailed",
        "RunTimeout",
        "SelectionError",
        "SignalError",
        "UnfinishedRun",
        "UnknownPipeError",
    ),
    "hooks": (
        "hookimpl",
        "hookspec",
    ),
    "pipes": (
        "DataPipesRegistry",
        "PipeMetadata",
        "Pipes",
    ),
    "plan.entity_info": ("EntityInfo",),
    "plan.execution_plan": ("ExecutionPlan",),
    "plan.graph": (
        "ExecutionMode",
        "PipeGraphBuilder",
    ),
    "plan.strategies": (
        "BatchExecutionStrategy",
        "ExecutionStrategy",
        "HybridExecutionStrategy",
        "StreamingExecutionStrategy",
    ),
    "run.cancellation": ("CancelToken",),
    "clock": (
        "Clock",
        "ManualClock",
        "SystemClock",
    ),
    "run.executer": ("DataPipesExecuter",),
    "run.fence": ("Fence",),
    "run.generation_executor": ("GenerationExecutor",),
    "run.policy": (
        "OnFailure",
        "PipePolicy",
        "RetryPolicy",
    ),
    "run.report": (
        "PipeReport",
        "RunReport",
    ),
    "run.requests": (
        "Continuation",
        "ReadRequest",
        "ReadResult",
        "RunInfo",
        "RunRequest",
        "VersionRange",
        "WriteRequest",
        "WriteResult",
    ),
    "signals": (
        "BlinkerSignalProvider",
        "Signal",
        "SignalEmitter",
        "SignalPayload",
        "SignalProvider",
        "TypedSignal",
    ),
    "state": ("StateStore",),
    "state.resume": ("resume_run",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
