"""What shows whether a pipe is still the same: its declaration, its code, and what that code refers to.

A fingerprint is the same in every process. It covers the pipe's function and, as far as its names lead to them, the
functions and classes of the same project, default arguments, closures and globals. Code of other packages counts by its
name, and an object that does not show its value by its class. What a pipe looks up while it runs, such as
``os.environ`` or a file, cannot be known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from kindling_core.pipes import PipeMetadata
from kindling_core.state.stable_text import PLAIN, VALUES, Home, Writer, code_of, names_in

# Fingerprints that were made in another way have another sign, and not compared with these.
VERSION = "2:"
_SHOWN = 200


@dataclass(frozen=True)
class Fingerprint:
    """Attributes:
    digest: of everything.
    values: name -> text of the plain values that the code refers to, such as ``MONTH`` -> ``'2026-02'``.
    """

    digest: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Part:
    """What a function or class says by itself, and where its names lead to."""

    digest: str
    values: Mapping[str, str]
    met: tuple[Any, ...]


class Fingerprints:
    """Makes fingerprints; looks at each function that several pipes use once."""

    def __init__(self) -> None:
        self._parts: dict[tuple[int, Home], _Part] = {}
        self._homes: dict[Any, Home] = {}
        # What is looked at has to live as long as its id is remembered.
        self._alive: list[Any] = []

    def of(self, pipe: PipeMetadata) -> Fingerprint:
        """Return the fingerprint of a pipe."""
        home = self._home(pipe.execute)
        writer = Writer(home)
        parts = [
            pipe.pipe_id,
            pipe.mode,
            writer.write(dict(pipe.parameters)),
            str(pipe.output_entity_id),
            writer.write(dict(pipe.options)),
            writer.write(pipe.execute),
        ]
        digests, values = set(), dict[str, str]()
        seen, waiting = set(), list(writer.met)
        while waiting:
            thing = waiting.pop()
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            part = self._part(thing, home)
            digests.add(part.digest)
            for name, text in part.values.items():
                values.setdefault(name, text)
            waiting += part.met
        whole = hashlib.sha256("\0".join([*parts, *sorted(digests)]).encode("utf-8", "surrogatepass"))
        return Fingerprint(VERSION + whole.hexdigest()[:16], values)

    def _home(self, function: Any) -> Home:
        inner = getattr(function, "func", function)
        inner = getattr(inner, "__wrapped__", inner)
        thing = inner if hasattr(inner, "__qualname__") else type(inner)
        key = getattr(thing, "__module__", None)
        if key not in self._homes:
            self._homes[key] = Home.of(thing)
        return self._homes[key]

    def _part(self, thing: Any, home: Home) -> _Part:
        key = id(thing), home
        if key not in self._parts:
            self._alive.append(thing)
            self._parts[key] = _of_function(thing, home) if isinstance(thing, FunctionType) else _of_class(thing, home)
        return self._parts[key]


def fingerprint(pipe: PipeMetadata) -> str:
    """Return the digest of a pipe."""
    return Fingerprints().of(pipe).digest


def _of_function(function: FunctionType, home: Home) -> _Part:
    writer, code = Writer(home), function.__code__
    parts = [function.__module__ or "", function.__qualname__, *code_of(code, writer)]
    values: dict[str, str] = {}
    for name, value in _referred(function).items():
        before = len(writer.met)
        text = writer.write(value)
        parts.append(f"{name}={text}")
        if (isinstance(value, PLAIN) or len(writer.met) == before) and not name.startswith("__"):
            values[name] = _shown(value, text)
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        parts.append(writer.write(wrapped))
    return _Part(_digest(parts), values, tuple(writer.met))


def _shown(value: Any, text: str) -> str:
    """Return the text of a value that may be written down: what is nested may hold secrets under names of its own."""
    items = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
    if not all(isinstance(item, (*PLAIN, *VALUES)) for item in items):
        return f"{type(value).__qualname__} #{_digest([text])}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... #{_digest([text])}"


def _referred(function: FunctionType) -> dict[str, Any]:
    """Return what a function refers to by name: default arguments, what it closes over, globals."""
    code, found = function.__code__, dict[str, Any]()
    parameters = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    found.update(zip(parameters[len(parameters) - len(defaults) :], defaults, strict=True))
    found.update(function.__kwdefaults__ or {})
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            # It is not bound yet, such as the name of a function that calls itself.
            continue
    known = function.__globals__
    found.update({name: known[name] for name in names_in(code) if name in known and name not in found})
    return found


def _of_class(kind: Any, home: Home) -> _Part:
    writer = Writer(home)
    parts = [kind.__module__ or "", kind.__qualname__, *(writer.write(base) for base in kind.__bases__)]
    for name, value in sorted(vars(kind).items()):
        if name.startswith("__") and not callable(value):
            continue
        parts.append(f"{name}={writer.write(value)}")
    return _Part(_digest(parts), {}, tuple(writer.met))


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
