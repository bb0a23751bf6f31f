"""Ids of the operations of a run."""

from __future__ import annotations

import random
from uuid import uuid4


class OperationIds:
    """Makes uuid4s of a seed: asking the system for each costs more than the rest of a pipe's signals."""

    def __init__(self) -> None:
        self._bits = random.Random(uuid4().int).getrandbits

    def new(self) -> str:
        """Return a uuid4 (RFC 9562, 5.4)."""
        bits = self._bits(128) & ~(0xF000 << 64) & ~(0xC000 << 48) | 0x4000 << 64 | 0x8000 << 48
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
