"""Names of columns: which of them a table cannot distinguish, and which no table can have.

Pure functions, without pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterable


def same_but_for_case(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that differ by case alone, which a table ignores; None if there are none."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            return other, name
    return None


def no_column(name: str) -> str | None:
    """Why no column can have this name; None if the name is valid."""
    return "a column needs a name that is not empty" if name == "" else None


def no_partition(name: str) -> str | None:
    """Why no partition column can have this name; None if the name is valid."""
    if any(ord(letter) < 32 or letter == "\x7f" for letter in name) or ".." in name.split("/"):
        return "the name of a partition column becomes that of a folder, so it has no control characters and no '..'"
    return None
