"""What the rows of an entity depend on: its declaration and, for a source of files, the state of these files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from kindling_core.state.dependencies import FILES
from kindling_entities.declare.entity import EntityDefinition

# What is only said for people, or changes how rows are kept and not which.
_NOT_ROWS = {"entity_id", "description", "tags", "location", "maintenance", "cluster_by"}


def declared(entity: EntityDefinition) -> dict[str, str]:
    """Return field -> text of all that a declaration says which is not the default."""
    found = {}
    for field in fields(entity):
        value = getattr(entity, field.name)
        if field.name not in _NOT_ROWS and value != _default(field):
            found[field.name] = _text(value)
    return found


def with_files(declared: Mapping[str, str], version: object) -> dict[str, str]:
    """Add which files a source has; the number differs whenever they do."""
    return {**declared, FILES: "none" if isinstance(version, Exception) else f"state {version}"}


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(map(_text, value))) + "}"
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return repr(value)
