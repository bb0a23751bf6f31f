"""The plugin's class, named by the entry point ``heartbeat`` in the group ``kindling``."""

from __future__ import annotations


class HeartbeatPlugin:
    """Features of a job that lists ``heartbeat``."""

    requires = ("entities",)
