"""Trying a write again when another writer committed first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from kindling_core.errors import safe_str
from kindling_entities.errors import ConflictError
from kindling_entities.protocols import Table

Result = TypeVar("Result")


class RaceLost(Exception):
    """Another writer committed first."""


def first_line(error: BaseException) -> str:
    return safe_str(error).strip().split("\n")[0].rstrip(".")


class Retry:
    """Tries a write again after a lost race, with growing random waits of at most 0.75 seconds.

    Args:
        max_attempts: number of attempts before ConflictError.
        sleep: waits for a number of seconds; replaced in tests.
        jitter: returns a random number from 0 to 1; replaced in tests.
    """

    def __init__(
        self,
        max_attempts: int = 30,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._max_attempts = max_attempts
        self._sleep = sleep
        self._jitter = jitter

    def run(self, table: Table, attempt: Callable[[], Result]) -> Result:
        """Call ``attempt`` until it does not raise ``RaceLost``.

        Raises:
            ConflictError: it always did; nothing of this write was kept.
        """
        reason: RaceLost | None = None
        for number in range(self._max_attempts):
            if number:
                self._sleep(min(0.01 * 1.5**number, 0.5) * (0.5 + self._jitter()))
            try:
                return attempt()
            except RaceLost as error:
                reason = error
        raise ConflictError(
            f"Other writers committed to {table.entity_id!r} at {table.place} first, "
            f"{self._max_attempts} times in a row; nothing of this write was kept. Run it again. "
            f"({first_line(reason) if reason else 'no attempt was allowed'})"
        ) from reason
