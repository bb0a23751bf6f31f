"""Pipes: named functions from input entities to at most one output entity."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kindling_core.errors import PipeDefinitionError, UnknownPipeError, did_you_mean

Function = TypeVar("Function", bound=Callable[..., Any])

PIPE_MODES = ("batch", "streaming")
_VERSION = re.compile(r"(?P<entity>[^@]+)@v(?P<version>\d+)")
_NOT_IN_IDENTIFIERS = re.compile(r"\W")


def split_version(entity_id: str) -> tuple[str, int | None]:
    """Split ``silver.flights@v3`` into ``("silver.flights", 3)``; without a version the second is None.

    Raises:
        PipeDefinitionError: what follows the ``@`` is not ``v`` and a number.
    """
    if "@" not in entity_id:
        return entity_id, None
    match = _VERSION.fullmatch(entity_id)
    if match is None:
        raise PipeDefinitionError(
            f"{entity_id!r} is not an entity id. A fixed version is written like 'silver.flights@v3'."
        )
    return match["entity"], int(match["version"])


def parameter_name(entity_id: str) -> str:
    """Return the parameter that an input is bound to: ``silver.flights`` -> ``silver_flights``."""
    name = _NOT_IN_IDENTIFIERS.sub("_", split_version(entity_id)[0])
    if name[:1].isdigit():
        name = f"_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


@dataclass(frozen=True, slots=True)
class PipeMetadata:
    """A pipe as it was declared.

    Attributes:
        pipe_id: unique in a job.
        name: for people; the function's name unless given.
        input_entity_ids: as written, so ``silver.flights@v3`` keeps its version.
        output_entity_id: None for a pipe that returns nothing.
        tags: name -> value; a tag given by name alone has an empty value.
        execute: called with one keyword per input.
        mode: "batch" or "streaming".
        options: further keywords of the decorator, each owned by some feature.
        parameters: parameter of the function -> input as written; made of the inputs unless given.
        location: "module:line" of the function, where known.
        arguments: keyword-only parameters of the function that no input fills and that have no default: features give
            their values, see the hook ``kindling_pipe_arguments``.
    """

    pipe_id: str
    name: str
    input_entity_ids: Sequence[str]
    output_entity_id: str | None
    tags: Mapping[str, str]
    execute: Callable[..., Any] = field(repr=False)
    mode: str = "batch"
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    location: str | None = None
    arguments: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.parameters and self.input_entity_ids:
            object.__setattr__(self, "parameters", self._bind_by_name())
        if self.location is None:
            object.__setattr__(self, "location", _location(self.execute))
        if not self.arguments:
            object.__setattr__(self, "arguments", _open_arguments(self.execute, self.parameters))

    # The fields hold dicts, so the hash that a frozen dataclass would make could not be taken.
    def __hash__(self) -> int:
        return hash(self.pipe_id)

    def _bind_by_name(self) -> dict[str, str]:
        bound: dict[str, str] = {}
        for entity_id in self.input_entity_ids:
            try:
                parameter = parameter_name(entity_id)
            except PipeDefinitionError as error:
                raise PipeDefinitionError(f"Pipe {self.pipe_id!r}{_where(self.execute)}: {error}") from None
            if parameter in bound:
                raise PipeDefinitionError(self._collision(parameter, bound[parameter], entity_id))
            bound[parameter] = entity_id
        return bound

    def _collision(self, parameter: str, first: str, second: str) -> str:
        place = f"Pipe {self.pipe_id!r}{_where(self.execute)}"
        if first == second:
            return f"{place} names the input {first!r} twice. Name it once."
        return (
            f"{place}: the inputs {first!r} and {second!r} would both be bound to the parameter "
            f"{parameter!r}. Name the parameters: inputs={{'some_name': {first!r}, 'other_name': {second!r}}}."
        )


def check_pipe(pipe: PipeMetadata) -> None:
    """Check a declaration against its function.

    Raises:
        PipeDefinitionError: it could not be called with its inputs; names pipe, function and place.
    """
    place = f"Pipe {pipe.pipe_id!r}{_where(pipe.execute)}"
    if not isinstance(pipe.pipe_id, str) or not pipe.pipe_id:
        raise PipeDefinitionError(
            f"{pipe.pipe_id!r} is not a pipe id. Declare a pipe as @pipes.pipe('silver.flights', inputs=[...])."
        )
    if not callable(pipe.execute):
        raise PipeDefinitionError(f"{place}: {pipe.execute!r} cannot be called. Give a function.")
    if inspect.iscoroutinefunction(pipe.execute):
        raise PipeDefinitionError(f"{place} is an async function. A pipe is a plain function: remove the async.")
    if pipe.mode not in PIPE_MODES:
        raise PipeDefinitionError(
            f"{place}: unknown mode {pipe.mode!r}, use 'batch' or 'streaming'."
            f"{did_you_mean(str(pipe.mode), PIPE_MODES)}"
        )
    output = pipe.output_entity_id
    if output is not None and (not isinstance(output, str) or not output or "@" in output):
        raise PipeDefinitionError(
            f"{place}: {output!r} is not an output. Give one entity id without a version, or None."
        )
    _check_inputs(pipe, place)
    _check_signature(pipe, place)


def _check_inputs(pipe: PipeMetadata, place: str) -> None:
    seen: dict[str, str] = {}
    for parameter, entity_id in pipe.parameters.items():
        if not isinstance(entity_id, str) or not entity_id:
            raise PipeDefinitionError(f"{place}: {entity_id!r} is not an entity id.")
        try:
            split_version(entity_id)
        except PipeDefinitionError as error:
            raise PipeDefinitionError(f"{place}: {error}") from None
        if entity_id in seen:
            raise PipeDefinitionError(
                f"{place} names the input {entity_id!r} twice, for the parameters {seen[entity_id]!r} and "
                f"{parameter!r}. Name it once."
            )
        seen[entity_id] = parameter
    missing = set(pipe.input_entity_ids) ^ set(seen)
    if missing:
        raise PipeDefinitionError(
            f"{place}: parameters and input_entity_ids disagree about {', '.join(map(repr, sorted(missing)))}."
        )


def _check_signature(pipe: PipeMetadata, place: str) -> None:
    try:
        signature = inspect.signature(pipe.execute).parameters
    except (TypeError, ValueError):  # some builtins have no signature to look at
        return
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.values())
    by_keyword = {
        name
        for name, parameter in signature.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    if not takes_any:
        for name, entity_id in pipe.parameters.items():
            if name not in by_keyword:
                raise PipeDefinitionError(
                    f"{place}: the input {entity_id!r} is bound to the parameter {name!r}, which the function "
                    f"does not have. Rename a parameter to {name!r}, or name it: "
                    f"inputs={{'your_parameter': {entity_id!r}}}.{did_you_mean(name, by_keyword)}"
                )
    for name, parameter in signature.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if name in pipe.arguments:
            continue
        if parameter.default is parameter.empty and (name not in by_keyword or name not in pipe.parameters):
            raise PipeDefinitionError(
                f"{place}: no input fills the parameter {name!r}. Inputs fill "
                f"{', '.join(map(repr, pipe.parameters)) or 'none'}. Add the input, or give the parameter a "
                f"default.{did_you_mean(name, pipe.parameters)}"
            )


class _PipeCollection:
    """What ``Pipes`` and ``DataPipesRegistry`` share: the decorator, and one pipe per id."""

    def __init__(self) -> None:
        self._pipes: dict[str, PipeMetadata] = {}
        self._memories: dict[str, dict[str, Any]] = {}

    def memory(self, pipe_id: str) -> dict[str, Any]:
        """Return what is remembered of a declaration for as long as it lives, in every App that it is mounted by."""
        return self._memories.setdefault(pipe_id, {})

    def register(self, pipe: PipeMetadata) -> None:
        """Add a pipe; adding the same object again changes nothing.

        Raises:
            PipeDefinitionError: its declaration cannot run, or its id is taken; the message names both places.
        """
        other = self._pipes.get(pipe.pipe_id) if isinstance(pipe.pipe_id, str) else None
        if other is pipe:
            return
        check_pipe(pipe)
        if other is not None:
            raise PipeDefinitionError(
                f"Two pipes have the id {pipe.pipe_id!r}: {other.name!r} at {other.location or 'unknown place'} "
                f"and {pipe.name!r} at {pipe.location or 'unknown place'}. Rename one."
            )
        self._pipes[pipe.pipe_id] = pipe

    def pipe(
        self,
        pipe_id: str,
        *,
        inputs: Iterable[str] | Mapping[str, str] = (),
        output: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        mode: str = "batch",
        **options: Any,
    ) -> Callable[[Function], Function]:
        """Declare the decorated function as a pipe and return it unchanged.

        Args:
            pipe_id: unique in the job.
            inputs: entity ids, bound to parameters by name (``silver.flights`` -> ``silver_flights``), or a
                mapping parameter -> entity id. ``silver.flights@v3`` reads that version.
            output: the entity that the function's result is written to.
            name: for people; default is the function's name.
            tags: name -> value, or names.
            mode: "batch" or "streaming".
            options: kept for the features that own them.

        Raises:
            PipeDefinitionError: the declaration does not fit the function.
        """
        if not isinstance(pipe_id, str):
            raise PipeDefinitionError(
                f"{pipe_id!r} is not a pipe id. Declare a pipe as @pipes.pipe('silver.flights', inputs=[...])."
            )
        for what, value in (("inputs", inputs), ("tags", tags)):
            if isinstance(value, str):
                raise PipeDefinitionError(f"Pipe {pipe_id!r}: {what} is a string. Use a list: {what}=[{value!r}].")
        parameters = dict(inputs) if isinstance(inputs, Mapping) else {}
        entity_ids = list(parameters.values()) if isinstance(inputs, Mapping) else list(inputs)

        def declare(function: Function) -> Function:
            pipe = PipeMetadata(
                pipe_id=pipe_id,
                name=name or str(getattr(function, "__name__", pipe_id)),
                input_entity_ids=entity_ids,
                output_entity_id=output,
                tags=dict(tags) if isinstance(tags, Mapping) else dict.fromkeys(tags or (), ""),
                execute=function,
                mode=mode,
                options=dict(options),
                parameters=parameters,
            )
            self.register(pipe)
            return function

        return declare

    def __len__(self) -> int:
        return len(self._pipes)

    def __contains__(self, pipe_id: object) -> bool:
        return pipe_id in self._pipes


class Pipes(_PipeCollection):
    """Collects the pipes of a module; an App mounts it. Iterating gives their metadata."""

    def __iter__(self) -> Iterator[PipeMetadata]:
        return iter(list(self._pipes.values()))


class DataPipesRegistry(_PipeCollection):
    """The pipes of one job, in the order in which they were registered."""

    def mount(self, pipes: Iterable[PipeMetadata]) -> None:
        """Register every pipe of a collection.

        Raises:
            PipeDefinitionError: see ``register``.
        """
        for pipe in pipes:
            self.register(pipe)
            if isinstance(pipes, Pipes):
                self._memories[pipe.pipe_id] = pipes.memory(pipe.pipe_id)

    def get_pipe_definition(self, pipe_id: str) -> PipeMetadata:
        """Return a pipe.

        Raises:
            UnknownPipeError: with near matches.
        """
        try:
            return self._pipes[pipe_id]
        except KeyError:
            raise UnknownPipeError(pipe_id, self._pipes) from None

    def get_pipe_ids(self) -> list[str]:
        """Return every id in the order of registration."""
        return list(self._pipes)


def _open_arguments(function: Callable[..., Any], parameters: Mapping[str, str]) -> tuple[str, ...]:
    try:
        signature = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature to look at
        return ()
    return tuple(
        name
        for name, parameter in signature.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty and name not in parameters
    )


def _unwrapped(function: Callable[..., Any]) -> Any:
    return inspect.unwrap(function) if callable(function) else function


def _location(function: Callable[..., Any]) -> str | None:
    inner = _unwrapped(function)
    code = getattr(inner, "__code__", None)
    return f"{inner.__module__}:{code.co_firstlineno}" if code else None


def _where(function: Callable[..., Any]) -> str:
    inner = _unwrapped(function)
    code = getattr(inner, "__code__", None)
    if code is None:
        return ""
    return f" (function {inner.__qualname__} at {code.co_filename}:{code.co_firstlineno})"
