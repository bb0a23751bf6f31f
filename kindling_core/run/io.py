"""Reads and writes of a run through the hooks of an App."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

from kindling_core.errors import PipeError, PluginError, did_you_mean
from kindling_core.pipes import PipeMetadata, split_version
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plugins import PluginHost
from kindling_core.run.fence import Fence
from kindling_core.run.requests import (
    ReadRequest,
    ReadResult,
    RunInfo,
    VersionRange,
    WriteOptions,
    WriteRequest,
    WriteResult,
)

Read: TypeAlias = Callable[[str, PipeMetadata], Any]
Write: TypeAlias = "Callable[[str, Any, PipeMetadata], WriteResult | int | None]"


class RunIO:
    """Reads and writes for a run. An App reads and writes by its hooks (``HookIO``), this class by two functions.

    Args:
        read, write: as ``DataPipesExecuter`` takes them; what is missing is kept in memory until the run ends.
    """

    def __init__(self, read: Read | None = None, write: Write | None = None) -> None:
        memory = Memory()
        self._read = read or memory.read
        self._write = write or memory.write

    def read(self, entity_id: str, pipe: PipeMetadata, version: int | VersionRange | None = None) -> ReadResult:
        """Return an input; the id keeps its version suffix.

        Args:
            version: the version to read, or the range of which changes or appends are read.
        """
        if version is not None:
            raise PipeError(f"Pipe {pipe.pipe_id!r}: {entity_id!r} has no versions here, as no feature keeps tables.")
        return ReadResult(self._read(entity_id, pipe))

    def write(
        self, entity_id: str, value: Any, pipe: PipeMetadata, fence: Fence, options: WriteOptions | None = None
    ) -> WriteResult | Any:
        """Write an output; what is no WriteResult and no count is taken for a count that is not known."""
        with fence.committing():
            return self._write(entity_id, value, pipe)


class Memory:
    """What the pipes of a run returned, for a run that nothing was given to read and write with."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def read(self, entity_id: str, pipe: PipeMetadata) -> Any:
        try:
            return self._values[entity_id]
        except KeyError:
            raise PipeError(
                f"Pipe {pipe.pipe_id!r} reads {entity_id!r}, which no earlier pipe of this run returned, and no "
                f"read_entity was given to read it with.{did_you_mean(entity_id, self._values)}"
            ) from None

    def write(self, entity_id: str, value: Any, pipe: PipeMetadata) -> None:
        self._values[entity_id] = value


class HookIO(RunIO):
    """Reads and writes of a run, by the hooks of an App.

    Args:
        plan: None for a read of a single pipe, which shares nothing.
        cache: "auto", "always" or "never", of what several pipes read.
        once: the pipes whose write must happen once however often it is tried.
    """

    def __init__(
        self, host: PluginHost, run: RunInfo, plan: ExecutionPlan | None, cache: str, once: Collection[str]
    ) -> None:
        super().__init__()
        self._host = host
        self._run = run
        self._storage_levels = {} if plan is None or cache == "never" else plan.cache_recommendations
        self._always = cache == "always"
        self._once = once

    def read(self, entity_id: str, pipe: PipeMetadata, version: int | VersionRange | None = None) -> ReadResult:
        entity, pinned = split_version(entity_id)
        request = ReadRequest(
            entity,
            pipe,
            self._run,
            version=pinned,
            storage_level=self._storage_levels.get(entity_id),
            cache_always=self._always,
        )
        if isinstance(version, VersionRange):
            request.start_version, request.version = version.start_version, version.end_version
            request.appends = version.appends
        elif version is not None:
            request.version = version
        frame = self._host.call("kindling_read", request=request)
        if frame is None:
            raise PluginError(_nobody("reads", entity, pipe, list(self._host.plugins)))
        return ReadResult(frame, request.version, request.start_version)

    def write(
        self, entity_id: str, value: Any, pipe: PipeMetadata, fence: Fence, options: WriteOptions | None = None
    ) -> WriteResult:
        if options is None:
            once = pipe.pipe_id in self._once
            options = WriteOptions(transaction=self._run.transaction(pipe.pipe_id) if once else None)
        request = WriteRequest(entity_id, value, pipe, self._run, fence=fence, **vars(options))
        result: WriteResult | None = self._host.call("kindling_write", request=request)
        if result is None:
            raise PluginError(_nobody("writes", entity_id, pipe, list(self._host.plugins)))
        return result


def _nobody(does: str, entity_id: str, pipe: PipeMetadata, features: Sequence[str]) -> str:
    return (
        f"No active feature {does} {entity_id!r} for pipe {pipe.pipe_id!r}. "
        f"Active features: {', '.join(features) or 'none'}; "
        f"add one that keeps tables, such as 'entities', to the job's features."
    )
