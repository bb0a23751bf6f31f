"""What ``kindling signals`` and the docs say of signals, as data made from the emitter classes."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from kindling_core.signals._emitter import SignalEmitter
from kindling_core.signals._payload import SignalPayload
from kindling_core.signals._provider import BlinkerSignalProvider


@dataclass(frozen=True)
class FieldEntry:
    """A payload field."""

    name: str
    type: str
    doc: str


@dataclass
class SignalEntry:
    """A signal: its meaning, its payload and the classes that emit it."""

    name: str
    doc: str
    fields: list[FieldEntry]
    emitters: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "name": self.name,
            "doc": self.doc,
            "fields": [{"name": item.name, "type": item.type, "doc": item.doc} for item in self.fields],
            "emitters": list(self.emitters),
        }


def catalogue(emitters: Iterable[type[SignalEmitter]]) -> list[SignalEntry]:
    """List every signal of these classes, and of the provider itself, once and by name."""
    entries: dict[str, SignalEntry] = {}
    classes: list[type[SignalEmitter] | type[BlinkerSignalProvider]] = [*emitters, BlinkerSignalProvider]
    for emitter in classes:
        types = {payload.SIGNAL: payload for payload in emitter.PAYLOADS}
        for name in emitter.EMITS:
            entry = entries.get(name)
            if entry is None:
                entry = entries[name] = _entry(name, types.get(name))
            if emitter.__name__ not in entry.emitters:
                entry.emitters.append(emitter.__name__)
    return [entries[name] for name in sorted(entries)]


def _entry(name: str, payload: type[SignalPayload] | None) -> SignalEntry:
    if payload is None:
        return SignalEntry(name, "", [])
    hints = typing.get_type_hints(payload, include_extras=True)
    own = [item.name for item in fields(payload)]
    base = [item.name for item in fields(SignalPayload)]
    ordered = [item for item in own if item not in base] + base
    return SignalEntry(name, inspect.getdoc(payload) or "", [_field(item, hints[item]) for item in ordered])


def _field(name: str, annotation: Any) -> FieldEntry:
    doc = ""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation, doc = typing.get_args(annotation)[:2]
    text = annotation.__name__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)
    return FieldEntry(name, re.sub(r"\b(?:typing|datetime|builtins)\.", "", text), str(doc))
