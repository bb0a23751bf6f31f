"""What follows when a pipe fails: whether and when it is tried again, and what its failure means to the run.

Pure decisions: random numbers and errors are passed in.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any

from kindling_core.errors import KindlingError, PipeDefinitionError, did_you_mean
from kindling_core.pipes import PipeMetadata

# The pipe options that the core itself owns.
OPTIONS: Mapping[str, str] = {
    "retry": "how often the pipe is tried, 3 or {'attempts': 3, 'delay_seconds': 5}",
    "timeout_seconds": "how long an attempt at the pipe may take",
    "allow_failure": "True: its failure does not fail the run",
    "pool": "the pool that the pipe runs in; [execution.pools] says how many of it run at a time",
}


class OnFailure(str, Enum):
    """What a failed pipe means to the others of its run."""

    FAIL_FAST = "fail_fast"
    SKIP_DOWNSTREAM = "skip_downstream"

    def __str__(self) -> str:
        # As it is written in the job file, and shown by ``kindling config``.
        return self.value

    @property
    def ends_run(self) -> bool:
        """Whether nothing new starts once a pipe has failed that was not allowed to."""
        return self is OnFailure.FAIL_FAST


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with jitter.

    Attributes:
        attempts: how often a pipe is tried; 1 is never again.
        delay_seconds: before the second attempt.
        backoff_multiplier: how much longer each further delay is.
        max_delay_seconds: the longest delay.
        jitter: the part of a delay that is left to chance, 0 to 1, so that pipes which failed together do not come
            back together ("equal jitter" at 0.5: M. Brooker, Exponential Backoff And Jitter, 2015).
    """

    attempts: int = 1
    delay_seconds: float = 1.0
    backoff_multiplier: float = 2.0
    max_delay_seconds: float = 60.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        for name, value, fits in (
            ("attempts", self.attempts, isinstance(self.attempts, int) and self.attempts >= 1),
            ("delay_seconds", self.delay_seconds, _at_least(self.delay_seconds, 0)),
            ("backoff_multiplier", self.backoff_multiplier, _at_least(self.backoff_multiplier, 1)),
            ("max_delay_seconds", self.max_delay_seconds, _at_least(self.max_delay_seconds, 0)),
            ("jitter", self.jitter, _at_least(self.jitter, 0) and self.jitter <= 1),
        ):
            if not fits or isinstance(value, bool):
                raise ValueError(f"retry: {name} cannot be {value!r}.")

    def delay(self, attempt: int, random: Callable[[], float]) -> float:
        """Return the seconds to wait after this attempt, the first being 1.

        Args:
            random: returns a number of [0, 1).
        """
        # Exponents are bounded: a float to the power of thousands raises.
        whole = min(self.max_delay_seconds, self.delay_seconds * self.backoff_multiplier ** min(attempt - 1, 64))
        return whole * (1 - self.jitter * random())


