"""What tells whether a pipe is still the same: its declaration and its code, but for where they stand."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import Any

from kindling_core.pipes import PipeMetadata


def fingerprint(pipe: PipeMetadata) -> str:
    """Return a digest of a pipe's declaration and of its function's compiled code.

    Comments, blank lines and the place of the function do not count. Functions that it calls do not either, nor what
    it closes over: a digest of everything that a pipe can reach would never be the same twice.
    """
    function = inspect.unwrap(pipe.execute)
    parts: list[Any] = [
        pipe.pipe_id,
        pipe.mode,
        dict(pipe.parameters),
        pipe.output_entity_id,
        {key: repr(value) for key, value in pipe.options.items()},
        repr(getattr(function, "__defaults__", None)),
        repr(getattr(function, "__kwdefaults__", None)),
    ]
    code = getattr(function, "__code__", None)
    digest = hashlib.sha256("\0".join(map(_plain, parts)).encode())
    for piece in _code_parts(code) if code is not None else [repr(function).encode()]:
        digest.update(piece)
    return digest.hexdigest()[:16]


def fingerprints(pipes: Iterable[PipeMetadata]) -> dict[str, str]:
    """Return pipe id -> fingerprint."""
    return {pipe.pipe_id: fingerprint(pipe) for pipe in pipes}


def _plain(value: Any) -> str:
    return repr(sorted(value.items())) if isinstance(value, Mapping) else str(value)


def _code_parts(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_kwonlyargcount)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_parts(constant)
        else:
            told = sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)
            yield repr(told).encode()
