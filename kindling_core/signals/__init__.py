"""Signals say what happened: many listeners, none of which can change the outcome."""

from __future__ import annotations

from kindling_core.signals._emitter import SignalEmitter
from kindling_core.signals._payload import SignalPayload, new_operation_id, utc_now
from kindling_core.signals._provider import BlinkerSignalProvider, SignalProvider
from kindling_core.signals._signal import Signal, TypedSignal

__all__ = [
    "BlinkerSignalProvider",
    "Signal",
    "SignalEmitter",
    "SignalPayload",
    "SignalProvider",
    "TypedSignal",
    "new_operation_id",
    "utc_now",
]