@dataclass(frozen=True)
class PipePolicy:
    """How a pipe runs.

    Attributes:
        timeout_seconds: of an attempt; None is no limit.
        allow_failure: its failure does not fail the run; what depends on it is skipped all the same.
        pool: its name; None for a pipe that only ``max_workers`` limits.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_seconds: float | None = None
    allow_failure: bool = False
    pool: str | None = None

    def of(self, pipe: PipeMetadata) -> PipePolicy:
        """Return this policy with what the pipe's own options change.

        Raises:
            PipeDefinitionError: an option has an impossible value.
        """
        options = pipe.options
        if options.keys().isdisjoint(OPTIONS):
            return self
        changed: dict[str, Any] = {name: options[name] for name in OPTIONS if name in options}
        if "retry" in changed:
            changed["retry"] = self._retry(pipe, changed["retry"])
        limit = changed.get("timeout_seconds")
        if limit is not None and (isinstance(limit, bool) or not _at_least(limit, 0) or not limit):
            raise _wrong(pipe, f"timeout_seconds is {limit!r}. Give seconds, more than 0, or None for no limit.")
        if not isinstance(changed.get("allow_failure", False), bool):
            raise _wrong(pipe, f"allow_failure is {changed['allow_failure']!r}. Give True or False.")
        if not isinstance(changed.get("pool", ""), (str, type(None))):
            raise _wrong(pipe, f"pool is {changed['pool']!r}. Give the name of a pool.")
        return replace(self, **changed)

    def _retry(self, pipe: PipeMetadata, given: object) -> RetryPolicy:
        known = [item.name for item in fields(RetryPolicy)]
        values: Mapping[Any, Any] = given if isinstance(given, Mapping) else {"attempts": given}
        for name in values:
            if name not in known:
                raise _wrong(pipe, f"retry has no {name!r}.{did_you_mean(str(name), known)} It has {', '.join(known)}.")
        try:
            return replace(self.retry, **values)
        except ValueError as error:
            raise _wrong(pipe, f"{error} Give the number of attempts, or {OPTIONS['retry']!r}.") from None


@dataclass(frozen=True)
class Verdict:
    """What follows when an attempt has ended.

    Attributes:
        reached: the pipe did not fail, so pipes that need it may start.
        retry_after: seconds until the pipe is tried again; None if it is not.
        stop: no other pipe starts any more.
        cancel: running pipes are stopped, too.
    """

    reached: bool
    retry_after: float | None = None
    stop: bool = False
    cancel: bool = False


REACHED = Verdict(True)


@dataclass(frozen=True)
class Failure:
    """A failed attempt, as far as the decision needs it.

    Attributes:
        attempt: its number, from 1.
        error: what it failed with.
        worth_retrying: another attempt may end better, see ``is_transient``.
        run_ends: the run is being stopped, so nothing new starts.
    """

    attempt: int
    error: BaseException
    worth_retrying: bool
    run_ends: bool = False


def may_retry(attempt: int, policy: PipePolicy, run_ends: bool) -> bool:
    """Whether the policy and the run leave another attempt after this attempt, the first being 1."""
    return not run_ends and attempt < policy.retry.attempts


def decide(failure: Failure, policy: PipePolicy, on_failure: OnFailure, random: Callable[[], float]) -> Verdict:
    """Decide what follows when an attempt has failed: another attempt, or what the failure means to the other pipes.

    Args:
        policy: of the pipe.
        on_failure: of the run.
        random: returns a number of [0, 1).
    """
    if failure.worth_retrying and may_retry(failure.attempt, policy, failure.run_ends):
        return Verdict(False, retry_after=policy.retry.delay(failure.attempt, random))
    if isinstance(failure.error, KeyboardInterrupt):
        return Verdict(False, stop=True, cancel=True)
    if policy.allow_failure or not on_failure.ends_run:
        return Verdict(False)
    return Verdict(False, stop=True)


def policies_of(
    pipes: Iterable[PipeMetadata], default: PipePolicy, pools: Mapping[str, int] | None = None
) -> dict[str, PipePolicy]:
    """Return pipe id -> its policy.

    Args:
        pools: the known pools, name -> pipes at a time.

    Raises:
        PipeDefinitionError: an option has an impossible value, or names no pool.
    """
    found = {}
    for pipe in pipes:
        policy = default.of(pipe)
        if policy.pool is not None and policy.pool not in (pools or {}):
            known = f"Known: {', '.join(pools)}." if pools else "There is none yet."
            raise _wrong(
                pipe,
                f"there is no pool {policy.pool!r}.{did_you_mean(policy.pool, pools or {})} {known} Declare it: "
                f"[execution.pools], {policy.pool} = 2.",
            )
        found[pipe.pipe_id] = policy
    return found


# Mistakes in code, in data or in settings: the second attempt ends like the first.
_PERMANENT: tuple[type[BaseException], ...] = (
    KindlingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    NotImplementedError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
)
_PASSING_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.EPIPE,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


def is_transient(error: BaseException) -> bool:
    """Whether another attempt may end better after this error.

    An error may say so itself by an attribute ``transient``. Connections and time limits pass; mistakes in code or
    data do not, nor do missing files; what is unknown is tried again, since somebody asked for that.
    """
    try:
        own_answer = getattr(error, "transient", None)
    except Exception:  # noqa: BLE001 - somebody else's class; then it says nothing
        own_answer = None
    if isinstance(own_answer, bool):
        return own_answer
    if not isinstance(error, Exception):
        return False
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _PASSING_ERRNOS
    return not isinstance(error, _PERMANENT)


def _at_least(value: object, least: float) -> bool:
    return isinstance(value, (int, float)) and value >= least


def _wrong(pipe: PipeMetadata, message: str) -> PipeDefinitionError:
    place = f" ({pipe.location})" if pipe.location else ""
    return PipeDefinitionError(f"Pipe {pipe.pipe_id!r}{place}: {message}")
