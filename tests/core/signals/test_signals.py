from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar
from uuid import UUID

import blinker
import pytest

from kindling_core.errors import SignalError
from kindling_core.signals import BlinkerSignalProvider, SignalEmitter, SignalPayload, TypedSignal
from kindling_core.signals.catalogue import catalogue


@dataclass
class AfterCount(SignalPayload):
    """Something was counted."""

    SIGNAL: ClassVar[str] = "test.after_count"

    item: Annotated[str, "what was counted"]
    count: Annotated[int | None, "how many"] = None


class Counter(SignalEmitter):
    PAYLOADS = (AfterCount,)
    EMITS = [AfterCount.SIGNAL, "test.untyped"]


class Heard(list[dict[str, Any]]):
    def __call__(self, sender: object, **fields: Any) -> int:
        self.append(fields)
        return len(self)


@pytest.fixture
def provider() -> Any:
    provider = BlinkerSignalProvider()
    yield provider
    provider.close()


@pytest.fixture
def emitter(provider: BlinkerSignalProvider) -> Counter:
    emitter = Counter()
    emitter.set_signal_provider(provider)
    return emitter


def test_the_same_name_gives_the_same_signal(provider: BlinkerSignalProvider) -> None:
    assert provider.create_signal("a.b") is provider.create_signal("a.b") is provider.get_signal("a.b")
    assert provider.get_signal("nobody.made_this") is None


def test_two_providers_do_not_see_each_other() -> None:
    one, two = BlinkerSignalProvider(), BlinkerSignalProvider()
    heard = Heard()
    one.create_signal("a.b").connect(heard)
    two.emit("a.b", x=1)
    assert heard == []


def test_emit_returns_receivers_and_values_and_sends_the_emitter_as_sender(emitter: Counter, provider: Any) -> None:
    senders = []
    receiver = provider.get_signal("test.untyped").connect(lambda sender, **fields: senders.append(sender))
    assert emitter.emit("test.untyped", x=1) == [(receiver, None)]
    assert senders == [emitter]


def test_an_emitter_without_provider_emits_nothing() -> None:
    assert Counter().emit("test.untyped", x=1) == []


def test_get_emitted_signals_is_a_copy() -> None:
    emitter = Counter()
    emitter.get_emitted_signals().clear()
    assert emitter.get_emitted_signals() == ["test.after_count", "test.untyped"]


def test_a_type_given_later_upgrades_the_signal_and_keeps_its_receivers(provider: BlinkerSignalProvider) -> None:
    heard = Heard()
    signal = provider.create_signal(AfterCount.SIGNAL)
    signal.connect(heard)
    provider.create_signal(AfterCount.SIGNAL, AfterCount)
    signal.send(None, item="rows")
    assert heard[0]["item"] == "rows"
    with pytest.raises(TypeError, match="missing"):
        signal.send(None)


def test_a_typed_signal_fills_in_operation_id_and_timestamp(emitter: Counter, provider: Any) -> None:
    heard = Heard()
    provider.get_signal(AfterCount.SIGNAL).connect(heard)
    emitter.emit(AfterCount.SIGNAL, item="rows")
    assert UUID(heard[0]["operation_id"]).version == 4
    assert datetime.fromisoformat(heard[0]["timestamp"]).utcoffset() == timedelta(0)
    assert heard[0]["count"] is None


def test_a_payload_object_arrives_as_keywords(provider: BlinkerSignalProvider) -> None:
    heard = Heard()
    signal = TypedSignal(blinker.Signal("alone"), AfterCount)
    signal.connect(heard)
    payload = AfterCount(item="rows", count=3)
    signal.send(None, payload)
    assert heard[0] == {
        "item": "rows",
        "count": 3,
        "operation_id": payload.operation_id,
        "timestamp": payload.timestamp,
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"item": "x", "cuont": 1}, "'test.after_count' has no field 'cuont'"),
        ({"item": "x", "count": "3"}, "'test.after_count': field 'count' takes int or NoneType, not str"),
        ({"count": 3}, "'test.after_count': field 'item' is missing"),
        ({"payload": SignalPayload()}, "carries AfterCount, not SignalPayload"),
    ],
)
def test_a_wrong_payload_is_a_type_error_when_somebody_listens(
    provider: BlinkerSignalProvider, fields: dict[str, Any], message: str
) -> None:
    signal = provider.create_signal(AfterCount.SIGNAL, AfterCount)
    assert signal.send(None, **fields) == []
    signal.connect(Heard())
    with pytest.raises(TypeError, match=message):
        signal.send(None, **fields)


