"""Where settings come from: the job file, the environment, the command line, each value with its origin."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kindling_core.errors import ConfigError
from kindling_core.secrets import is_secret_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


KeyPath = tuple[str, ...]


ENVIRONMENT_PREFIX = "KINDLING_"

_BEGINNING = re.compile(r"[\w.\-]*")


@dataclass(frozen=True)
class Value:
    """A setting as it was given.

    Attributes:
        origin: for people, such as ``kindling.toml:7`` or ``environment KINDLING_ENTITIES__ROOT``.
        secret: its name is that of a secret, or a part of it came from a variable with such a name.
    """

    value: Any
    origin: str
    secret: bool = False


Layer = Mapping[KeyPath, Value]


def file_layer(path: Path) -> dict[KeyPath, Value]:
    """Read a TOML job file.

    Raises:
        ConfigError: it is missing, unreadable or no TOML (with the line).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"No job file at {path}. Make a project with `kindling init`, or name the file with --job."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The job file {path} cannot be read: {error}.") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The job file {path} is not valid TOML: {error}.") from error
    lines = _key_lines(text)

    def origin(key: KeyPath) -> str:
        for length in range(len(key), 0, -1):
            if key[:length] in lines:
                return f"{path.name}:{lines[key[:length]]}"
        return path.name

    return {key: Value(value, origin(key)) for key, value in leaves(data)}


def mapping_layer(data: Mapping[str, Any], origin: str) -> dict[KeyPath, Value]:
    """Make a layer of nested dicts, as given to ``App(config=...)``."""
    return {key: Value(value, origin) for key, value in leaves(data)}


def environment_layer(environ: Mapping[str, str]) -> dict[KeyPath, Value]:
    """Collect ``KINDLING_SECTION__KEY`` variables; a pair of underscores separates levels."""
    layer: dict[KeyPath, Value] = {}
    for name, text in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            key = tuple(part.lower() for part in name[len(ENVIRONMENT_PREFIX) :].split("__"))
            layer[key] = Value(_literal(text), f"environment {name}", secret=is_secret_name(".".join(key)))
    return layer


def override_layer(assignments: Sequence[str]) -> dict[KeyPath, Value]:
    """Parse ``section.key=value`` assignments of the command line.

    Raises:
        ConfigError: an assignment has no ``=`` or no section.
    """
    layer: dict[KeyPath, Value] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        key = tuple(name.strip().split("."))
        if not equals or len(key) < 2 or not all(key):
            # Without what may be the value, which may be a secret.
            shown = f"{name.strip()}=..." if equals else _BEGINNING.match(name).group()  # type: ignore[union-attr]
            raise ConfigError(f"--set {shown!r}: write it as section.key=value.")
        layer[key] = Value(_literal(text), f"--set {name.strip()}", secret=is_secret_name(name))
    return layer


def leaves(data: Mapping[str, Any], prefix: KeyPath = ()) -> Iterable[tuple[KeyPath, Any]]:
    for key, value in data.items():
        path = (*prefix, str(key))
        if isinstance(value, Mapping) and (value or len(path) == 1):
            yield from leaves(value, path)
        else:
            yield path, value


def _literal(text: str) -> Any:
    """Lists, tables and quoted strings are TOML; anything else stays text for the model to convert."""
    if text[:1] in ("[", "{", '"', "'"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


_HEADER = re.compile(r"^\s*\[{1,2}\s*(?P<name>[^\]]+?)\s*\]{1,2}\s*(#.*)?$")


_KEY = re.compile(r"^\s*(?P<key>[A-Za-z0-9_.\-\"' ]+?)\s*=")


def _key_lines(text: str) -> dict[KeyPath, int]:
    """Find the line of each key of a valid TOML text; the standard parser does not say."""
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _dotted(header["name"])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_dotted(key["key"])), number)
    return lines


def _dotted(name: str) -> KeyPath:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
