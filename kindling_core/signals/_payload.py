"""The base of typed payloads, and the check of fields against a payload class."""

from __future__ import annotations

import numbers
import types
import typing
import uuid
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, ClassVar

from kindling_core.clock import Clock, SystemClock

# A count that comes from numpy is a count, too, and whole numbers are numbers.
_NUMBERS: dict[Any, tuple[type, ...]] = {int: (int, numbers.Integral), float: (float, numbers.Real)}


def new_operation_id() -> str:
    """Make the id that ``before_x`` and its ``after_x`` or ``x_failed`` share."""
    return str(uuid.uuid4())


def utc_now() -> str:
    """The time as ISO 8601 in UTC, with its offset, for a payload that is made without a signal."""
    return SystemClock().utc_now().isoformat()


@dataclass
class SignalPayload:
    """Base of every typed payload.

    Attributes:
        SIGNAL: the signal's name.
        operation_id: uuid4, shared by the signals of an operation.
        timestamp: UTC, ISO 8601 with offset.
    """

    SIGNAL: ClassVar[str] = ""

    operation_id: Annotated[str, "shared by the signals of an operation (uuid4)"] = field(
        default_factory=new_operation_id, kw_only=True
    )
    timestamp: Annotated[str, "when it was sent, UTC, ISO 8601"] = field(default_factory=utc_now, kw_only=True)


@dataclass
class ReceiverFailed(SignalPayload):
    """A receiver raised; the run that it watched goes on."""

    SIGNAL: ClassVar[str] = "signals.receiver_failed"

    signal: Annotated[str, "the signal"]
    receiver: Annotated[str, "the receiver's name"]
    error: Annotated[str, "the error's message"]
    error_type: Annotated[str, "the error's class"]


class PayloadShape:
    """The fields of a payload class, prepared for quick checks.

    Args:
        clock: gives the timestamps that are not given.
    """

    def __init__(self, signal: str, payload_type: type[Any], clock: Clock) -> None:
        if not is_dataclass(payload_type):
            raise TypeError(f"The payload type of signal {signal!r} must be a dataclass, not {payload_type!r}.")
        self.signal = signal
        self.payload_type = payload_type
        hints = _hints(payload_type)
        self._allowed: dict[str, tuple[type, ...] | None] = {}
        self._required: list[str] = []
        self._factories: dict[str, Any] = {}
        for item in fields(payload_type):
            self._allowed[item.name] = _runtime_types(hints.get(item.name))
            if item.default is not MISSING:
                self._factories[item.name] = lambda default=item.default: default
            elif item.default_factory is not MISSING:
                dates = item.default_factory is utc_now
                self._factories[item.name] = (lambda: clock.utc_now().isoformat()) if dates else item.default_factory
            else:
                self._required.append(item.name)

    def __contains__(self, field_name: object) -> bool:
        return field_name in self._allowed

    def of_payload(self, payload: object) -> dict[str, Any]:
        """Turn a payload object into fields.

        Raises:
            TypeError: it is of another class, or a field holds a value of the wrong type.
        """
        if not isinstance(payload, self.payload_type):
            raise TypeError(
                f"Signal {self.signal!r} carries {self.payload_type.__name__}, not {type(payload).__name__}."
            )
        return self.of_fields({name: getattr(payload, name) for name in self._allowed})

    def of_fields(self, given: dict[str, Any]) -> dict[str, Any]:
        """Check fields and fill in those that have defaults.

        Raises:
            TypeError: naming the signal, the field and its type.
        """
        allowed = self._allowed
        for name, value in given.items():
            if name not in allowed:
                raise TypeError(f"Signal {self.signal!r} has no field {name!r}; its fields are {', '.join(allowed)}.")
            types = allowed[name]
            if types is not None and not isinstance(value, types):
                expected = " or ".join(kind.__name__ for kind in types if kind.__module__ != "numbers")
                raise TypeError(f"Signal {self.signal!r}: field {name!r} takes {expected}, not {type(value).__name__}.")
        for name in self._required:
            if name not in given:
                raise TypeError(f"Signal {self.signal!r}: field {name!r} is missing.")
        for name, factory in self._factories.items():
            if name not in given:
                given[name] = factory()
        return given


def _hints(payload_type: type[Any]) -> dict[str, Any]:
    """The annotations of a class; those that name what exists for type checkers alone stay unchecked."""
    try:
        return typing.get_type_hints(payload_type)
    except NameError:
        return {}


def _runtime_types(annotation: Any) -> tuple[type, ...] | None:
    """The classes that a value may have, None where anything goes."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _runtime_types(typing.get_args(annotation)[0])
    if origin is typing.Union or origin is types.UnionType:
        found: list[type] = []
        for member in typing.get_args(annotation):
            inner = _runtime_types(member)
            if inner is None:
                return None
            found.extend(inner)
        return tuple(found)
    if isinstance(origin, type):
        return (origin,)
    if annotation in _NUMBERS:
        return _NUMBERS[annotation]
    return (annotation,) if isinstance(annotation, type) else None
