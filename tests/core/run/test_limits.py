"""The times of a run, without threads and without time."""

from __future__ import annotations

from math import inf

from kindling_core.run.attempt import Attempt
from kindling_core.run.limits import AFTER_COMMIT_SECONDS, STOPPED_EXTRA_SECONDS, Limits

GRACE_SECONDS = 2.0


class Case:
    def __init__(self, seconds: float | None = 10.0, deadline: float | None = None) -> None:
        self.wakes = 0
        self.limits = Limits(GRACE_SECONDS, deadline, self.wake)
        self.attempt = Attempt("a", 1, 100.0)
        self.limits.begin(self.attempt, seconds)

    def wake(self) -> None:
        self.wakes += 1

    def look(self, now: float) -> tuple[str, float]:
        due = self.limits.look([self.attempt], now)
        return "interrupt" if due.interrupt else "leave" if due.leave else "wait", due.next_time


def test_an_attempt_without_a_limit_is_never_due() -> None:
    assert Case(None).look(1e9) == ("wait", inf)


def test_an_attempt_is_interrupted_at_its_limit_and_left_behind_after_its_grace() -> None:
    case = Case()
    assert case.wakes == 1, "who sleeps has to look earlier now"
    assert case.look(109.9) == ("wait", 110.0)
    assert case.look(110.0)[0] == "interrupt"
    assert case.attempt.fence.closed
    assert case.look(110.0) == ("wait", 112.0)
    assert case.look(112.0)[0] == "leave"


def test_a_commit_beyond_the_grace_is_waited_for_as_long_as_the_pipe_was_allowed() -> None:
    case = Case()
    case.attempt.fence.enter()
    case.look(110.0)
    assert case.look(112.0) == ("wait", 122.0)
    assert case.look(121.9) == ("wait", 122.0)
    assert case.look(122.0)[0] == "leave"


def test_an_attempt_whose_commit_has_just_ended_may_still_end_by_itself() -> None:
    case = Case()
    case.attempt.fence.enter()
    case.look(110.0)
    case.look(112.0)
    woken = case.wakes
    case.attempt.fence.leave()
    assert case.wakes == woken + 1
    assert case.look(115.0) == ("wait", 115.0 + AFTER_COMMIT_SECONDS)
    assert case.look(115.0 + AFTER_COMMIT_SECONDS)[0] == "leave"
    assert case.attempt.fence.closed


def test_stopping_gives_the_grace_and_commits_the_extra_seconds() -> None:
    case, reason = Case(None), InterruptedError("enough")
    case.attempt.fence.enter()
    assert case.limits.stop(reason, [case.attempt], 200.0, at_once=False) == [case.attempt]
    assert case.attempt.ending is not None
    assert case.attempt.ending.reason is reason
    assert case.look(200.0) == ("wait", 202.0)
    assert case.look(202.0) == ("wait", 202.0 + STOPPED_EXTRA_SECONDS)
    assert case.look(202.0 + STOPPED_EXTRA_SECONDS)[0] == "leave"


def test_what_timed_out_before_is_not_interrupted_again_when_the_run_stops() -> None:
    case = Case()
    case.look(110.0)
    assert case.limits.stop(InterruptedError(), [case.attempt], 111.0, at_once=True) == []
    assert case.attempt.ending is not None
    assert case.attempt.ending.reason is None


def test_a_stopped_run_waits_for_receivers_no_longer_than_grace_and_extra_seconds() -> None:
    limits = Limits(GRACE_SECONDS, None, lambda: None)
    assert limits.waits_for_receivers(1e9)
    limits.stop(InterruptedError(), [], 50.0, at_once=False)
    end = 50.0 + GRACE_SECONDS + STOPPED_EXTRA_SECONDS
    assert limits.look([], 51.0).next_time == end
    assert not limits.waits_for_receivers(end)
    assert limits.look([], end).next_time == inf, "nothing more is due: a watcher must not spin"


def test_delays_come_back_in_the_order_of_their_ends() -> None:
    limits = Limits(GRACE_SECONDS, 500.0, lambda: None)
    for pipe_id, until in (("late", 30.0), ("early", 20.0), ("last", 40.0)):
        limits.delay(Attempt(pipe_id, 1), until)
    assert limits.look([], 0.0).next_time == 20.0
    assert limits.release_delayed(30.0, everything=False) == ["early", "late"]
    assert limits.holds_back
    assert limits.release_delayed(30.0, everything=True) == ["last"]
    assert not limits.holds_back
    assert limits.look([], 0.0).next_time == 500.0
    assert (limits.time_is_up(499.0), limits.time_is_up(500.0)) == (False, True)