def test_strict_mode_checks_payloads_that_nobody_hears() -> None:
    emitter = Counter()
    emitter.set_signal_provider(BlinkerSignalProvider(strict=True))
    with pytest.raises(TypeError, match="item"):
        emitter.emit(AfterCount.SIGNAL)


def test_an_undeclared_name_warns_and_raises_in_strict_mode(
    emitter: Counter, provider: Any, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    provider.create_signal("test.other").connect(heard)
    emitter.emit("test.other", x=1)
    assert heard == [{"x": 1}]
    assert "'test.other', which its EMITS does not name" in caplog.text
    emitter.set_signal_provider(BlinkerSignalProvider(strict=True))
    with pytest.raises(SignalError, match="test.other"):
        emitter.emit("test.other")


def test_a_local_function_is_not_lost_to_garbage_collection(provider: BlinkerSignalProvider) -> None:
    heard: list[int] = []

    def connect() -> None:
        provider.create_signal("a.b").connect(lambda sender, **fields: heard.append(1))

    connect()
    gc.collect()
    provider.emit("a.b")
    assert heard == [1]


def test_a_weak_receiver_is_forgotten_with_its_object(provider: BlinkerSignalProvider) -> None:
    heard = Heard()
    signal = provider.create_signal("a.b")
    signal.connect(heard.__call__, weak=True)
    provider.emit("a.b")
    assert len(heard) == 1
    del heard
    gc.collect()
    assert not signal.has_receivers_for(None)


def test_only_filters_by_field(provider: BlinkerSignalProvider) -> None:
    heard = Heard()
    provider.create_signal("a.b").connect(heard, only={"pipe_id": "gold.delays"})
    for pipe_id in ("silver.flights", "gold.delays"):
        provider.emit("a.b", pipe_id=pipe_id)
    provider.emit("a.b")
    assert heard == [{"pipe_id": "gold.delays"}]


def test_a_sender_filter_hears_that_sender_alone(provider: BlinkerSignalProvider) -> None:
    heard, mine = Heard(), object()
    signal = provider.create_signal("a.b")
    signal.connect(heard, sender=mine)
    signal.send(object(), x=1)
    signal.send(mine, x=2)
    assert heard == [{"x": 2}]
    assert signal.has_receivers_for(mine)
    assert not signal.has_receivers_for(object())


def test_connected_to_and_muted_last_as_long_as_their_block(provider: BlinkerSignalProvider) -> None:
    heard = Heard()
    signal = provider.create_signal("a.b")
    with signal.connected_to(heard):
        provider.emit("a.b", x=1)
        with signal.muted():
            provider.emit("a.b", x=2)
    provider.emit("a.b", x=3)
    assert heard == [{"x": 1}]


def test_a_receiver_that_raises_stops_neither_the_others_nor_the_sender(
    provider: BlinkerSignalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    heard, failures = Heard(), Heard()

    def broken(sender: object, **fields: Any) -> None:
        raise ValueError("broken on purpose")

    signal = provider.create_signal("a.b")
    signal.connect(broken)
    signal.connect(heard)
    provider.create_signal("signals.receiver_failed").connect(failures)
    provider.emit("a.b", x=1)
    provider.emit("a.b", x=2)
    assert heard == [{"x": 1}, {"x": 2}]
    assert [(one["signal"], one["error"], one["error_type"]) for one in failures] == [
        ("a.b", "broken on purpose", "ValueError")
    ] * 2
    assert sum(provider.failures.values()) == 2
    assert len([record for record in caplog.records if "broken on purpose" in record.message]) == 1


def test_a_failing_receiver_of_receiver_failed_does_not_recurse(provider: BlinkerSignalProvider) -> None:
    def broken(sender: object, **fields: Any) -> None:
        raise ValueError("broken on purpose")

    for name in ("a.b", "signals.receiver_failed"):
        provider.create_signal(name).connect(broken)
    assert provider.emit("a.b") == []


def test_strict_mode_raises_what_a_receiver_raises() -> None:
    provider = BlinkerSignalProvider(strict=True)

    def broken(sender: object, **fields: Any) -> None:
        raise ValueError("broken on purpose")

    provider.create_signal("a.b").connect(broken)
    with pytest.raises(SignalError, match="broken on purpose"):
        provider.emit("a.b")


def test_a_pattern_hears_signals_that_are_made_later(provider: BlinkerSignalProvider) -> None:
    heard = Heard()
    provider.create_signal("datapipes.before_run")
    provider.on("datapipes.*", heard)
    for name in ("datapipes.before_run", "datapipes.after_run", "execution.plan_created"):
        provider.emit(name, x=1)
    assert [one["signal_name"] for one in heard] == ["datapipes.before_run", "datapipes.after_run"]
    provider.off(heard)
    provider.emit("datapipes.before_run")
    provider.emit("datapipes.new_after_off")
    assert len(heard) == 2


def test_a_pattern_receiver_that_does_not_take_the_name_is_not_told_it(provider: BlinkerSignalProvider) -> None:
    heard: list[int] = []

    @provider.on("a.*")
    def exact(sender: object, x: int) -> None:
        heard.append(x)

    provider.emit("a.b", x=7)
    assert heard == [7]


def test_coroutine_receivers_run_on_one_background_loop(provider: BlinkerSignalProvider) -> None:
    loops: list[Any] = []

    async def receiver(sender: object, **fields: Any) -> None:
        await asyncio.sleep(0)
        loops.append((asyncio.get_running_loop(), threading.current_thread()))

    provider.create_signal("a.b").connect(receiver)
    provider.create_signal("c.d").connect(receiver)
    provider.emit("a.b")
    provider.emit("c.d")
    provider.close()
    assert len(loops) == 2
    assert len({id(loop) for loop, _ in loops}) == 1
    assert loops[0][1] is not threading.current_thread()


def test_a_coroutine_that_raises_is_reported(provider: BlinkerSignalProvider) -> None:
    async def broken(sender: object, **fields: Any) -> None:
        raise ValueError("broken on purpose")

    provider.create_signal("a.b").connect(broken)
    provider.emit("a.b")
    provider.close()
    assert sum(provider.failures.values()) == 1


def test_a_queued_receiver_never_blocks_counts_its_overflow_and_is_flushed_by_close(
    provider: BlinkerSignalProvider,
) -> None:
    entered, go = threading.Event(), threading.Event()
    heard: list[int] = []

    def slow(sender: object, number: int) -> None:
        entered.set()
        assert go.wait(10)
        heard.append(number)

    signal = provider.create_signal("a.b")
    signal.connect(slow, queued=True, maxsize=2)
    provider.emit("a.b", number=0)
    assert entered.wait(10)
    for number in range(1, 6):
        provider.emit("a.b", number=number)
    assert signal.dropped == 3
    go.set()
    provider.close()
    assert heard == [0, 1, 2]


def test_a_receiver_that_knows_only_blinker_is_reached_too() -> None:
    bare = blinker.Signal("bare")
    heard, blinks = Heard(), Heard()
    signal = TypedSignal(bare)
    signal.connect(heard)
    bare.connect(blinks, weak=False)
    signal.send("me", x=1)
    bare.send("me", x=2)
    assert heard == [{"x": 1}, {"x": 2}] == blinks


def test_connecting_disconnecting_and_sending_from_many_threads_loses_nothing(provider: BlinkerSignalProvider) -> None:
    signal = provider.create_signal("a.b")
    steady: list[int] = []
    signal.connect(lambda sender, **fields: steady.append(1))
    errors: list[BaseException] = []
    start = threading.Barrier(8)

    def churn() -> None:
        start.wait()
        for _ in range(300):
            receiver = Heard()
            signal.connect(receiver)
            signal.disconnect(receiver)

    def send() -> None:
        start.wait()
        for number in range(300):
            signal.send(None, number=number)

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (churn, send) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(steady) == 4 * 300
    assert len(signal.receivers) == 1


def test_the_catalogue_tells_fields_types_meanings_and_emitters() -> None:
    entries = {entry.name: entry for entry in catalogue([Counter])}
    told = entries["test.after_count"].to_dict()
    assert told["doc"] == "Something was counted."
    assert told["emitters"] == ["Counter"]
    assert told["fields"][:2] == [
        {"name": "item", "type": "str", "doc": "what was counted"},
        {"name": "count", "type": "int | None", "doc": "how many"},
    ]
    assert [one["name"] for one in told["fields"][2:]] == ["operation_id", "timestamp"]
