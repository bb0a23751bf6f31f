"""A length of time as commands take it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Age(click.ParamType):  # type: ignore[type-arg]
    """A length of time such as 30d."""

    name = "age"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> timedelta:
        """Read a whole number and a unit."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,6})([mhdw])", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no age. Give a whole number and m, h, d or w, such as 30d.", parameter, context)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
