"""Writes values as text that is the same in every process: no addresses, no order of sets, no place in a file.

Functions and classes of the job become references, for whoever wants to follow them; those of other packages become
their names. An object whose class says nothing about its value becomes the name of the class.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from uuid import UUID

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
VALUES = (date, datetime, time, timedelta, timezone, Decimal, Fraction, UUID, PurePath, range, slice, bytearray)
_DEPTH = 6
# Of what is larger the size is written: hashing a table that a module holds would take longer than running the pipe.
_MOST_ITEMS = 10_000
_FRAMEWORK = "kindling_"


@dataclass(frozen=True)
class Home:
    """Which code belongs to the job of a function, so that its changes count.

    Attributes:
        package: the first part of the function's module name.
        folder: where that package lies; None where it has no file, or lies among installed packages.
    """

    package: str
    folder: Path | None

    @classmethod
    def of(cls, function: object) -> Home:
        """Return the home of a pipe's function."""
        package = str(getattr(function, "__module__", None) or "").partition(".")[0]
        file = getattr(sys.modules.get(package), "__file__", None)
        if file is None:
            return cls(package, None)
        path = Path(file)
        folder = path.parent.parent if path.name == "__init__.py" else path.parent
        return cls(package, None if _is_installed(str(folder)) else folder)

    def has(self, thing: object) -> bool:
        """Whether a function or class is the job's own."""
        module = str(getattr(thing, "__module__", None) or "")
        package = module.partition(".")[0]
        if package == self.package:
            return True
        if self.folder is None or package.startswith(_FRAMEWORK):
            return False
        file = getattr(sys.modules.get(module), "__file__", None)
        return file is not None and not _is_installed(file) and Path(file).is_relative_to(self.folder)


@functools.cache
def _is_installed(path: str) -> bool:
    return any(part in ("site-packages", "dist-packages") for part in Path(path).parts)


@dataclass
class Writer:
    """Writes values, and collects the functions and classes of the job that it met.

    Attributes:
        home: distinguishes the job's own code from that of others.
        met: what a reference was written for.
    """

    home: Home
    met: list[Any] = field(default_factory=list)

    def write(self, value: Any, depth: int = 0) -> str:
        """Return the text of a value."""
        kind = type(value)
        if kind in PLAIN:
            return repr(value)
        if isinstance(value, enum.Enum):
            return f"{_name(kind)}.{value.name}"
        if isinstance(value, VALUES):
            return f"{_name(kind)} {value!s}" if isinstance(value, PurePath) else f"{_name(kind)} {value!r}"
        if isinstance(value, re.Pattern):
            return f"re {value.pattern!r} {value.flags}"
        if isinstance(value, ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, CodeType):
            return "code"
        if depth >= _DEPTH:
            return _name(kind)
        return self._nested(value, kind, depth + 1)

    def _nested(self, value: Any, kind: type, depth: int) -> str:
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, dict(value.keywords))
            return f"partial({', '.join(self.write(part, depth) for part in parts)})"
        if isinstance(value, MethodType):
            return f"method {self.write(value.__func__, depth)} of {self.write(value.__self__, depth)}"
        if isinstance(value, (staticmethod, classmethod)):
            return self.write(value.__func__, depth)
        if isinstance(value, property):
            accessors = (value.fget, value.fset, value.fdel)
            return f"property({', '.join(self.write(accessor, depth) for accessor in accessors)})"
        if isinstance(value, (FunctionType, type)):
            return self._reference(value, depth)
        if isinstance(value, (list, tuple, set, frozenset, dict, deque)) and len(value) > _MOST_ITEMS:
            return f"{_name(kind)} of {len(value)}"
        if isinstance(value, Mapping):
            items = [f"{self.write(key, depth)}: {self.write(item, depth)}" for key, item in value.items()]
            return f"{_name(kind)}{{{', '.join(sorted(items))}}}"
        if isinstance(value, (set, frozenset)):
            return f"{_name(kind)}{{{', '.join(sorted(self.write(item, depth) for item in value))}}}"
        if isinstance(value, (list, tuple, deque)):
            return f"{_name(kind)}[{', '.join(self.write(item, depth) for item in value)}]"
        if isinstance(value, (str, int, float, bytes)):
            # A subclass of a plain type, such as a str with methods.
            return f"{_name(kind)} {value!s}"
        return self._object(value, kind, depth)

    def _reference(self, value: Any, depth: int) -> str:
        name = f"{value.__module__}.{value.__qualname__}"
        if self.home.has(value):
            self.met.append(value)
        elif (inner := getattr(value, "__wrapped__", None)) is not None:
            return f"{name}({self.write(inner, depth)})"
        return name

    def _object(self, value: Any, kind: type, depth: int) -> str:
        inner = getattr(value, "__wrapped__", None)
        if inner is not None and callable(value):
            # Such as what functools.cache makes of a function.
            return f"{_name(kind)}({self.write(inner, depth)})"
        if dataclasses.is_dataclass(value):
            values = {item.name: getattr(value, item.name, None) for item in dataclasses.fields(value) if item.repr}
        elif self.home.has(kind):
            values = dict(vars(value)) if hasattr(value, "__dict__") else {}
        else:
            return f"{kind.__module__}.{_name(kind)}"
        if self.home.has(kind):
            self.met.append(kind)
        fields = [f"{name}={self.write(item, depth)}" for name, item in sorted(values.items())]
        return f"{kind.__module__}.{_name(kind)}({', '.join(fields)})"


def _name(kind: type) -> str:
    return kind.__qualname__


def code_of(code: CodeType, writer: Writer) -> list[str]:
    """Return what a piece of compiled code does, as texts: not where it stands, not its comments."""
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_kwonlyargcount)
    parts = [code.co_code.hex(), repr(names)]
    for constant in code.co_consts:
        parts += code_of(constant, writer) if isinstance(constant, CodeType) else [writer.write(constant)]
    return parts


def names_in(code: CodeType) -> Sequence[str]:
    """Return the names of globals (and of attributes) that code and what it defines use."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= dict.fromkeys(names_in(constant))
    return list(names)
