"""Folders whose names a library takes for an address or a pattern: ``%20``, ``[1]``, ``{x}``, ``*``, spaces, umlauts.

Sail reads a link with a plain name, whatever it leads to. What delta-rs cannot reach is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading

from kindling_entities.errors import StorageError, UnsupportedError
from kindling_entities.protocols import Table
from kindling_entities.temporary import OwnFolder, sweep

_UNREACHABLE = re.compile(r"[\x00-\x1f\x7f\[\]\\^|]|%[0-9A-Fa-f]{2}")
_PLAIN = re.compile(r"[A-Za-z0-9_./+=,:@~-]*")


def is_plain(path: str) -> bool:
    """Whether every library reads this path as it is; addresses such as ``s3://`` are left to them."""
    return "://" in path or _PLAIN.fullmatch(path) is not None


def plain_temporary(parent: str | None = None) -> str:
    """A folder with a plain name for temporary files and links.

    Args:
        parent: the folder that is wanted; its name need not be plain.

    Raises:
        StorageError: there is none.
    """
    asked = parent if parent is not None else tempfile.gettempdir()
    for folder in (asked, "/tmp", "/var/tmp"):
        if is_plain(folder) and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise StorageError(
        f"The temporary folder {asked!r} has a name that the engines cannot read, and there is no other. Set TMPDIR to "
        "a folder whose path has only letters of ASCII, digits and any of _ . / + = , : @ ~ -"
    )


def unreachable(location: str) -> str | None:
    """What in a path delta-rs cannot reach, None if it reaches it.

    It takes ``%20`` for a space and ``\\`` for a slash, and makes a host name of the path, in which ``[`` is no
    letter. It resolves links before, so that none helps.
    """
    if "://" in location:
        return None
    found = _UNREACHABLE.search(os.path.realpath(location))
    return None if found is None else found.group()


def refuse_unreachable(table: Table) -> None:
    """Refuse a place that the embedded engine cannot reach.

    Raises:
        UnsupportedError: names the place and the part of it.
    """
    part = None if table.name is not None else unreachable(table.location)
    if part is not None:
        raise UnsupportedError(f"{table.entity_id!r} at {table.location}: {unreachable_text(part)}")


def unreachable_text(part: str) -> str:
    """Say what is wrong with a path, and what to do."""
    return (
        f"the embedded engine cannot reach a folder with {part!r} in its path. Rename the folder, set entities.root to "
        'another one, or use engine = "spark".'
    )


class Places:
    """The links of an engine; safe on any thread.

    Args:
        parent: where the folder of links is made, if its name is plain.
    """

    def __init__(self, parent: str | None) -> None:
        self._parent = parent
        self._folder: OwnFolder | None = None
        self._links: dict[str, str] = {}
        self._lock = threading.Lock()

    def plain(self, path: str) -> str:
        """The path, or a link to it where its name is not plain."""
        if is_plain(path):
            return path
        with self._lock:
            link = self._links.get(path)
            if link is None:
                if self._folder is None:
                    self._folder = OwnFolder("links", plain_temporary(self._parent))
                # A parquet file is known by its ending.
                link = os.path.join(self._folder.path, f"{len(self._links)}{_ending(path)}")
                os.symlink(os.path.abspath(path), link)
                self._links[path] = link
            return link

    def sweep(self) -> None:
        """Remove the links that killed processes have left."""
        with contextlib.suppress(StorageError):
            sweep(plain_temporary(self._parent))

    def remove(self) -> None:
        """Remove the links; harmless when there are none."""
        with self._lock:
            folder, self._folder = self._folder, None
            self._links.clear()
        if folder is not None:
            folder.close()


def _ending(path: str) -> str:
    ending = os.path.splitext(path)[1]
    return ending if is_plain(ending) else ""
