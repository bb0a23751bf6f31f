"""Queued receivers and coroutines that raise what nobody expects, hang, or listen to everything."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kindling_core import BlinkerSignalProvider

LIMIT_SECONDS = 10


@pytest.fixture
def provider() -> Iterator[BlinkerSignalProvider]:
    made = BlinkerSignalProvider()
    yield made
    within_limit(lambda: made.close(1))


def within_limit(work: Callable[[], object], seconds: float = LIMIT_SECONDS) -> float:
    """Do something that could hang; returns the seconds that it took."""
    thread = threading.Thread(target=work, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"it takes more than {seconds} s"
    return time.monotonic() - began


def failures_of(provider: BlinkerSignalProvider) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    provider.create_signal("signals.receiver_failed").connect(lambda sender, **fields: told.append(fields))
    return told


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Stopped("x")], ids=repr)
def test_a_queued_receiver_that_raises_anything_is_reported_and_goes_on(
    provider: BlinkerSignalProvider, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    told, seen = failures_of(provider), list[int]()

    def leaves(sender: Any, n: int) -> None:
        seen.append(n)
        raise error

    provider.create_signal("x.y").connect(leaves, queued=True)
    for n in (1, 2):
        provider.emit("x.y", n=n)
    within_limit(provider.close)
    assert seen == [1, 2]
    assert sum(provider.failures.values()) == 2
    assert [one["error_type"] for one in told] == [type(error).__name__] * 2
    assert "leaves" in caplog.text


@pytest.mark.parametrize("queued", [True, False])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
def test_a_coroutine_that_raises_anything_is_reported_and_others_go_on(
    provider: BlinkerSignalProvider, error: BaseException, queued: bool, caplog: pytest.LogCaptureFixture
) -> None:
    told, seen = failures_of(provider), list[int]()

    async def leaves(sender: Any, n: int) -> None:
        seen.append(n)
        raise error

    provider.create_signal("x.y").connect(leaves, queued=queued)
    for n in (1, 2):
        provider.emit("x.y", n=n)
    within_limit(provider.close)
    assert seen == [1, 2]
    assert [one["error_type"] for one in told] == [type(error).__name__] * 2
    assert "leaves" in caplog.text


def test_a_task_of_a_coroutine_that_leaves_the_process_does_not_end_the_loop(provider: BlinkerSignalProvider) -> None:
    tasks, seen, left = list[Any](), list[int](), threading.Event()

    async def leave() -> None:
        left.set()
        sys.exit(3)

    async def begins_a_task(sender: Any, n: int) -> None:
        seen.append(n)
        tasks.append(asyncio.ensure_future(leave()))

    provider.create_signal("x.y").connect(begins_a_task)
    provider.emit("x.y", n=1)
    assert left.wait(LIMIT_SECONDS)
    provider.emit("x.y", n=2)
    within_limit(provider.close)
    assert seen == [1, 2]


def test_in_strict_mode_a_receiver_of_failures_that_fails_does_not_end_the_thread() -> None:
    provider, seen = BlinkerSignalProvider(strict=True), list[int]()

    def raises(sender: Any, n: int = 0, **fields: Any) -> None:
        seen.append(n)
        raise RuntimeError("no")

    provider.create_signal("signals.receiver_failed").connect(raises)
    provider.create_signal("x.y").connect(raises, queued=True)
    for n in (1, 2):
        provider.emit("x.y", n=n)
    within_limit(provider.close)
    assert [n for n in seen if n] == [1, 2]


def test_a_receiver_of_all_signals_has_one_thread_and_the_order_of_its_messages(
    provider: BlinkerSignalProvider,
) -> None:
    heard: list[tuple[str, int, int]] = []
    names = [f"x.signal_{number}" for number in range(28)]
    for name in names[:14]:
        provider.create_signal(name)

    @provider.on("*", queued=True)
    def hear(sender: Any, signal_name: str, n: int = -1) -> None:
        heard.append((signal_name, n, threading.get_ident()))

    before = threading.active_count()
    # Half of the signals are made after the receiver was connected.
    sent = [(name, n) for n in range(5) for name in names]
    for name, n in sent:
        provider.emit(name, n=n)
    assert threading.active_count() - before <= 0
    within_limit(provider.close)
    assert [(name, n) for name, n, _ in heard] == sent
    assert len({thread for _, _, thread in heard}) == 1


def test_connected_by_hand_to_several_signals_it_has_one_thread_too(provider: BlinkerSignalProvider) -> None:
    class Listener:
        def __init__(self) -> None:
            self.threads: list[int] = []

        def hear(self, sender: Any, **fields: Any) -> None:
            self.threads.append(threading.get_ident())

    one, other = Listener(), Listener()
    for name in ("x.a", "x.b"):
        for listener in (one, other):
            provider.create_signal(name).connect(listener.hear, queued=True)
        provider.emit(name)
    provider.close()
    assert len(one.threads) == len(other.threads) == 2
    assert len(set(one.threads)) == len(set(other.threads)) == 1
    assert set(one.threads) != set(other.threads)


def test_a_flood_of_one_signal_takes_no_room_from_the_others(provider: BlinkerSignalProvider) -> None:
    release, inside, heard = threading.Event(), threading.Event(), list[str]()

    @provider.on("x.*", queued=True, maxsize=2)
    def slow(sender: Any, signal_name: str) -> None:
        inside.set()
        release.wait(LIMIT_SECONDS)
        heard.append(signal_name)

    provider.emit("x.flood")
    assert inside.wait(LIMIT_SECONDS)
    for _ in range(5):
        provider.emit("x.flood")
    provider.emit("x.rare")
    release.set()
    provider.close()
    assert heard == ["x.flood"] * 3 + ["x.rare"]
    flood, rare = provider.get_signal("x.flood"), provider.get_signal("x.rare")
    assert flood is not None
    assert rare is not None
    assert (flood.dropped, rare.dropped) == (3, 0)


@pytest.mark.parametrize("ending", ["close", "off"])
def test_receivers_that_hang_share_the_time_of_one_close(ending: str, caplog: pytest.LogCaptureFixture) -> None:
    provider, release = BlinkerSignalProvider(), threading.Event()
    inside = [threading.Event() for _ in range(8)]

    def hanging(number: int) -> Callable[..., None]:
        def hangs(sender: Any, **fields: Any) -> None:
            inside[number].set()
            release.wait(60)

        return hangs

    receivers = [hanging(number) for number in range(len(inside))]
    for receiver in receivers:
        provider.on("x.*", receiver, queued=True)
    for number in range(10):
        provider.emit(f"x.signal_{number}")
    assert all(one.wait(LIMIT_SECONDS) for one in inside)
    if ending == "off":
        took = within_limit(lambda: provider.off(receivers[0], 0.5))
    else:
        took = within_limit(lambda: provider.close(0.5))
    release.set()
    assert 0.4 < took < 5
    first = provider.get_signal("x.signal_9")
    assert first is not None
    assert first.dropped == (len(receivers) if ending == "close" else 1)
    assert "hangs" in caplog.text
    provider.close()


def test_a_coroutine_that_hangs_shares_the_time_and_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    provider, begun, cancelled = BlinkerSignalProvider(), threading.Event(), threading.Event()

    async def hangs(sender: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    provider.create_signal("x.y").connect(hangs)
    provider.create_signal("x.z").connect(hangs, queued=True)
    provider.emit("x.y")
    provider.emit("x.z")
    assert begun.wait(LIMIT_SECONDS)
    within_limit(lambda: provider.close(0.2))
    assert cancelled.wait(LIMIT_SECONDS)
    assert not provider.failures


def test_a_receiver_that_closes_its_provider_does_not_wait_for_itself() -> None:
    provider, closed = BlinkerSignalProvider(), threading.Event()

    def closes(sender: Any) -> None:
        provider.close()
        closed.set()

    provider.create_signal("x.y").connect(closes, queued=True)
    provider.emit("x.y")
    assert closed.wait(LIMIT_SECONDS)


def test_the_thread_ends_with_the_last_connection_of_its_receiver(provider: BlinkerSignalProvider) -> None:
    threads: list[threading.Thread] = []

    def hear(sender: Any) -> None:
        threads.append(threading.current_thread())

    one, other = provider.create_signal("x.a"), provider.create_signal("x.b")
    one.connect(hear, queued=True)
    other.connect(hear, queued=True)
    one.send(None)
    one.disconnect(hear)
    assert threads[0].is_alive()
    other.disconnect(hear)
    assert not threads[0].is_alive()
    one.connect(hear, queued=True)
    one.send(None)
    within_limit(provider.close)
    assert len(set(threads)) == 2


def test_what_is_connected_with_a_queue_after_the_close_gets_nothing_and_begins_no_thread(
    provider: BlinkerSignalProvider,
) -> None:
    provider.close()
    before = threading.active_count()
    signal = provider.create_signal("x.y")
    signal.connect(lambda sender: None, queued=True)
    signal.send(None)
    assert threading.active_count() == before
    assert signal.dropped == 1


# A receiver that raises beside other things that break


class Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("this handler is broken")


@pytest.fixture
def broken_log() -> Iterator[None]:
    handler, logger = Raising(), logging.getLogger("kindling")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("broken_log")
def test_a_log_handler_that_raises_beside_a_receiver_that_raises_breaks_nothing(
    provider: BlinkerSignalProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    told = failures_of(provider)

    def raises(sender: Any) -> None:
        raise ValueError("the receiver")

    provider.create_signal("x.y").connect(raises)
    provider.emit("x.y")
    assert [one["error"] for one in told] == ["the receiver"]
    assert "this handler is broken" in capsys.readouterr().err


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")


def test_an_error_without_a_readable_text_is_reported_by_its_class(provider: BlinkerSignalProvider) -> None:
    told = failures_of(provider)

    def raises(sender: Any) -> None:
        raise Mute

    provider.create_signal("x.y").connect(raises)
    provider.emit("x.y")
    assert told[0]["error"] == "a Mute whose text cannot be read (SystemExit)"


def test_a_receiver_whose_name_cannot_be_read_is_reported_by_its_class(provider: BlinkerSignalProvider) -> None:
    told = failures_of(provider)

    class Nameless:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __repr__(self) -> str:
            raise RuntimeError("repr")

        def __call__(self, sender: Any) -> None:
            raise ValueError("x")

    provider.create_signal("x.y").connect(Nameless())
    provider.emit("x.y")
    assert "Nameless" in told[0]["receiver"]


def test_a_value_that_cannot_be_compared_with_a_filter_is_the_receivers_failure(
    provider: BlinkerSignalProvider,
) -> None:
    class Incomparable:
        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth of this is ambiguous")

        __hash__ = object.__hash__

    told, heard = failures_of(provider), list[Any]()
    signal = provider.create_signal("x.y")
    signal.connect(lambda sender, frame: None, only={"frame": 1})
    signal.connect(lambda sender, frame: heard.append(frame))
    signal.send(None, frame=Incomparable())
    assert len(heard) == 1
    assert [one["error_type"] for one in told] == ["ValueError"]
