"""Where the commits of a table lie on this machine."""

from __future__ import annotations

import os


def commit_file(location: str, version: int) -> str:
    """The file of a commit (Delta protocol, "Delta Log Entries")."""
    return os.path.join(location, "_delta_log", f"{version:020d}.json")
