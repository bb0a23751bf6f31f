"""A second log over the data files of a table, in another folder: of a version, or of some of its files.

Engines read these files as they would through the table: with its partition values, deletion vectors, column mapping
and earlier schemas. The least and greatest values of columns that Sail misreads are left out, see ``misread``.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pyarrow as pa

from kindling_entities.engines._actions import Actions
from kindling_entities.engines._commits import commit_file

# Decimals of up to 15 digits stay distinct as doubles.
_EXACT_DIGITS = 15
# What a reader must know; the rest of a table's properties is for writers.
_READERS_PROPERTIES = ("delta.columnMapping.mode", "delta.columnMapping.maxColumnId", "delta.enableTypeWidening")


def misread(kind: pa.DataType) -> bool:
    """Whether statistics of this type, or of a part of it, come to Sail as other values."""
    if pa.types.is_floating(kind):
        return True
    if pa.types.is_decimal(kind):
        return bool(kind.precision > _EXACT_DIGITS)
    if pa.types.is_struct(kind):
        return any(misread(field.type) for field in kind)
    return False


def write_log(path: str, location: str, actions: Actions) -> None:
    """Make a folder with a log of a single version, over the data files of a table.

    Args:
        path: of the folder.
        location: of the table; an absolute path.
        actions: what the version is made of.
    """
    os.makedirs(os.path.join(path, "_delta_log"))
    os.symlink(os.path.abspath(location), os.path.join(path, "data"))
    schema = json.loads(actions.metadata["schemaString"])
    names = _misread_names(schema)
    metadata = dict(actions.metadata)
    given = metadata.get("configuration") or {}
    metadata["configuration"] = {name: given[name] for name in _READERS_PROPERTIES if name in given}
    with open(commit_file(path, 0), "w", encoding="utf8") as out:
        for action in ({"protocol": actions.protocol}, {"metaData": metadata}):
            out.write(json.dumps(action) + "\n")
        for add in actions.adds.values():
            out.write(json.dumps({"add": _moved(add, names)}) + "\n")


def _moved(add: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    moved = dict(add)
    if not _absolute(add["path"]):
        moved["path"] = f"data/{add['path']}"
    vector = add.get("deletionVector")
    if vector and vector["storageType"] == "u":
        # The folder comes before the 20 characters of the name.
        prefix, name = vector["pathOrInlineDv"][:-20], vector["pathOrInlineDv"][-20:]
        moved["deletionVector"] = {**vector, "pathOrInlineDv": f"data/{prefix}{name}" if prefix else f"data{name}"}
    if add.get("stats"):
        stats = json.loads(add["stats"])
        for which in ("minValues", "maxValues"):
            if isinstance(stats.get(which), dict):
                stats[which] = _without(stats[which], names)
        moved["stats"] = json.dumps(stats)
    return moved


def _absolute(path: str) -> bool:
    return path.startswith("/") or ":/" in path.split("?", 1)[0].split("#", 1)[0][:16]


def _without(values: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        if name not in names:
            kept[name] = value
        elif names[name] is not None and isinstance(value, dict):
            kept[name] = _without(value, names[name])
    return kept


def _misread_names(struct: dict[str, Any]) -> dict[str, Any]:
    """The columns of a schema in the log that are misread, as statistics name them; structs give their own."""
    found: dict[str, Any] = {}
    for column in struct["fields"]:
        name = (column.get("metadata") or {}).get("delta.columnMapping.physicalName", column["name"])
        kind = column["type"]
        if isinstance(kind, dict):
            if kind.get("type") == "struct":
                found[name] = _misread_names(kind)
        elif kind in ("float", "double") or (kind.startswith("decimal(") and _digits(kind) > _EXACT_DIGITS):
            found[name] = None
    return found


def _digits(decimal: str) -> int:
    return int(decimal[len("decimal(") :].split(",")[0].strip())
