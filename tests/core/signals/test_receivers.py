"""Receivers that come, go, hang and raise in ways that nobody planned."""

from __future__ import annotations

import gc
import pickle
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kindling_core import BlinkerSignalProvider, SignalPayload
from kindling_core.errors import CycleError, GenerationFailed, KindlingError, RunFailed, UnknownPipeError
from kindling_core.signals._delivery import Deadline, Delivery, ReceiverQueue, close_queues

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers


@pytest.fixture
def provider() -> Any:
    made = BlinkerSignalProvider()
    yield made
    made.close()


class Listener:
    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.done = threading.Event()

    def hear(self, sender: Any, **fields: Any) -> None:
        self.heard.append(fields)

    async def __call__(self, sender: Any, **fields: Any) -> None:
        self.heard.append(fields)
        self.done.set()


def test_connecting_the_same_receiver_twice_calls_it_once(provider: BlinkerSignalProvider) -> None:
    listener, signal = Listener(), provider.create_signal("x.y")
    signal.connect(listener.hear)
    signal.connect(listener.hear)
    signal.send(None, n=1)
    assert listener.heard == [{"n": 1}]


def test_the_same_receiver_may_have_several_filters(provider: BlinkerSignalProvider) -> None:
    listener, signal = Listener(), provider.create_signal("x.y")
    for pipe_id in ("a", "b"):
        signal.connect(listener.hear, only={"pipe_id": pipe_id})
    for pipe_id in ("a", "b", "c"):
        signal.send(None, pipe_id=pipe_id)
    assert listener.heard == [{"pipe_id": "a"}, {"pipe_id": "b"}]


def test_connected_to_leaves_an_earlier_connection_alone(provider: BlinkerSignalProvider) -> None:
    listener, signal = Listener(), provider.create_signal("x.y")
    signal.connect(listener.hear)
    with signal.connected_to(listener.hear):
        signal.send(None, n=1)
    signal.send(None, n=2)
    assert listener.heard == [{"n": 1}, {"n": 2}]


def test_off_finds_a_bound_method(provider: BlinkerSignalProvider) -> None:
    listener = Listener()
    provider.on("x.*", listener.hear)
    provider.emit("x.y", n=1)
    provider.off(listener.hear)
    provider.emit("x.y", n=2)
    provider.emit("x.z", n=3)
    assert [heard["n"] for heard in listener.heard] == [1]


def test_a_weak_receiver_with_a_queue_is_forgotten_too(provider: BlinkerSignalProvider) -> None:
    listener, signal = Listener(), provider.create_signal("x.y")
    signal.connect(listener.hear, weak=True, queued=True)
    del listener
    gc.collect()
    assert signal.receivers == []


def test_an_object_with_a_coroutine_for_its_call_is_run_through_a_pattern(provider: BlinkerSignalProvider) -> None:
    listener = Listener()
    provider.on("x.*", listener)
    provider.emit("x.y", n=1)
    assert listener.done.wait(10)
    assert listener.heard == [{"signal_name": "x.y", "n": 1}]


def test_a_receiver_that_leaves_the_process_does_not(provider: BlinkerSignalProvider) -> None:
    provider.create_signal("x.y").connect(lambda sender, **fields: sys.exit(3))
    provider.emit("x.y")
    assert sum(provider.failures.values()) == 1


def test_strict_mode_does_not_end_the_thread_of_a_queue() -> None:
    provider, seen, done = BlinkerSignalProvider(strict=True), [], threading.Event()

    def raises(sender: Any, n: int) -> None:
        seen.append(n)
        if n == 2:
            done.set()
        raise RuntimeError("no")

    provider.create_signal("x.y").connect(raises, queued=True)
    provider.emit("x.y", n=1)
    provider.emit("x.y", n=2)
    assert done.wait(10)
    provider.close()
    assert seen == [1, 2]


def test_a_receiver_that_hangs_does_not_hang_the_close_and_what_it_missed_is_counted() -> None:
    release, inside = threading.Event(), threading.Event()

    def hangs(sender: Any, fields: dict[str, Any]) -> None:
        inside.set()
        release.wait(60)

    queue = ReceiverQueue(lambda: hangs, hangs, lambda error: None, 10)
    Delivery().add(queue, "hangs")
    for _ in range(3):
        queue.put(None, {})
    assert inside.wait(10)
    close_queues([queue], Deadline(0.01))
    release.set()
    assert queue.dropped == 2


def test_what_a_queue_dropped_is_still_counted_after_it_is_gone(provider: BlinkerSignalProvider) -> None:
    release, inside = threading.Event(), threading.Event()

    def slow(sender: Any, **fields: Any) -> None:
        inside.set()
        release.wait(60)

    signal = provider.create_signal("x.y")
    signal.connect(slow, queued=True, maxsize=1)
    signal.send(None)
    assert inside.wait(10)
    signal.send(None)
    signal.send(None)
    release.set()
    signal.disconnect(slow)
    assert signal.dropped == 1


def test_a_queued_coroutine_is_waited_for_before_the_next(provider: BlinkerSignalProvider) -> None:
    order: list[str] = []

    async def slow(sender: Any, n: int) -> None:
        import asyncio

        order.append(f"begin {n}")
        await asyncio.sleep(0)
        order.append(f"end {n}")

    signal = provider.create_signal("x.y")
    signal.connect(slow, queued=True)
    for n in (1, 2):
        signal.send(None, n=n)
    signal.disconnect(slow)
    assert order == ["begin 1", "end 1", "begin 2", "end 2"]


def test_an_untyped_signal_may_have_a_field_named_payload(provider: BlinkerSignalProvider) -> None:
    listener = Listener()
    provider.create_signal("x.y").connect(listener.hear)
    provider.emit("x.y", payload={"a": 1})
    assert listener.heard == [{"payload": {"a": 1}}]


def test_a_count_from_numpy_is_a_count(provider: BlinkerSignalProvider) -> None:
    numpy = pytest.importorskip("numpy")

    @dataclass
    class Counted(SignalPayload):
        SIGNAL: ClassVar[str] = "x.counted"
        rows: int

    listener = Listener()
    provider.create_signal("x.counted", Counted).connect(listener.hear)
    provider.emit("x.counted", rows=numpy.int64(3))
    assert listener.heard[0]["rows"] == 3


def test_an_annotation_for_type_checkers_alone_is_not_checked(provider: BlinkerSignalProvider) -> None:
    @dataclass
    class Priced(SignalPayload):
        SIGNAL: ClassVar[str] = "x.priced"
        price: OnlyForTypeCheckers

    listener = Listener()
    provider.create_signal("x.priced", Priced).connect(listener.hear)
    provider.emit("x.priced", price="anything")
    assert listener.heard[0]["price"] == "anything"


def test_a_payload_type_that_is_no_dataclass_is_refused_by_name(provider: BlinkerSignalProvider) -> None:
    with pytest.raises(TypeError, match="x.y.*dataclass"):
        provider.create_signal("x.y", dict)


@pytest.mark.parametrize(
    "error",
    [
        UnknownPipeError("a.b", ["a.c"]),
        CycleError(["a", "b"]),
        GenerationFailed({"a": ValueError("x")}, {"a": False}),
        RunFailed("failed", "a report"),  # type: ignore[arg-type]
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_way_to_another_process(error: KindlingError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__.keys() == error.__dict__.keys()
