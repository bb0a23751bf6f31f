"""Lets go of what the exceptions of a run hold on to once the run is over."""

from __future__ import annotations

import traceback
from collections.abc import Iterable


def release_frames(errors: Iterable[BaseException | None], outside: BaseException | None = None) -> None:
    """Clear the local variables in the tracebacks of exceptions, of their causes and of their contexts.

    A traceback refers to each frame that it went through, and with it to every frame of data there. Whoever keeps an
    exception, as a notebook does, would keep all of that. Files, lines and texts stay, so that the traceback still
    prints whole.

    Args:
        outside: an exception that was being handled when the run began, which is left as it is.
    """
    seen = {id(outside)}
    left = list(errors)
    while left:
        error = left.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        # Frames that still run keep what they have.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, AttributeError):
            # The interpreter notes the object that lacks the attribute, which is often a frame of data.
            error.obj = None
        left += [error.__cause__, error.__context__, *_members(error)]


def _members(error: BaseException) -> Iterable[BaseException]:
    """Return the exceptions of an exception group (Python 3.11, or the backport)."""
    members = getattr(error, "exceptions", None)
    return (
        [member for member in members if isinstance(member, BaseException)]
        if isinstance(members, (list, tuple))
        else ()
    )
