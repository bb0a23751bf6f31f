"""Temporary folders that a killed process leaves, and that a later process removes.

A folder is locked (``flock``) for as long as its process lives. The kernel gives the lock back however a process ends,
so a folder that can be locked has no owner any more. Its name says on which machine this holds, since a temporary
folder may be shared by several. Where a file system has no such locks, folders stay.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_log = logging.getLogger("kindling.entities")
_KINDS = ("staged", "links", "verify", "compare")
_NAME = re.compile(rf"kindling-(?:{'|'.join(_KINDS)})-([0-9a-f]{{8}})-([0-9a-f]{{8}})-\w+")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class OwnFolder:
    """A new folder of this process; removed by ``close``, at the latest when the process ends.

    Args:
        kind: one of the kinds that ``sweep`` knows.
        parent: where it is made; the system's temporary folder if None.

    Attributes:
        path: where it is.
    """

    def __init__(self, kind: str, parent: str | None = None) -> None:
        assert kind in _KINDS, kind
        while True:
            self.path = tempfile.mkdtemp(prefix=f"kindling-{kind}-{'-'.join(_machine())}-", dir=parent)
            # Until the folder is locked, another process may consider it abandoned, and remove it.
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                lock = _lock(self.path)
                break
        self._lock = lock
        self._finalizer = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    @property
    def lock_files(self) -> Sequence[int]:
        """File descriptors that a child process inherits where the folder is to stay as long as the child lives."""
        return () if self._lock is None else (self._lock,)

    def close(self) -> None:
        """Remove the folder with what it holds; may be called twice."""
        self._finalizer()


@contextlib.contextmanager
def own_folder(kind: str, parent: str | None = None) -> Iterator[OwnFolder]:
    """A folder that is removed when the block ends."""
    folder = OwnFolder(kind, parent)
    try:
        yield folder
    finally:
        folder.close()


def sweep(parent: str | None = None) -> list[str]:
    """Remove the folders that killed processes of this user have left; return their paths.

    Folders of processes that live stay, and so do those of other users and other machines. Several processes may do
    this at the same time.

    Args:
        parent: where folders are made; the system's temporary folder if None.
    """
    removed: list[str] = []
    if sys.platform == "win32":
        return removed
    host, boot = _machine()
    try:
        with os.scandir(parent or tempfile.gettempdir()) as entries:
            named = ((entry.path, _NAME.fullmatch(entry.name)) for entry in entries)
            found = [path for path, name in named if name is not None and _near(name, host, boot)]
    except OSError:
        return removed
    for path in found:
        # A process lives that has it, it is another user's, or it is gone.
        with contextlib.suppress(OSError):
            lock = _lock(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)
                removed.append(path)
    if removed:
        _log.info("Removed %d temporary folder(s) of processes that were killed: %s", len(removed), ", ".join(removed))
    return removed


def _near(named: re.Match[str], host: str, boot: str) -> bool:
    # Containers have names of their own on the same kernel, and a machine keeps its name when it starts anew.
    return named[1] == host or named[2] == boot


def _machine() -> tuple[str, str]:
    host = os.uname().nodename if hasattr(os, "uname") else ""
    try:
        boot = Path(_BOOT_ID).read_text(encoding="ascii").strip()
    except OSError:
        boot = host
    return _digest(host), _digest(boot)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _lock(path: str) -> int | None:
    """Lock a folder of this user; None where there are no such locks.

    Raises:
        BlockingIOError: another process holds the lock.
        FileNotFoundError: it is gone.
        OSError: it is another user's, or no folder.
    """
    if sys.platform == "win32":
        return None
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(file).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            os.close(file)
            return None
        # Whoever had the lock before may have removed the folder, and then the lock is worth nothing.
        if not os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    except BaseException:
        os.close(file)
        raise
    return file


def _remove(path: str, lock: int | None, process: int) -> None:
    if os.getpid() != process:
        # A child has inherited what its parent still uses.
        return
    shutil.rmtree(path, ignore_errors=True)
    if lock is not None:
        os.close(lock)
