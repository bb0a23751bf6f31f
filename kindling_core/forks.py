"""Keeps a child process that a user's code forked from running the parent's work.

``os.fork`` copies the calling thread alone. A child that leaves a pipe by ``sys.exit``, an exception or a plain return
would go on with what that thread does for the run: write the pipe's output again, send its signals, and then wait for
threads that it does not have.
"""

from __future__ import annotations

import os
import sys
import traceback
from os import getpid

from kindling_core.logs import written


def end_child_of(parent: int, error: BaseException | None = None) -> None:
    """End this process if it is not ``parent`` itself but a child that a user's code forked from it.

    The child ends as the interpreter would have ended it: with the status of ``sys.exit``, with 1 and a traceback for
    any other error, and with 0 where there is none.

    Args:
        parent: id of the process in which the user's code was called.
        error: what that code raised.
    """
    if getpid() == parent:
        return
    status, text = _ending(error)
    try:
        if text:
            written(sys.stderr, text)
        # The stream may hold what the child has printed.
        written(sys.stdout, "")
    finally:
        # What is registered for the end of the process is the parent's.
        os._exit(status)


def _ending(error: BaseException | None) -> tuple[int, str]:
    """Return the exit status of a child, and what it has to say."""
    if error is None:
        return 0, ""
    if not isinstance(error, SystemExit):
        return 1, "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if error.code is None:
        return 0, ""
    if isinstance(error.code, int):
        # As the system keeps it.
        return error.code & 0xFF, ""
    return 1, f"{error.code}\n"
