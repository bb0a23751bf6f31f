"""What a pipe does, once: reads its inputs, calls its function, writes the result. Without attempts and signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from kindling_core.errors import PipeError
from kindling_core.forks import end_child_of
from kindling_core.logs import Log
from kindling_core.pipes import PipeMetadata
from kindling_core.run.fence import Fence
from kindling_core.run.hooks import RunHooks
from kindling_core.run.io import RunIO
from kindling_core.run.requests import RunInfo, VersionRange, WriteOptions, WriteResult

_log = Log("kindling.pipes")


@dataclass(frozen=True)
class PipeInputs:
    """What a pipe reads, where that is not simply its inputs as they stand.

    Attributes:
        values: entity id as the pipe names it -> the frame that it gets; nothing is read for it.
        versions: entity id as the pipe names it -> the version that is read, or the range of which changes or appends
            are read.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, int | VersionRange] = field(default_factory=dict)


@dataclass
class VersionsRead:
    """What a pipe has read, as far as it is known; filled while it reads.

    Attributes:
        versions: entity id -> table version.
        ranges: entity id -> (start, end] of the versions whose changes or appends were read.
    """

    versions: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)


class PipeExecution:
    """Executes pipes of a run.

    Args:
        process_id: of the process that executes; a child that a pipe forks must not write.
        warned: pipes for which a warning of a dropped value was logged.
    """

    def __init__(
        self, run: RunInfo, io: RunIO, hooks: RunHooks, process_id: int, warned: set[str] | None = None
    ) -> None:
        self._run = run
        self._io = io
        self._hooks = hooks
        self._process_id = process_id
        self._warned = set() if warned is None else warned

    def execute(
        self,
        pipe: PipeMetadata,
        fence: Fence,
        inputs: PipeInputs | None = None,
        write: WriteOptions | None = None,
        read: VersionsRead | None = None,
        written_before: Mapping[str, int] | None = None,
    ) -> WriteResult:
        """Execute a pipe once.

        Args:
            fence: stands before the commit.
            read: gets the versions that were read, also if the pipe fails.
            written_before: entity id -> version that another pipe of the run has written, for inputs whose version the
                read does not say.

        Raises:
            PipeAbandoned: the fence was closed.
            PipeError: the function returned nothing for an output.
        """
        inputs = inputs or PipeInputs()
        self._refuse_unknown(pipe, inputs)
        arguments: dict[str, Any] = {}
        read = read or VersionsRead()
        for parameter, entity_id in pipe.parameters.items():
            if entity_id in inputs.values:
                arguments[parameter] = inputs.values[entity_id]
                continue
            got = self._io.read(entity_id, pipe, inputs.versions.get(entity_id))
            arguments[parameter] = got.value
            version = (written_before or {}).get(entity_id) if got.version is None else got.version
            if version is not None:
                read.versions[entity_id] = version
                if got.start_version is not None:
                    read.ranges[entity_id] = (got.start_version, version)
        for parameter in pipe.arguments:
            arguments[parameter] = self._argument(parameter, pipe)
        fence.check()
        execute = self._hooks.execute
        value = pipe.execute(**arguments) if execute is None else execute(pipe, self._run, arguments)
        # A child that the pipe forked must not write the output again.
        end_child_of(self._process_id)
        fence.check()
        return self._write(pipe, value, fence, write)

    def _refuse_unknown(self, pipe: PipeMetadata, inputs: PipeInputs) -> None:
        for entity_id in (*inputs.values, *inputs.versions):
            if entity_id not in pipe.input_entity_ids:
                raise PipeError(
                    f"Pipe {pipe.pipe_id!r} ({pipe.location}) does not read {entity_id!r}. "
                    f"It reads {', '.join(map(repr, pipe.input_entity_ids)) or 'nothing'}."
                )

    def _argument(self, parameter: str, pipe: PipeMetadata) -> Any:
        if self._hooks.argument is None:
            raise PipeError(
                f"Pipe {pipe.pipe_id!r} ({pipe.location}): no active feature gives the argument {parameter!r}."
            )
        return self._hooks.argument(parameter, pipe, self._run)

    def _write(self, pipe: PipeMetadata, value: Any, fence: Fence, options: WriteOptions | None) -> WriteResult:
        if pipe.output_entity_id is None:
            if value is not None and pipe.pipe_id not in self._warned:
                self._warned.add(pipe.pipe_id)
                _log.warning(
                    "Pipe %r (%s) returned a %s but declares no output, so it is dropped. Declare output=..., "
                    "or return nothing.",
                    pipe.pipe_id,
                    pipe.location,
                    type(value).__name__,
                )
            return WriteResult(0)
        if value is None:
            raise PipeError(
                f"Pipe {pipe.pipe_id!r} ({pipe.location}) returned nothing for its output "
                f"{pipe.output_entity_id!r}. Return it, or declare no output if the pipe writes by itself."
            )
        written = self._io.write(pipe.output_entity_id, value, pipe, fence, options)
        if isinstance(written, WriteResult):
            return written
        # A user's own write function may return anything, such as its frame; only a count is a count.
        return WriteResult(int(written) if isinstance(written, Integral) else None)
