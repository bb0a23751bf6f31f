"""Plain names for folders whose own name a library misreads: a link in a temporary folder leads there.

delta-rs, Sail and Spark take parts of a path for an address or a pattern: ``%20``, ``[1]``, ``{x}``, ``*``, spaces,
letters beyond ASCII. Every one of them reads a link with a plain name, whatever it leads to.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from kindling_entities.errors import StorageError
from kindling_entities.protocols import Table

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


@dataclass(frozen=True)
class LinkedTable(Table):
    """A table whose ``location`` is a link.

    Attributes:
        shown: where it is, for people.
    """

    shown: str = ""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.shown


class Places:
    """The links of one engine; safe on any thread.

    Args:
        parent: where the folder of links is made, if its name is plain.
    """

    def __init__(self, parent: str | None) -> None:
        self._parent = parent
        self._folder: str | None = None
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
                    self._folder = tempfile.mkdtemp(prefix="kindling-links-", dir=plain_temporary(self._parent))
                # A parquet file is known by its ending.
                link = os.path.join(self._folder, f"{len(self._links)}{_ending(path)}")
                os.symlink(os.path.abspath(path), link)
                self._links[path] = link
            return link

    def reach(self, table: Table) -> Table:
        """The table under a plain name; itself where its name is plain."""
        if table.name is not None or is_plain(table.location):
            return table
        return _linked(table, self.plain(table.location))

    @contextlib.contextmanager
    def writing(self, table: Table) -> Iterator[Table]:
        """The table under a plain name, its folder made if there is none; a failed write leaves no empty folder."""
        if table.name is not None or is_plain(table.location):
            yield table
            return
        made = not os.path.isdir(table.location)
        try:
            os.makedirs(table.location, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder of {table.entity_id!r}, {table.location}, cannot be made: {error.strerror or error}."
            ) from error
        try:
            yield self.reach(table)
        except BaseException:
            if made:
                with contextlib.suppress(OSError):
                    os.rmdir(table.location)
            raise

    def remove(self) -> None:
        """Remove the links; harmless when there are none."""
        with self._lock:
            folder, self._folder = self._folder, None
            self._links.clear()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def reached(table: Table) -> Iterator[Table]:
    """The table under a plain name while the block lasts."""
    if table.name is not None or is_plain(table.location):
        yield table
        return
    places = Places(None)
    try:
        yield places.reach(table)
    finally:
        places.remove()


def _linked(table: Table, location: str) -> Table:
    given = {field.name: getattr(table, field.name) for field in fields(Table)}
    return replace(LinkedTable(**given, shown=table.place), location=location)


def _ending(path: str) -> str:
    ending = os.path.splitext(path)[1]
    return ending if is_plain(ending) else ""
