"""A receiver of a signal, with what it wants to hear."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kindling_core.signals._delivery import ReceiverQueue

if TYPE_CHECKING:
    from kindling_core.signals._signal import TypedSignal

Receiver = Callable[..., Any]


class Connection:
    """A receiver with its filters. Also what blinker calls."""

    __slots__ = ("__weakref__", "_reference", "only", "queue", "receiver", "sender", "signal")

    def __init__(
        self, signal: TypedSignal, receiver: Receiver, sender: Any, only: Mapping[str, Any] | None, weak: bool
    ) -> None:
        self.signal = signal
        self.sender = sender
        self.only = dict(only) if only else None
        self.queue: ReceiverQueue | None = None
        self.receiver: Receiver | None = None
        self._reference: weakref.ref[Any] | None = None
        if weak:
            kind = weakref.WeakMethod if inspect.ismethod(receiver) else weakref.ref
            self._reference = kind(receiver, self._forgotten)
        else:
            self.receiver = receiver

    def resolve(self) -> Receiver | None:
        if self.receiver is not None:
            return self.receiver
        return self._reference() if self._reference is not None else None

    def is_like(self, other: Connection) -> bool:
        """Whether the other calls the same receiver for the same sends, in a queue or not as this connection."""
        return (
            self.resolve() == other.resolve()
            and self.sender is other.sender
            and self.only == other.only
            and (other.queue is None) == (self.queue is None)
        )

    def wants(self, sender: Any, fields: Mapping[str, Any]) -> bool:
        if self.sender is not None and self.sender is not sender:
            return False
        if self.only is not None:
            missing = object()
            return all(fields.get(name, missing) == value for name, value in self.only.items())
        return True

    def _forgotten(self, reference: object) -> None:
        # Garbage collection may call this on any thread, at any point: nothing here may wait.
        for queue in self.signal._end(lambda connection: connection is self):
            queue.discard()
        self.signal._forget_queues()

    def __call__(self, sender: Any, **fields: Any) -> Any:
        """Reached when somebody sends on the blinker signal itself."""
        return self.signal._deliver(self, sender, fields, [])
