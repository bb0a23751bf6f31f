"""Columns that folders carry in their names, such as ``day=2024-05-01``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import unquote

from kindling_entities.errors import SchemaError
from kindling_entities.formats._csv import Source
from kindling_entities.formats._paths import split

_FOLDER = re.compile(r"([^=/]+)=(.*)", re.DOTALL)
# How Hive and Spark write a null.
_NULL = "__HIVE_DEFAULT_PARTITION__"


def sources(what: str, location: str, paths: Sequence[str]) -> list[Source]:
    """Return the files with their names below the location and the columns of their folders.

    Raises:
        SchemaError: the files do not lie in folders of the same columns.
    """
    base = _base(location)
    found = []
    for path in paths:
        name = os.path.relpath(path, base)
        columns: dict[str, str | None] = {}
        for part in name.split(os.sep)[:-1]:
            match = _FOLDER.fullmatch(part)
            if match is not None:
                columns[unquote(match[1])] = None if match[2] == _NULL else unquote(match[2])
        found.append(Source(path, name, columns))
    for source in found[1:]:
        if list(source.partition) != list(found[0].partition):
            raise SchemaError(
                f"{what}: {source.path} lies in folders of the columns {_names(source)}, {found[0].path} in folders of "
                f"{_names(found[0])}. Move one of them, or declare two sources."
            )
    return found


def _names(source: Source) -> str:
    return ", ".join(map(repr, source.partition)) or "no columns"


def _base(location: str) -> str:
    """The folder below which names count: the location itself, or of a glob its part without wildcards."""
    if os.path.isdir(location):
        return location
    return os.path.dirname(location) or "." if os.path.isfile(location) else split(location)[0] or "."
