"""Retries, delays and which errors are worth them."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindling_core import App
from kindling_core.errors import KindlingError, PipeDefinitionError, PipeTimeout
from kindling_core.pipes import PipeMetadata
from kindling_core.run.policy import (
    Failure,
    OnFailure,
    PipePolicy,
    RetryPolicy,
    Verdict,
    decide,
    is_transient,
    policies_of,
)


def pipe(**options):
    return PipeMetadata("p", "p", [], None, {}, lambda: None, options=options)


@given(
    st.integers(1, 10_000),
    st.floats(0, 100),
    st.floats(1, 10),
    st.floats(0, 1000),
    st.floats(0, 1),
    st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_never_negative_nor_longer_than_the_longest(attempt, delay, multiplier, longest, jitter, chance):
    policy = RetryPolicy(3, delay, multiplier, longest, jitter)
    assert 0 <= policy.delay(attempt, lambda: chance) <= longest


def test_delays_grow_and_jitter_takes_from_them():
    policy = RetryPolicy(9, 1.0, 2.0, 10.0, 0.5)
    assert [policy.delay(attempt, lambda: 0.0) for attempt in (1, 2, 3, 4, 5)] == [1, 2, 4, 8, 10]
    assert policy.delay(3, lambda: 0.999) == pytest.approx(2.0, rel=0.01)


class Says(KindlingError):
    transient = True


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionError(), True),
        (TimeoutError(), True),
        (PipeTimeout("late"), True),
        (RuntimeError("flaky service"), True),
        (OSError(errno.ECONNRESET, "reset"), True),
        (Says("a conflict"), True),
        (OSError(errno.ENOSPC, "full"), False),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (ValueError(), False),
        (KeyError(), False),
        (ZeroDivisionError(), False),
        (KindlingError("wrong"), False),
        (SystemExit(), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_mistakes_are_permanent_and_what_may_pass_is_not(error, expected):
    assert is_transient(error) is expected


def test_options_of_a_pipe_change_the_policy_of_the_job():
    default = PipePolicy(RetryPolicy(2, 7.0), timeout_seconds=60)
    assert default.of(pipe()) is default
    assert default.of(pipe(retry=5)).retry == RetryPolicy(5, 7.0)
    assert default.of(pipe(retry={"delay_seconds": 1})).retry == RetryPolicy(2, 1)
    assert default.of(pipe(timeout_seconds=None)).timeout_seconds is None
    assert default.of(pipe(allow_failure=True)).allow_failure


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"retry": 0}, "attempts cannot be 0"),
        ({"retry": True}, "attempts cannot be True"),
        ({"retry": {"atempts": 2}}, "Did you mean 'attempts'"),
        ({"retry": {"jitter": 2}}, "jitter cannot be 2"),
        ({"timeout_seconds": 0}, "timeout_seconds is 0"),
        ({"timeout_seconds": "5"}, "timeout_seconds is '5'"),
        ({"allow_failure": "yes"}, "allow_failure is 'yes'"),
        ({"pool": 3}, "pool is 3"),
        ({"pool": "havy"}, r"no pool 'havy'. Did you mean 'heavy'"),
    ],
)
def test_an_impossible_option_is_refused_with_pipe_and_place(options, match):
    with pytest.raises(PipeDefinitionError, match=match) as caught:
        policies_of([pipe(**options)], PipePolicy(), {"heavy": 2})
    assert "Pipe 'p' (" in str(caught.value)


# What follows a failure


def verdict(attempt=1, error=None, *, worth=True, run_ends=False, on_failure=OnFailure.SKIP_DOWNSTREAM, **policy):
    failure = Failure(attempt, error or ValueError(), worth, run_ends)
    return decide(failure, PipePolicy(**policy), on_failure, lambda: 0.0)


def test_a_failure_is_retried_while_attempts_are_left_and_it_may_help():
    retry = RetryPolicy(2, delay_seconds=5, jitter=0)
    assert verdict(1, retry=retry) == Verdict(False, retry_after=5)
    assert verdict(2, retry=retry) == Verdict(False)
    assert verdict(1, worth=False, retry=retry) == Verdict(False)
    assert verdict(1, run_ends=True, retry=retry) == Verdict(False)


@pytest.mark.parametrize(
    ("on_failure", "allowed", "stops"),
    [
        (OnFailure.SKIP_DOWNSTREAM, False, False),
        (OnFailure.SKIP_DOWNSTREAM, True, False),
        (OnFailure.FAIL_FAST, False, True),
        (OnFailure.FAIL_FAST, True, False),
    ],
)
def test_a_failure_stops_the_others_only_where_the_run_fails_fast(on_failure, allowed, stops):
    assert verdict(on_failure=on_failure, allow_failure=allowed) == Verdict(False, stop=stops)


def test_an_interrupt_out_of_a_pipe_cancels_whatever_was_allowed():
    assert verdict(error=KeyboardInterrupt(), worth=False, allow_failure=True) == Verdict(False, stop=True, cancel=True)


@pytest.mark.parametrize("policy", OnFailure)
def test_each_policy_is_a_value_of_its_setting_and_decides_by_itself(policy: OnFailure) -> None:
    app = App(config={"execution": {"on_failure": policy.value}}, environ={})
    assert app.config.section("execution").options().on_failure is policy
    shown = next(setting.value for setting in app.config.settings() if setting.key == "execution.on_failure")
    assert shown == policy.value
    verdict = decide(Failure(1, ValueError(), False, False), PipePolicy(), policy, lambda: 0.0)
    assert verdict.stop is policy.ends_run
