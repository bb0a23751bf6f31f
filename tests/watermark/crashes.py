"""Ends the process, or the attempt, at a named step of an incremental pipe. Listed before the feature or after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Any

from kindling_core import ReadRequest, WriteRequest, hookimpl

STEPS = ("begun", "read", "computed", "committed", "done")


class Crash:
    """Calls ``end`` when a step of a pipe is reached.

    Args:
        steps: of ``STEPS``. "begun": the intent is written; "read": the first input was read; "computed": the function
            has returned; "committed": the output is committed, and that is not written down; "done": it is.
        inner: listed before the feature, so that its hooks are within those of the feature.
    """

    def __init__(self, steps: tuple[str, ...], end: Callable[[str], object], *, inner: bool) -> None:
        self.name = f"crash_{'inner' if inner else 'outer'}"
        self.steps = steps
        self._end = end
        self._inner = inner

    def reach(self, step: str, inner: bool) -> None:
        if step in self.steps and inner == self._inner:
            self._end(step)

    @hookimpl(wrapper=True)
    def kindling_read(self, request: ReadRequest) -> Generator[None, Any, Any]:
        self.reach("begun", True)
        frame = yield
        self.reach("read", False)
        return frame

    @hookimpl(wrapper=True)
    def kindling_write(self, request: WriteRequest) -> Generator[None, Any, Any]:
        self.reach("computed", True)
        result = yield
        self.reach("committed", True)
        self.reach("done", False)
        return result


class Killed(BaseException):
    """Stands for a kill within a test's own process: nothing may catch it."""


def kill(step: str) -> None:
    raise Killed(step)


def crashes(step: str, end: Callable[[str], object] = kill) -> tuple[Crash, Crash]:
    """The plugin to list before the feature, and the one after it."""
    return Crash((step,), end, inner=True), Crash((step,), end, inner=False)


def from_environment() -> tuple[Crash, Crash]:
    """As ``crashes``, of the variable KILL_AT, and with a real end of the process."""
    return crashes(os.environ.get("KILL_AT", ""), lambda step: os._exit(9))
