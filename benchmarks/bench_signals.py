"""What a signal costs, next to a bare blinker send in the same run.

python benchmarks/bench_signals.py
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable

import blinker

from kindling_core.run.payloads import BeforePipe
from kindling_core.signals import BlinkerSignalProvider, SignalEmitter, new_operation_id

CALLS, ROUNDS = 20_000, 15
FIELDS = {"pipe_id": "silver.flights", "pipe_name": "flights", "pipe_index": 3, "run_id": "r"}


class Untyped(SignalEmitter):
    EMITS = ["bench.untyped"]


class Typed(SignalEmitter):
    PAYLOADS = (BeforePipe,)
    EMITS = [BeforePipe.SIGNAL]


def receiver(sender: object, **fields: object) -> None:
    return None


def medians(*functions: Callable[[], object]) -> list[float]:
    """Microseconds a call, measured in alternating rounds."""
    rounds = [[timeit.timeit(function, number=CALLS) / CALLS * 1e6 for function in functions] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=False)]


def main() -> None:
    silent, untyped, typed = Untyped(), Untyped(), Typed()
    for emitter in (silent, untyped, typed):
        emitter.set_signal_provider(BlinkerSignalProvider())
    bare = blinker.Signal("bare")
    bare.connect(receiver, weak=False)
    untyped._signal_provider.get_signal("bench.untyped").connect(receiver)
    typed._signal_provider.get_signal(BeforePipe.SIGNAL).connect(receiver)
    operation_id = new_operation_id()
    nobody, blink, plain, checked = medians(
        lambda: silent.emit("bench.untyped", **FIELDS),
        lambda: bare.send(untyped, **FIELDS),
        lambda: untyped.emit("bench.untyped", **FIELDS),
        lambda: typed.emit(BeforePipe.SIGNAL, operation_id=operation_id, **FIELDS),
    )
    print(f"emit without receivers: {nobody:.2f} us (bound 0.5)")
    print(f"bare blinker send, one receiver: {blink:.2f} us")
    print(f"untyped signal, one receiver: {plain:.2f} us, ratio {plain / blink:.2f} (bound 2.5)")
    print(f"typed signal, one receiver: {checked:.2f} us, ratio {checked / blink:.2f} (bound 4)")


if __name__ == "__main__":
    main()
