"""Findings of ``kindling doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        status: "ok", "warning" (the job may run) or "error" (it cannot).
        subject: what was looked at, such as ``java`` or ``entities.root``.
        message: what was found.
        advice: what to do about it; empty when status is "ok".
    """

    status: Literal["ok", "warning", "error"]
    subject: str
    message: str
    advice: str = ""
