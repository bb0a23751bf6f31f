"""Keeps the options of a run with its record, and gives them to a run that continues it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, time
from enum import Enum
from os import PathLike, fspath
from typing import Any

from kindling_core.errors import PlanError
from kindling_core.secrets import MASK, is_secret_name, redacted
from kindling_core.state.values import RunStart

NOT_KEPT = MASK
"""Stands in place of a secret, and of a value that JSON cannot carry."""


def kept_options(options: Mapping[str, object], redact: Callable[[str], str]) -> dict[str, Any]:
    """Return the options of a run as a record can keep them.

    Dates and paths become text, tuples and sets lists.

    Args:
        redact: masks secrets.
    """
    return {name: _kept(name, value, redact) for name, value in options.items()}


def options_to_continue(start: RunStart, given: Mapping[str, object]) -> dict[str, object]:
    """Return the options of a run that continues another: those that are given anew, else those that it had.

    Raises:
        PlanError: a value was not kept and is not given anew.
    """
    missing = [name for name, value in start.options.items() if value == NOT_KEPT and name not in given]
    if missing:
        flags = " ".join(f"--{name.replace('_', '-')}=..." for name in missing)
        raise PlanError(
            f"Run {start.run_id} was started with {' and '.join(map(repr, missing))}, and secrets and objects are not "
            f"kept. Give it again: `kindling resume {start.run_id} {flags}`, or `options` of resume_run."
        )
    return {**start.options, **given}


def _kept(name: str, value: object, redact: Callable[[str], str]) -> Any:
    if value is not None and is_secret_name(name):
        return NOT_KEPT
    try:
        plain = json.loads(json.dumps(value, default=_plain, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return NOT_KEPT
    return plain if redacted(plain, redact) == plain else NOT_KEPT


def _plain(value: object) -> object:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Set):
        return sorted(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PathLike):
        return fspath(value)
    raise TypeError(f"A {type(value).__name__} is no plain value.")
