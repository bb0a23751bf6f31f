"""What a run's error keeps once the run is over: texts of bounded length, tracebacks, and no values."""

from __future__ import annotations

import gc
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from kindling_core.errors import TEXT_LIMIT
from tests.core.run.test_failures import Job, pipe


class Frame:
    """Stands for a frame of data."""


class Kept:
    """Watches that frames are let go of."""

    def __init__(self) -> None:
        self._gone: list[threading.Event] = []
        self._references: list[weakref.ref[Frame]] = []

    def frame(self) -> Frame:
        made, gone = Frame(), threading.Event()
        self._gone.append(gone)
        self._references.append(weakref.ref(made, lambda reference: gone.set()))
        return made

    def assert_none(self) -> None:
        assert self._gone
        gc.collect()
        # A thread of the run may have its last lines still before it.
        assert all(gone.wait(10) for gone in self._gone), [gc.get_referrers(one()) for one in self._references]


@pytest.fixture
def kept() -> Kept:
    return Kept()


def fails_with_a_local(kept: Kept) -> Callable[..., Any]:
    def fails(**inputs: Any) -> Any:
        mine = kept.frame()
        raise ConnectionError(f"broken with a {type(mine).__name__}")

    return fails


def fails_with_a_cause(kept: Kept) -> Callable[..., Any]:
    def inner() -> None:
        mine = kept.frame()
        raise KeyError(type(mine).__name__)

    def fails(**inputs: Any) -> Any:
        try:
            inner()
        except KeyError as error:
            raise ValueError("broken") from error

    return fails


def fails_with_a_context(kept: Kept) -> Callable[..., Any]:
    def fails(**inputs: Any) -> Any:
        try:
            mine = kept.frame()
            raise KeyError(type(mine).__name__)
        except KeyError:
            raise ValueError("broken")  # noqa: B904 - the context is what is tested

    return fails


def fails_for_want_of_an_attribute(kept: Kept) -> Callable[..., Any]:
    return lambda **inputs: kept.frame().no_such_column  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "failing", [fails_with_a_local, fails_with_a_cause, fails_with_a_context, fails_for_want_of_an_attribute]
)
@pytest.mark.parametrize("options", [{}, {"allow_failure": True}, {"retry": {"attempts": 2, "delay_seconds": 0}}])
def test_a_kept_error_keeps_no_values_of_the_run(
    kept: Kept, failing: Callable[[Kept], Callable[..., Any]], options: dict[str, Any]
) -> None:
    job = Job(
        pipe("a.made", execute=kept.frame),
        pipe("b.read", ["of.a.made"], failing(kept), **options),
        pipe("c.other", execute=kept.frame),
    )
    job.run()
    assert list(job.report.exceptions) == ["b.read"]
    assert (job.error is None) is bool(options.get("allow_failure"))
    kept.assert_none()
    error = job.report.exceptions["b.read"]
    whole = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert "test_kept_errors.py" in whole
    assert "broken" in whole or "no_such_column" in whole


def test_a_kept_error_of_a_run_whose_write_fails_keeps_no_values(kept: Kept) -> None:
    class Store:
        def read(self, entity_id: str, pipe: object) -> Any:
            raise AssertionError

        def write(self, entity_id: str, value: Any, pipe: object, fence: object, options: object = None) -> Any:
            raise OSError("disk full")

    job = Job(pipe("a.made", execute=kept.frame), io=lambda info, plan: Store())
    job.run()
    assert "disk full" in str(job.error)
    kept.assert_none()


def test_what_the_caller_handles_is_left_as_it_is() -> None:
    def outer() -> None:
        mine = "a value"
        raise LookupError(mine)

    try:
        outer()
    except LookupError as handled:
        Job(pipe("a.b", execute=lambda: 1 / 0)).run()
        trace = handled.__traceback__
        assert trace is not None
        assert trace.tb_next is not None
        assert trace.tb_next.tb_frame.f_locals == {"mine": "a value"}


def test_eight_thousand_failures_make_a_message_that_can_be_read() -> None:
    def fails(**inputs: Any) -> None:
        raise ValueError("broken " + "x" * 2_000)

    job = Job(*(pipe(f"a.p{number}", execute=fails) for number in range(8_000)))
    report = job.run()
    assert report.count("failed") == 8_000
    message = str(job.error)
    assert len(message) <= TEXT_LIMIT
    assert "8,000 pipes failed" in message
    assert "; and 7,994 more; the report has all" in message
    assert message.count("ValueError: broken") == 6
    (told,) = job.told("run_failed")
    assert len(told["failed_pipes"]) == 8_000


def test_texts_in_signals_and_report_have_a_limit() -> None:
    def fails(**inputs: Any) -> None:
        raise ValueError("begin " + "x " * 100_000 + "end")

    job = Job(pipe("a.b", execute=fails), pipe("b.c", (), fails, allow_failure=True))
    job.run()
    texts = [job.report.pipe("a.b").error, job.told("pipe_failed")[0]["error"], job.told("run_failed")[0]["error"]]
    for text in texts:
        assert text is not None
        assert len(text) <= TEXT_LIMIT
        assert text.startswith("begin")
        assert text.endswith("end")
    assert len(str(job.error)) <= TEXT_LIMIT


class Odd(Exception):
    """Every question about it raises."""

    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__

    @property
    def transient(self) -> bool:
        raise RuntimeError("no answer")


def test_an_error_that_answers_nothing_is_the_pipes_failure_and_nobody_elses() -> None:
    def fails(**inputs: Any) -> None:
        raise Odd

    job = Job(
        pipe("a.b", execute=fails, retry={"attempts": 2, "delay_seconds": 0}),
        pipe("b.c", execute=lambda: 1),
    )
    job.run()
    assert job.statuses == {"a.b": "failed", "b.c": "succeeded"}
    assert job.report.pipe("a.b").error_type == "Odd"
    assert "whose text cannot be read" in str(job.error)
