"""Run history, resume and leases for Kindling pipelines."""

from __future__ import annotations

from kindling_state._version import __version__

__all__ = ["__version__"]
