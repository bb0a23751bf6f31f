"""The files that a location names: a file, a folder, or a pattern within a folder that is taken as it is called."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator


def matching(location: str) -> list[str]:
    """The files at a location, in the order of their paths.

    The folders above a pattern are literal as far as they exist: ``br[1]/*.csv`` is a pattern within the folder
    ``br[1]`` where such a file exists.
    """
    if os.path.isfile(location):
        return [location]
    if os.path.isdir(location):
        found = [
            os.path.join(folder, name)
            for folder, names in _walked(location)
            for name in names
            if not name.startswith((".", "_"))
        ]
        return sorted(found)
    folder, pattern = split(location)
    paths = (os.path.join(folder, name) for name in glob.glob(pattern, root_dir=folder or None, recursive=True))
    return sorted(path for path in paths if os.path.isfile(path))


def _walked(location: str) -> Iterator[tuple[str, list[str]]]:
    for folder, folders, names in os.walk(location):
        # What writers put aside, such as _temporary; a folder such as _day=1 is a column.
        folders[:] = [name for name in folders if not name.startswith(".") and ("=" in name or name[0] != "_")]
        yield folder, names


def split(location: str) -> tuple[str, str]:
    """The deepest folder of a location that exists under this very name, and the pattern below it."""
    folder, below = os.path.split(location)
    while folder and not os.path.isdir(folder):
        above, last = os.path.split(folder)
        if above == folder:
            break
        folder, below = above, os.path.join(last, below)
    return folder, below
