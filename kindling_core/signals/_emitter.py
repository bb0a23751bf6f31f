"""The mix-in of everything that emits signals."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sized
from types import MappingProxyType
from typing import Any, ClassVar

from kindling_core.errors import SignalError
from kindling_core.logs import Log
from kindling_core.signals._payload import SignalPayload
from kindling_core.signals._provider import SignalProvider
from kindling_core.signals._signal import Results, Signal, TypedSignal


class SignalEmitter:
    """Emits the signals that it declares; without a provider it emits nothing.

    Attributes:
        EMITS: names of the signals.
        PAYLOADS: payload classes of those that are typed; each names its signal.
    """

    EMITS: ClassVar[list[str]] = []
    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = ()

    _signal_provider: SignalProvider | None = None
    _bound: Mapping[str, tuple[Signal, Sized]] = MappingProxyType({})

    @classmethod
    def declare(cls, provider: SignalProvider) -> None:
        """Make the declared signals known to a provider, with their types."""
        types = {payload.SIGNAL: payload for payload in cls.PAYLOADS}
        for name in cls.EMITS:
            payload = types.get(name)
            provider.create_signal(name, payload, inspect.getdoc(payload) if payload else None)

    def set_signal_provider(self, provider: SignalProvider) -> None:
        """Emit through this provider from now on."""
        self._signal_provider = provider
        self._bound = {}
        self.declare(provider)

    def get_emitted_signals(self) -> list[str]:
        """A copy of EMITS."""
        return list(self.EMITS)

    def emit(self, signal_name: str, /, **fields: Any) -> Results:
        """Send one of the declared signals with this object as the sender.

        Raises:
            SignalError: the name is not declared, in strict mode; otherwise that is warned about once.
        """
        bound = self._bound.get(signal_name)
        if bound is None:
            provider = self._signal_provider
            if provider is None:
                return []
            bound = self._bind(signal_name, provider)
        signal, listened = bound
        # Most signals have no receiver most of the time: a look at a dict is all that they cost.
        return signal.send(self, **fields) if listened else []

    def _bind(self, signal_name: str, provider: SignalProvider) -> tuple[Signal, Sized]:
        if signal_name not in self.EMITS:
            self._undeclared(signal_name, provider)
        signal = provider.get_signal(signal_name) or provider.create_signal(signal_name)
        always = (signal,)
        strict = getattr(provider, "strict", False)
        listened: Sized = signal.blinker_signal.receivers if isinstance(signal, TypedSignal) and not strict else always
        self._bound = {**self._bound, signal_name: (signal, listened)}
        return signal, listened

    def _undeclared(self, signal_name: str, provider: SignalProvider) -> None:
        message = f"{type(self).__name__} emits {signal_name!r}, which its EMITS does not name."
        if getattr(provider, "strict", False):
            raise SignalError(message)
        Log("kindling.signals").warning("%s Add it there.", message)
