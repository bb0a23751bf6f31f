"""Owns the signals of an app."""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import blinker

from kindling_core.clock import Clock, SystemClock
from kindling_core.errors import SignalError, text_of
from kindling_core.logs import Log
from kindling_core.secrets import Redactor, describe_error
from kindling_core.signals._connection import Receiver
from kindling_core.signals._delivery import FLUSH_SECONDS, Deadline, Delivery, close_queues
from kindling_core.signals._payload import ReceiverFailed, SignalPayload
from kindling_core.signals._signal import QUEUE_SIZE, Results, Signal, TypedSignal, name_of


class SignalProvider(ABC):
    """Makes, finds and sends signals by name."""

    @abstractmethod
    def create_signal(self, name: str, payload_type: type[Any] | None = None, doc: str | None = None) -> Signal:
        """Return the signal of this name, made if necessary; a type given later upgrades an untyped signal."""

    @abstractmethod
    def get_signal(self, name: str) -> Signal | None:
        """Return the signal of this name, None if nobody has made it."""

    @abstractmethod
    def emit(self, signal_name: str, /, sender: Any = None, **fields: Any) -> Results:
        """Send a signal by name; a signal that nobody knows is made first."""


class BlinkerSignalProvider(SignalProvider):
    """Signals on a ``blinker.Namespace`` of its own.

    Args:
        strict: raise when a receiver fails on the sender's thread, and check payloads even when nobody listens.
        redact: masks secrets in the error texts of every signal (``ERROR_TEXTS``) and in what is logged.
        clock: gives the timestamps of signals; replaced in tests.

    Attributes:
        failures: (signal name, receiver's name) -> how often it failed.
    """

    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = (ReceiverFailed,)
    EMITS: ClassVar[list[str]] = [ReceiverFailed.SIGNAL]

    def __init__(
        self, strict: bool = False, *, redact: Callable[[str], str] | None = None, clock: Clock | None = None
    ) -> None:
        self.strict = strict
        self._redact = redact or Redactor()
        self._clock: Clock = clock or SystemClock()
        self.failures: Counter[tuple[str, str]] = Counter()
        self._namespace = blinker.Namespace()
        self._signals: dict[str, TypedSignal] = {}
        self._patterns: list[tuple[str, Receiver, Callable[[TypedSignal], None]]] = []
        self._wrapped: list[tuple[Receiver, TypedSignal, Receiver]] = []
        self._lock = threading.RLock()
        self._delivery = Delivery(self._redact)
        self._log = Log("kindling.signals")
        self.create_signal(ReceiverFailed.SIGNAL, ReceiverFailed)

    def create_signal(self, name: str, payload_type: type[Any] | None = None, doc: str | None = None) -> TypedSignal:
        with self._lock:
            signal = self._signals.get(name)
            if signal is None:
                signal = TypedSignal(
                    self._namespace.signal(name),
                    payload_type,
                    doc=doc,
                    strict=self.strict,
                    failed=self._receiver_failed,
                    delivery=self._delivery,
                    redact=self._redact,
                    clock=self._clock,
                )
                self._signals[name] = signal
                for pattern, _, connect in self._patterns:
                    if fnmatchcase(name, pattern):
                        connect(signal)
            elif payload_type is not None:
                signal.set_payload_type(payload_type)
            if doc and not signal.doc:
                signal.doc = doc
        return signal

    def get_signal(self, name: str) -> TypedSignal | None:
        return self._signals.get(name)

    def names(self) -> list[str]:
        """The names of all signals, sorted."""
        return sorted(self._signals)

    def emit(self, signal_name: str, /, sender: Any = None, **fields: Any) -> Results:
        signal = self._signals.get(signal_name) or self.create_signal(signal_name)
        return signal.send(sender, **fields)

    def on(
        self,
        pattern: str,
        receiver: Receiver | None = None,
        *,
        sender: Any = None,
        only: Mapping[str, Any] | None = None,
        queued: bool = False,
        maxsize: int = QUEUE_SIZE,
    ) -> Any:
        """Connect to every signal whose name matches, also to those made later. Usable as a decorator.

        A receiver that takes ``signal_name`` (by name or by ``**fields``) is given the name of the signal.

        Args:
            pattern: a shell pattern such as ``datapipes.*``.
            sender, only, queued, maxsize: as in ``Signal.connect``. A queued receiver has a single thread for all its
                signals and is called in the order of their messages; ``maxsize`` is for each signal.
        """
        if receiver is None:
            return lambda decorated: self.on(
                pattern, decorated, sender=sender, only=only, queued=queued, maxsize=maxsize
            )
        listener = receiver

        def connect(signal: TypedSignal) -> None:
            wrapped = _given_the_name(listener, signal.name)
            self._wrapped.append((listener, signal, wrapped))
            signal._connect(wrapped, sender, only, False, maxsize if queued else None, owner=listener)

        with self._lock:
            self._patterns.append((pattern, listener, connect))
            for name in sorted(self._signals):
                if fnmatchcase(name, pattern):
                    connect(self._signals[name])
        return listener

    def off(self, receiver: Receiver, seconds: float = FLUSH_SECONDS) -> None:
        """End every connection that ``on`` made for this receiver; it gets what is queued first.

        Args:
            seconds: for all of its signals together; a receiver that hangs is given up then.
        """
        with self._lock:
            # Equality, not identity: each access to a bound method makes another object.
            self._patterns = [entry for entry in self._patterns if entry[1] != receiver]
            connected = [entry for entry in self._wrapped if entry[0] == receiver]
            self._wrapped = [entry for entry in self._wrapped if entry[0] != receiver]
        signals = [signal for _, signal, _ in connected]
        queues = [queue for _, signal, wrapped in connected for queue in signal._end_receiver(wrapped)]
        close_queues(queues, Deadline(seconds))
        for signal in signals:
            signal._forget_queues()

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Deliver what is queued, then end the threads; may be called twice.

        Args:
            seconds: for all receivers together; those that hang are given up then.
        """
        self._delivery.close(seconds)

    def _receiver_failed(self, signal: TypedSignal, receiver: Receiver, error: BaseException, on_sender: bool) -> None:
        name = name_of(receiver)
        with self._lock:
            self.failures[(signal.name, name)] += 1
            first = self.failures[(signal.name, name)] == 1
        if first:
            self._log.error(
                "Receiver %s of signal %s failed, the run goes on: %s",
                name,
                signal.name,
                describe_error(error, self._redact),
            )
        if signal.name != ReceiverFailed.SIGNAL:
            self.emit(
                ReceiverFailed.SIGNAL,
                sender=self,
                signal=signal.name,
                receiver=name,
                error=text_of(error, self._redact),
                error_type=type(error).__name__,
            )
        # Off the sender's thread there is nobody to raise to; raising would only end the delivery to others.
        if self.strict and on_sender:
            raise SignalError(
                f"Receiver {name} of signal {signal.name!r} failed: {text_of(error, self._redact)}"
            ) from error


def _given_the_name(receiver: Receiver, signal_name: str) -> Receiver:
    """Bind the signal's name for a receiver that takes it."""
    try:
        parameters = list(inspect.signature(receiver).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    takes = any(parameter.name == "signal_name" or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    extra = {"signal_name": signal_name} if takes else {}

    def with_name(sender: Any, **fields: Any) -> Any:
        return receiver(sender, **{**extra, **fields})

    with_name.__qualname__ = name_of(receiver)
    return with_name
