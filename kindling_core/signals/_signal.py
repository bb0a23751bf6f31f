"""A signal: its receivers, its payload type, and the sending.

Connections are kept in the blinker signal, so that code which knows blinker alone reaches them, and in an
immutable tuple from which sending works: a set that another thread changes is never walked.
"""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from types import CoroutineType
from typing import Any

import blinker

from kindling_core.clock import Clock, SystemClock
from kindling_core.errors import safe_str, shortened
from kindling_core.logs import Log
from kindling_core.secrets import Redactor, describe_error
from kindling_core.signals._connection import Connection, Receiver
from kindling_core.signals._delivery import Deadline, Delivery, ReceiverQueue, close_queues
from kindling_core.signals._payload import PayloadShape

Results = list[tuple[Receiver, Any]]
# Called with (signal, receiver, error, whether this is the sender's thread).
Failed = Callable[["TypedSignal", Receiver, BaseException, bool], None]

QUEUE_SIZE = 1000
# Fields of any signal in which the text of an error may stand; receivers get them without secrets.
ERROR_TEXTS = ("error", "exception", "reason", "message")


class Signal(ABC):
    """What receivers connect to and emitters send."""

    name: str

    @abstractmethod
    def connect(
        self,
        receiver: Receiver,
        sender: Any = None,
        only: Mapping[str, Any] | None = None,
        weak: bool = False,
        queued: bool = False,
        maxsize: int = QUEUE_SIZE,
    ) -> Receiver:
        """Call ``receiver(sender, **fields)`` on each send; returns the receiver.

        Connecting it again in the same way changes nothing; with other filters it is called for each that matches.

        Args:
            sender: only what this object sends.
            only: only sends whose fields have these values.
            weak: forget the receiver when nothing else refers to it.
            queued: call it on a thread of its own, from a queue of ``maxsize`` that drops what does not fit.

        Raises:
            TypeError: the receiver cannot be called, or ``weak`` is asked of a receiver that has no weak reference.
        """

    @abstractmethod
    def disconnect(self, receiver: Receiver) -> None:
        """End every connection of this receiver; a queued receiver gets what is queued first."""

    @abstractmethod
    def send(self, sender: Any, /, payload: Any = None, **fields: Any) -> Results:
        """Call every receiver and return (receiver, value) pairs."""

    @abstractmethod
    def connected_to(self, receiver: Receiver) -> AbstractContextManager[None]:
        """Connect for the length of a ``with`` block."""

    @abstractmethod
    def muted(self) -> AbstractContextManager[None]:
        """Send to nobody for the length of a ``with`` block."""

    @abstractmethod
    def has_receivers_for(self, sender: Any) -> bool:
        """Whether a send of this sender could reach anybody."""


