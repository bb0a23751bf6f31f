"""Reads and writes of a run through the hooks of an App."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from kindling_core._run import RunIO
from kindling_core.attempt import Attempt
from kindling_core.errors import PluginError
from kindling_core.pipes import PipeMetadata, split_version
from kindling_core.plan import ExecutionPlan
from kindling_core.plugins import PluginHost
from kindling_core.requests import ReadRequest, ReadResult, RunInfo, WriteRequest, WriteResult


class HookIO(RunIO):
    """What the pipes of one run read and write with.

    Args:
        cache: "auto", "always" or "never", of what several pipes read.
        once: the pipes whose write must happen once however often it is tried.
    """

    def __init__(self, host: PluginHost, run: RunInfo, plan: ExecutionPlan, cache: str, once: Collection[str]) -> None:
        super().__init__()
        self._host = host
        self._run = run
        self._cached = {} if cache == "never" else plan.cache_recommendations
        self._always = cache == "always"
        self._once = once

    def read(self, entity_id: str, pipe: PipeMetadata) -> ReadResult:
        entity, version = split_version(entity_id)
        request = ReadRequest(
            entity,
            pipe,
            self._run,
            version=version,
            cache=self._cached.get(entity_id),
            cache_always=self._always,
        )
        frame = self._host.call("kindling_read", request=request)
        if frame is None:
            raise PluginError(_nobody("reads", entity, pipe, list(self._host.features)))
        return ReadResult(frame, request.version)

    def write(self, entity_id: str, value: Any, pipe: PipeMetadata, attempt: Attempt) -> WriteResult:
        transaction = self._run.transaction(pipe.pipe_id) if pipe.pipe_id in self._once else None
        request = WriteRequest(entity_id, value, pipe, self._run, transaction=transaction, fence=attempt.fence)
        result: WriteResult | None = self._host.call("kindling_write", request=request)
        if result is None:
            raise PluginError(_nobody("writes", entity_id, pipe, list(self._host.features)))
        return result


def _nobody(does: str, entity_id: str, pipe: PipeMetadata, features: Sequence[str]) -> str:
    return (
        f"No active feature {does} {entity_id!r} for pipe {pipe.pipe_id!r}. "
        f"Active features: {', '.join(features) or 'none'}; "
        f"add one that keeps tables, such as 'entities', to the job's features."
    )
