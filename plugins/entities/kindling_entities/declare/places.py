"""Refuses two entities of a job at the same place, where each would overwrite, vacuum or read the other's files."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import EntityDefinitionError


def root_of(root: Path | str, base_dir: Path) -> Path | str:
    """Where a root lies: an absolute path, or an address as it is."""
    return str(root) if "://" in str(root) else base_dir / Path(root).expanduser()


class Locations:
    """Where the entities of a job lie, each looked up once."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[str, ...]] = {}

    def check(self, entities: Iterable[EntityDefinition], root: Path | str, base_dir: Path) -> None:
        """Refuse an entity that is written where another entity lies, within its folder, or around it.

        Sources may share files with each other.

        Args:
            entities: those that have files.

        Raises:
            EntityDefinitionError: names both with their lines.
        """
        places = []
        for entity in entities:
            if entity.entity_id not in self._parts:
                self._parts[entity.entity_id] = _parts(entity.resolve(root, base_dir))
            places.append((entity, self._parts[entity.entity_id]))
        written = {parts: entity for entity, parts in reversed(places) if not entity.read_only}
        for entity, parts in places:
            for length in range(1, len(parts) + 1):
                other = written.get(parts[:length])
                if other is not None and other is not entity:
                    raise _same(entity, other, "at" if length == len(parts) else "within the folder of")
        for entity, parts in places:
            if entity.read_only:
                for place, other in written.items():
                    if _reads(parts, place):
                        raise _same(other, entity, "among the files of")


def _parts(location: str) -> tuple[str, ...]:
    if "://" in location:
        scheme, _, rest = location.partition("://")
        return (scheme.lower() + "://", *posixpath.normpath(rest).split("/"))
    # What follows a wildcard is a pattern, not a path.
    head = location
    tail: list[str] = []
    while any(letter in head for letter in "*?[") and not os.path.lexists(head):
        head, last = os.path.split(head)
        tail.insert(0, last)
    return (*Path(os.path.realpath(head)).parts, *tail)


def _reads(pattern: tuple[str, ...], place: tuple[str, ...]) -> bool:
    """Whether a source reads a place: its folder is around it, or its pattern meets it or a folder around it."""
    for index, part in enumerate(pattern):
        if part == "**":
            return True
        if index >= len(place) or not (part == place[index] or fnmatchcase(place[index], part)):
            return False
    return True


def _same(entity: EntityDefinition, other: EntityDefinition, how: str) -> EntityDefinitionError:
    where = f" ({other.location})" if other.location else ""
    advice = (
        f"Read {other.entity_id!r} itself, or correct the path"
        if entity.read_only
        else "Give one of them another path or id"
    )
    return entity.wrong(
        f"it lies {how} {other.entity_id!r}{where}, and one would write over or read the files of the other. {advice}"
    )
