"""Logging and messages that cannot fail the work which they are about."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from kindling_core.logs import Log, SteadyStream, say


class Raising(logging.Handler):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error


@pytest.fixture
def handler(request: pytest.FixtureRequest) -> Iterator[logging.Handler]:
    made, logger = Raising(request.param), logging.getLogger("kindling.test_logs")
    logger.addHandler(made)
    yield made
    logger.removeHandler(made)


@pytest.mark.parametrize("handler", [RuntimeError("broken"), SystemExit(3)], indirect=True, ids=repr)
def test_what_a_handler_raises_goes_to_standard_error(
    handler: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    Log("kindling.test_logs").error("Pipe %s failed.", "a.b")
    told = capsys.readouterr().err
    assert type(handler.error).__name__ in told  # type: ignore[attr-defined]
    assert "Pipe %s failed." in told


@pytest.mark.parametrize("handler", [KeyboardInterrupt()], indirect=True, ids=repr)
def test_an_interrupt_within_a_handler_goes_on(handler: logging.Handler) -> None:
    with pytest.raises(KeyboardInterrupt):
        Log("kindling.test_logs").warning("x")


def test_a_record_names_the_line_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    log = Log("kindling.test_logs")
    log.warning("one")
    log.error("two")
    assert {record.filename for record in caplog.records} == {"test_logs.py"}
    assert {record.funcName for record in caplog.records} == {"test_a_record_names_the_line_that_logs"}


def test_an_error_whose_text_cannot_be_read_does_not_cost_the_message(caplog: pytest.LogCaptureFixture) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    Log("kindling.test_logs").warning("Pipe %s failed: %s", "a.b", Mute())
    assert caplog.messages == ["Pipe a.b failed: a Mute whose text cannot be read (RuntimeError)"]


class Full:
    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [None, Full(), object()], ids=["none", "full", "no stream"])
def test_messages_to_a_stream_that_takes_none_are_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, stream: Any
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert not say("anything")
    steady = SteadyStream()
    assert steady.write("anything") == 8
    steady.flush()
    assert not steady.isatty()
    with pytest.raises(OSError, match="sys.stderr"):
        steady.fileno()


def test_a_closed_stream_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with open(tmp_path / "stream", "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert say("before")
    assert not say("after")
    assert not SteadyStream().isatty()
    assert (tmp_path / "stream").read_text() == "before\n"


def test_characters_that_an_encoding_lacks_are_escaped(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with open(tmp_path / "stream", "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert say("für \ud800")
    assert (tmp_path / "stream").read_text() == "f\\xfcr \\ud800\n"
