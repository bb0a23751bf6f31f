"""Which process this is, and whether another is dead. Certain knowledge only on the same machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> tuple[str, int, str]:
    """Return the host, the process id, and when the process began."""
    pid = os.getpid()
    return this_host(), pid, _started(pid) or "unknown"


def this_host() -> str:
    """Name this machine since its last start and this namespace of process ids, as far as the system says."""
    parts = [socket.gethostname()]
    try:
        parts += [_BOOT.read_text().strip(), os.readlink("/proc/self/ns/pid")]
    except OSError:
        # No Linux: the name has to do, and a lease then ends by its time.
        return parts[0]
    return "/".join(parts)


def is_dead(host: str, pid: int, started: str) -> bool:
    """Whether a process has certainly ended; False where that cannot be known."""
    if host != this_host() or "/" not in host:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        # No process can have a number that the system's type does not hold.
        return True
    except PermissionError:
        # It belongs to somebody else; whether it is the same process its start shows.
        pass
    now = _started(pid)
    return now == "dead" or (started != "unknown" and now is not None and now != started)


def _started(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat (proc(5)): clock ticks from the start of the machine; None for a dead process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in the second field may hold spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    return "dead" if fields[0] in ("Z", "X") else fields[19]
