"""An App starts and closes once, whoever asks, and nobody waits for what cannot come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from kindling_core import App, KindlingError, Pipes, PluginError
from kindling_core.hooks import hookimpl

LIMIT_SECONDS = 10


def within_limit(function: Callable[[], Any]) -> Any:
    """Call a function on a thread, and fail if it does not return in time."""
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again below, on the thread of the test
            results.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive(), f"still running after {LIMIT_SECONDS} s"
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


def one_pipe() -> Pipes:
    pipes = Pipes()
    pipes.pipe("a.b")(lambda: None)
    return pipes


class Starting:
    """Calls a function from its hooks."""

    def __init__(self, start: Callable[[App], Any] | None = None, stop: Callable[[App], Any] | None = None) -> None:
        self.starts = self.stops = 0
        self._start, self._stop = start, stop

    @hookimpl
    def kindling_start(self, app: App) -> None:
        self.starts += 1
        if self._start is not None:
            self._start(app)

    @hookimpl
    def kindling_stop(self, app: App) -> None:
        self.stops += 1
        if self._stop is not None:
            self._stop(app)


@pytest.mark.parametrize("call", [App.start, App.run, App.close], ids=["start", "run", "close"])
def test_a_feature_that_starts_or_closes_the_app_from_its_start_is_an_error(call: Callable[[App], Any]) -> None:
    app = App(plugins=[Starting(call)], environ={})
    app.mount(one_pipe())
    with pytest.raises(KindlingError, match="while it starts"):
        within_limit(app.start)
    within_limit(app.close)


@pytest.mark.parametrize("call", [App.start, App.run], ids=["start", "run"])
def test_a_feature_that_starts_the_app_from_its_stop_is_told_that_it_closes(call: Callable[[App], Any]) -> None:
    app = App(plugins=[Starting(stop=call)], environ={})
    app.mount(one_pipe())
    app.start()
    with pytest.raises(KindlingError, match="is closing"):
        within_limit(app.close)


def test_a_feature_may_close_the_app_from_its_stop() -> None:
    plugin = Starting(stop=App.close)
    app = App(plugins=[plugin], environ={})
    app.start()
    within_limit(app.close)
    assert plugin.stops == 1


@pytest.mark.parametrize("call", [App.run, App.start, App.close], ids=["run", "start", "close"])
def test_a_queued_receiver_does_not_keep_the_app_from_closing(call: Callable[[App], Any]) -> None:
    closing, results = threading.Event(), []
    app = App(plugins=[Starting(stop=lambda app: closing.set())], environ={})
    app.mount(one_pipe())

    def receiver(sender: object, **fields: Any) -> None:
        closing.wait(LIMIT_SECONDS)
        try:
            results.append(call(app))
        except KindlingError as error:
            results.append(str(error))

    app.signals.on("datapipes.after_run", receiver, queued=True)

    def block() -> None:
        with app:
            app.run()

    within_limit(block)
    assert len(results) == 1
    assert results[0] is None or "closing" in results[0]


def test_a_second_thread_waits_for_the_first_to_start_the_features() -> None:
    entered, go_on = threading.Event(), threading.Event()
    plugin = Starting(lambda app: entered.set() or go_on.wait(LIMIT_SECONDS))
    app = App(plugins=[plugin], environ={})
    app.mount(one_pipe())
    first = threading.Thread(target=app.start, daemon=True)
    first.start()
    assert entered.wait(LIMIT_SECONDS)
    reports: list[Any] = []
    second = threading.Thread(target=lambda: reports.append(app.run()), daemon=True)
    second.start()
    second.join(0.05)
    assert second.is_alive()
    go_on.set()
    for thread in (first, second):
        thread.join(LIMIT_SECONDS)
        assert not thread.is_alive()
    assert (plugin.starts, reports[0].status) == (1, "succeeded")
    within_limit(app.close)


def test_closing_waits_for_the_thread_that_starts_and_stops_what_it_started() -> None:
    entered, go_on = threading.Event(), threading.Event()
    plugin = Starting(lambda app: entered.set() or go_on.wait(LIMIT_SECONDS))
    app = App(plugins=[plugin], environ={})
    first = threading.Thread(target=app.start, daemon=True)
    first.start()
    assert entered.wait(LIMIT_SECONDS)
    closer = threading.Thread(target=app.close, daemon=True)
    closer.start()
    closer.join(0.05)
    assert (closer.is_alive(), plugin.stops) == (True, 0)
    go_on.set()
    closer.join(LIMIT_SECONDS)
    assert (closer.is_alive(), plugin.stops) == (False, 1)


def test_a_thread_that_waited_for_a_start_that_failed_starts_the_features_itself() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def start(app: App) -> None:
        if plugin.starts == 1:
            entered.set()
            go_on.wait(LIMIT_SECONDS)
            raise ConnectionError("not yet")

    plugin = Starting(start)
    app = App(plugins=[plugin], environ={})
    errors: list[PluginError] = []

    def begin() -> None:
        try:
            app.start()
        except PluginError as error:
            errors.append(error)

    first = threading.Thread(target=begin, daemon=True)
    first.start()
    assert entered.wait(LIMIT_SECONDS)
    second = threading.Thread(target=app.start, daemon=True)
    second.start()
    go_on.set()
    for thread in (first, second):
        thread.join(LIMIT_SECONDS)
        assert not thread.is_alive()
    assert (plugin.starts, plugin.stops, len(errors)) == (2, 1, 1)
    within_limit(app.close)
    assert plugin.stops == 2


def test_a_feature_that_cannot_be_stopped_keeps_no_other_from_being_stopped() -> None:
    def broken(app: App) -> None:
        raise ConnectionError("cannot stop")

    first, second = Starting(), Starting(stop=broken)
    first.name, second.name = "first", "second"  # type: ignore[attr-defined]
    app = App(plugins=[first, second], environ={})
    app.start()
    with pytest.raises(PluginError, match="cannot stop"):
        app.close()
    assert (first.stops, second.stops) == (1, 1)
    app.close()
