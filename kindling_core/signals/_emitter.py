"""The mix-in of everything that emits signals."""

from __future__ import annotations

import inspect
import logging
from typing import Any, ClassVar

from kindling_core.errors import SignalError
from kindling_core.signals._payload import SignalPayload
from kindling_core.signals._provider import SignalProvider
from kindling_core.signals._signal import Results


class SignalEmitter:
    """Emits the signals that it declares; without a provider it emits nothing.

    Attributes:
        EMITS: names of the signals.
        PAYLOADS: payload classes of those that are typed; each names its signal.
    """

    EMITS: ClassVar[list[str]] = []
    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = ()

    _signal_provider: SignalProvider | None = None
    _warned_signals: frozenset[str] = frozenset()

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
        self.declare(provider)

    def get_emitted_signals(self) -> list[str]:
        """A copy of EMITS."""
        return list(self.EMITS)

    def emit(self, signal_name: str, /, **fields: Any) -> Results:
        """Send one of the declared signals with this object as the sender.

        Raises:
            SignalError: the name is not declared, in strict mode; otherwise that is warned about once.
        """
        provider = self._signal_provider
        if provider is None:
            return []
        if signal_name not in self.EMITS:
            self._undeclared(signal_name, provider)
        signal = provider.get_signal(signal_name) or provider.create_signal(signal_name)
        return signal.send(self, **fields)

    def _undeclared(self, signal_name: str, provider: SignalProvider) -> None:
        told = f"{type(self).__name__} emits {signal_name!r}, which its EMITS does not name."
        if getattr(provider, "strict", False):
            raise SignalError(told)
        if signal_name not in self._warned_signals:
            self._warned_signals = self._warned_signals | {signal_name}
            logging.getLogger("kindling.signals").warning("%s Add it there.", told)