class TypedSignal(Signal):
    """A signal on a blinker signal, checked against a payload dataclass if it has a payload type.

    Attributes:
        payload_type: the dataclass, None for an untyped signal.
        doc: what the signal means.
    """

    def __init__(
        self,
        blinker_signal: blinker.Signal,
        payload_type: type[Any] | None = None,
        *,
        doc: str | None = None,
        strict: bool = False,
        failed: Failed | None = None,
        delivery: Delivery | None = None,
        redact: Callable[[str], str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name: str = getattr(blinker_signal, "name", "") or "anonymous"
        self.doc = doc or (inspect.getdoc(payload_type) if payload_type else None)
        self.blinker_signal = blinker_signal
        self.payload_type: type[Any] | None = None
        self._shape: PayloadShape | None = None
        self._strict = strict
        self._failed = failed or _log_failure
        self._redact = redact or Redactor()
        self._clock: Clock = clock or SystemClock()
        self._delivery = delivery or Delivery(self._redact)
        self._error_texts: tuple[str, ...] = ERROR_TEXTS
        self._lock = threading.RLock()
        self._connections: tuple[Connection, ...] = ()
        self._muted = 0
        self._dropped = 0
        # Queues of ended connections, which may still drop what they hold.
        self._left: list[ReceiverQueue] = []
        if payload_type is not None:
            self.set_payload_type(payload_type)

    def __repr__(self) -> str:
        kind = self.payload_type.__name__ if self.payload_type else "untyped"
        return f"<signal {self.name} ({kind}), {len(self._connections)} receivers>"

    def set_payload_type(self, payload_type: type[Any]) -> None:
        """Give an untyped signal its type; the receivers stay.

        Raises:
            TypeError: the signal has another type already.
        """
        if self.payload_type is payload_type:
            return
        if self.payload_type is not None:
            raise TypeError(
                f"Signal {self.name!r} carries {self.payload_type.__name__} already, not {payload_type.__name__}."
            )
        shape = self._shape = PayloadShape(self.name, payload_type, self._clock)
        self._error_texts = tuple(name for name in ERROR_TEXTS if name in shape)
        self.payload_type = payload_type
        self.doc = self.doc or inspect.getdoc(payload_type)

    @property
    def receivers(self) -> list[Receiver]:
        """Who is connected now, in the order of connection."""
        return [receiver for connection in self._connections if (receiver := connection.resolve()) is not None]

    @property
    def dropped(self) -> int:
        """Calls that bounded queues of this signal could not take."""
        queues = [*self._left, *(connection.queue for connection in self._connections if connection.queue is not None)]
        return self._dropped + sum(queue.dropped for queue in queues)

    def connect(
        self,
        receiver: Receiver,
        sender: Any = None,
        only: Mapping[str, Any] | None = None,
        weak: bool = False,
        queued: bool = False,
        maxsize: int = QUEUE_SIZE,
    ) -> Receiver:
        self._connect(receiver, sender, only, weak, maxsize if queued else None)
        return receiver

    def _connect(
        self,
        receiver: Receiver,
        sender: Any,
        only: Mapping[str, Any] | None,
        weak: bool,
        maxsize: int | None,
        owner: Receiver | None = None,
    ) -> Connection | None:
        """Make a connection; None if the same is there already.

        Args:
            owner: what the receiver stands for, and whose thread a queue uses; the receiver itself by default.
        """
        if not callable(receiver):
            raise TypeError(f"A receiver of signal {self.name!r} must be callable, not {type(receiver).__name__}.")
        connection = Connection(self, receiver, sender, only, weak)
        if maxsize is not None:
            connection.queue = ReceiverQueue(
                connection.resolve if owner is None else lambda: owner,
                lambda sender, fields: self._call_queued(connection, sender, fields),
                lambda error: self._failed_elsewhere(connection.resolve(), error),
                maxsize,
            )
        if self._has_like(connection):
            return None
        if connection.queue is not None:
            # Before anybody can send to it, and not under the lock of this signal: it takes those of deliveries.
            self._delivery.add(connection.queue, name_of(receiver))
        with self._lock:
            if not self._has_like(connection):
                self.blinker_signal.connect(connection, weak=False)
                self._connections = (*self._connections, connection)
                return connection
        if connection.queue is not None:
            connection.queue.discard()
        return None

    def _has_like(self, connection: Connection) -> bool:
        return any(connection.is_like(other) for other in self._connections)

    def disconnect(self, receiver: Receiver) -> None:
        self._drop(lambda connection: connection.resolve() == receiver)

    def _end_receiver(self, receiver: Receiver) -> list[ReceiverQueue]:
        return self._end(lambda connection: connection.resolve() == receiver)

    def _drop(self, unwanted: Callable[[Connection], bool]) -> None:
        """End connections, and deliver what waits for them first."""
        close_queues(self._end(unwanted), Deadline())
        self._forget_queues()

    def _end(self, unwanted: Callable[[Connection], bool]) -> list[ReceiverQueue]:
        """End connections; returns their queues, which have still to be closed."""
        with self._lock:
            dropped = [connection for connection in self._connections if unwanted(connection)]
            self._connections = tuple(connection for connection in self._connections if connection not in dropped)
            for connection in dropped:
                self.blinker_signal.disconnect(connection)
            queues = [connection.queue for connection in dropped if connection.queue is not None]
            self._left.extend(queues)
        return queues

    def _forget_queues(self) -> None:
        """Keep of the queues of ended connections no more than what they dropped."""
        with self._lock:
            self._dropped += sum(queue.dropped for queue in self._left if queue.closed)
            self._left = [queue for queue in self._left if not queue.closed]

    @contextmanager
    def connected_to(self, receiver: Receiver, sender: Any = None) -> Iterator[None]:
        connection = self._connect(receiver, sender, None, False, None)
        try:
            yield
        finally:
            self._drop(lambda other: other is connection)

    @contextmanager
    def muted(self) -> Iterator[None]:
        with self._lock:
            self._muted += 1
        try:
            yield
        finally:
            with self._lock:
                self._muted -= 1

    def has_receivers_for(self, sender: Any) -> bool:
        if any(connection.sender is None or connection.sender is sender for connection in self._connections):
            return True
        return any(not isinstance(receiver, Connection) for receiver in self._blinker_receivers(sender))

    def send(self, sender: Any, /, payload: Any = None, **fields: Any) -> Results:
        connections = self._connections
        foreign = len(self.blinker_signal.receivers) != len(connections)
        shape = self._shape
        if not (connections or foreign or self._strict) or self._muted:
            return []
        if payload is not None:
            fields = self._with_payload(payload, fields)
        if shape is not None:
            fields = shape.of_fields(fields)
        for name in self._error_texts:
            if name in fields and isinstance(text := fields[name], str):
                fields[name] = shortened(self._redact(text))
        results: Results = []
        for connection in connections:
            if (connection.sender is None and connection.only is None) or self._wants(connection, sender, fields):
                self._deliver(connection, sender, fields, results)
        if foreign:
            for receiver in self._blinker_receivers(sender):
                if not isinstance(receiver, Connection):
                    self._call(receiver, sender, fields, results)
        return results

    def _with_payload(self, payload: Any, fields: dict[str, Any]) -> dict[str, Any]:
        """Merge a payload object with fields; anything else under that name is a field like others."""
        shape = self._shape
        if shape is not None:
            return {"payload": payload, **fields} if "payload" in shape else {**shape.of_payload(payload), **fields}
        if is_dataclass(payload) and not isinstance(payload, type):
            return {**{item.name: getattr(payload, item.name) for item in dataclass_fields(payload)}, **fields}
        return {"payload": payload, **fields}

    def _wants(self, connection: Connection, sender: Any, fields: Mapping[str, Any]) -> bool:
        """Whether the filters of a connection match; values that cannot be compared are its receiver's failure."""
        try:
            return connection.wants(sender, fields)
        except Exception as error:  # noqa: BLE001 - what is equal the classes of the values say
            receiver = connection.resolve()
            if receiver is not None:
                self._failed(self, receiver, error, True)
            return False

    def _deliver(self, connection: Connection, sender: Any, fields: dict[str, Any], results: Results) -> Any:
        receiver = connection.receiver or connection.resolve()
        if receiver is None:
            return None
        if connection.queue is not None:
            connection.queue.put(sender, fields)
            return None
        return self._call(receiver, sender, fields, results)

    def _call(self, receiver: Receiver, sender: Any, fields: dict[str, Any], results: Results) -> Any:
        try:
            value = receiver(sender, **fields)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a receiver may do anything and breaks nothing
            self._failed(self, receiver, error, True)
            return None
        if type(value) is CoroutineType:
            self._delivery.loop.run(value, lambda error: self._failed_elsewhere(receiver, error))
            value = None
        results.append((receiver, value))
        return value

    def _call_queued(self, connection: Connection, sender: Any, fields: dict[str, Any]) -> None:
        """Call on the queue's thread; a coroutine is waited for, so that the queue stays the bound."""
        receiver = connection.resolve()
        if receiver is None:
            return
        value = receiver(sender, **fields)
        if type(value) is CoroutineType:
            future = self._delivery.loop.run(value, lambda error: self._failed_elsewhere(receiver, error))
            if future is not None:
                # Whatever it raises was reported; a wait that ``close`` has ended is none of the receiver's failures.
                wait([future])

    def _failed_elsewhere(self, receiver: Receiver | None, error: BaseException) -> None:
        if receiver is not None:
            self._failed(self, receiver, error, False)

    def _blinker_receivers(self, sender: Any) -> list[Receiver]:
        with self._lock:
            return list(self.blinker_signal.receivers_for(sender))

    def close(self) -> None:
        """Deliver what is queued; the receivers stay connected, queued ones get nothing more."""
        queues = [connection.queue for connection in self._connections if connection.queue is not None]
        close_queues(queues, Deadline())


def name_of(receiver: Receiver) -> str:
    """Return a name for a receiver, whatever its class does when it is asked for attributes."""
    try:
        name = receiver.__qualname__
    except Exception:  # noqa: BLE001 - somebody else's class
        name = None
    return safe_str(name or type(receiver).__qualname__)


def _log_failure(signal: TypedSignal, receiver: Receiver, error: BaseException, on_sender: bool) -> None:
    """What a signal without a provider does with a receiver's error."""
    Log("kindling.signals").error(
        "Receiver %s of signal %s failed: %s", name_of(receiver), signal.name, describe_error(error, signal._redact)
    )
