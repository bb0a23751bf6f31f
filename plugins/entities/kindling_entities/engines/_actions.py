"""The files of a version of a table, as its log names them: checkpoints and commits, read without an engine.

After the Delta transaction log protocol, "Action Reconciliation" and "Checkpoints".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from kindling_entities.engines._commits import commit_file

_CHECKPOINT = re.compile(
    r"^(?P<version>\d{20})\.checkpoint(?:\.(?P<part>\d{10})\.(?P<parts>\d{10})|\.[0-9a-fA-F-]{36})?\.(?:parquet|json)$"
)


@dataclass
class Actions:
    """The actions that make up a version of a table.

    Attributes:
        protocol: the newest protocol action, as in the log.
        metadata: the newest metadata action, as in the log.
        adds: the action of every file, by path and deletion vector.
    """

    protocol: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    adds: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def take(self, action: dict[str, Any]) -> None:
        """Apply a line of the log."""
        if add := action.get("add"):
            self.adds[_key(add)] = add
        elif remove := action.get("remove"):
            self.adds.pop(_key(remove), None)
        elif protocol := action.get("protocol"):
            self.protocol = protocol
        elif metadata := action.get("metaData"):
            self.metadata = metadata


def read_actions(location: str, version: int) -> Actions:
    """Read the log of a table up to a version.

    Raises:
        OSError, ValueError: a file of the log is missing or cannot be read.
    """
    log = os.path.join(location, "_delta_log")
    base, files = _newest_checkpoint(log, version)
    actions = Actions()
    for file in files:
        for action in _checkpointed(log, file):
            actions.take(action)
    for number in range(base + 1, version + 1):
        for action in commit(location, number):
            actions.take(action)
    return actions


def read_definition(location: str, version: int) -> Actions:
    """Read what defines a table at a version, without its files.

    Raises:
        OSError, ValueError: a file of the log is missing or cannot be read.
    """
    log = os.path.join(location, "_delta_log")
    base, files = _newest_checkpoint(log, version)
    found = Actions()
    for number in range(version, base, -1):
        for action in commit(location, number, ("protocol", "metaData")):
            found.protocol = found.protocol or action.get("protocol", {})
            found.metadata = found.metadata or action.get("metaData", {})
        if found.protocol and found.metadata:
            return found
    for file in files:
        for action in _checkpointed(log, file, ("protocol", "metaData")):
            found.protocol = found.protocol or action.get("protocol", {})
            found.metadata = found.metadata or action.get("metaData", {})
    return found


def commit(location: str, version: int, kinds: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The lines of a commit.

    Args:
        kinds: only actions of these kinds, such as "add"; all if empty.
    """
    # Lines of other kinds need not be parsed; a writer may put blanks before the name.
    begins = re.compile(r'\s*\{\s*"(?:' + "|".join(kinds) + r')"') if kinds else None
    with open(commit_file(location, version), encoding="utf8") as lines:
        for line in lines:
            if line.strip() and (begins is None or begins.match(line)):
                yield json.loads(line)


def _key(action: dict[str, Any]) -> tuple[str, str]:
    vector = action.get("deletionVector")
    if not vector:
        return action["path"], ""
    return action["path"], f"{vector['storageType']}{vector['pathOrInlineDv']}@{vector.get('offset')}"


def _newest_checkpoint(log: str, version: int) -> tuple[int, list[str]]:
    """The version of the newest complete checkpoint up to a version, and its files; -1 if there is none."""
    found: dict[int, list[list[str]]] = {}
    several: dict[tuple[int, int], list[str]] = {}
    for name in sorted(os.listdir(log)):
        match = _CHECKPOINT.match(name)
        if match is None or int(match["version"]) > version:
            continue
        number = int(match["version"])
        if match["parts"] is None:
            found.setdefault(number, []).append([name])
            continue
        parts = several.setdefault((number, int(match["parts"])), [])
        parts.append(name)
        if len(parts) == int(match["parts"]):
            found.setdefault(number, []).append(parts)
    if not found:
        return -1, []
    newest = max(found)
    return newest, found[newest][0]


def _checkpointed(
    log: str, file: str, kinds: Sequence[str] = ("protocol", "metaData", "add", "sidecar")
) -> Iterator[dict[str, Any]]:
    path = os.path.join(log, file)
    if file.endswith(".json"):
        with open(path, encoding="utf8") as lines:
            actions = [json.loads(line) for line in lines if line.strip()]
    else:
        actions = list(_rows(path, kinds))
    for action in actions:
        sidecar = action.get("sidecar") if "sidecar" in kinds else None
        if sidecar:
            yield from _rows(os.path.join(log, "_sidecars", os.path.basename(sidecar["path"])), kinds)
        else:
            yield action


def _rows(path: str, kinds: Sequence[str]) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        wanted = [name for name in kinds if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=wanted):
            for row in batch.to_pylist(maps_as_pydicts="strict"):
                for kind, given in row.items():
                    if given is not None:
                        yield {kind: _tidy(given)}


def _tidy(given: dict[str, Any]) -> dict[str, Any]:
    parsed = given.get("stats_parsed")
    if parsed and not given.get("stats"):
        # Only the number of rows: the others have types that json has not.
        given["stats"] = json.dumps({"numRecords": parsed.get("numRecords")})
    return {
        name: value
        for name, value in given.items()
        if value is not None and name not in ("stats_parsed", "partitionValues_parsed")
    }
