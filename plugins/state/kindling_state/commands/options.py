"""Values that the commands about runs take."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import click

from kindling_core.cli import Age


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A day, a time of a day, or an age that is counted back from now."""

    name = "moment"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> datetime:
        """Read ISO 8601, in UTC unless it has an offset, or an age."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        if re.fullmatch(r"\d+[mhdw]", text):
            return before_now(Age().convert(text, parameter, context))
        try:
            # Python 3.10 does not read the Z that others write for UTC.
            found = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
        except ValueError:
            self.fail(
                f"{value!r} is no moment. Give 2026-05-01, 2026-05-01T06:30 (UTC) or an age such as 7d.",
                parameter,
                context,
            )
        return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


def before_now(age: timedelta) -> datetime:
    """Return the moment that was so long ago; the first there is, where that is before all calendars."""
    try:
        return datetime.now(timezone.utc) - age
    except OverflowError:
        return datetime.min.replace(tzinfo=timezone.utc)
