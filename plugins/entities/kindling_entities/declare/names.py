"""Names of columns: which are one to a table, and which no table can have. Pure functions, without pyarrow."""

from __future__ import annotations

from collections.abc import Iterable


def same_but_for_case(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that a table, which ignores case, takes for one; None if there are no such."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            return other, name
    return None


def no_column(name: str) -> str | None:
    """Why no column can have this name; None if one can."""
    return "a column needs a name that is not empty" if name == "" else None


def no_partition(name: str) -> str | None:
    """Why no partition column can have this name; None if one can."""
    if any(ord(letter) < 32 or letter == "\x7f" for letter in name) or ".." in name.split("/"):
        return "the name of a partition column becomes that of a folder, so it has no control characters and no '..'"
    return None
