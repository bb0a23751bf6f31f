"""What the pipes of runs are doing right now."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from kindling_core import PipeMetadata, RunInfo
from kindling_watermark.declare.options import Declaration
from kindling_watermark.ranges.values import Intent
from kindling_watermark.records import Kept


@dataclass
class Work:
    """One execution of an incremental pipe, from its intent to its end.

    Attributes:
        kept: what is kept of the reader, with the intent.
        output_version: of the output before it is written; -1 where there is none.
        increment: something is read from a watermark on; else all of every source.
        more: there is something behind it that the run reads, too.
        nested: it is run by the execution before it.
        old: source -> its rows as they were before the changes that are read.
        old_value: what the function makes of them.
        touched: the keys that are computed anew, once they are known.
    """

    declaration: Declaration
    kept: Kept
    output_version: int
    increment: bool
    more: bool = False
    nested: bool = False
    old: dict[str, Any] = field(default_factory=dict)
    old_value: Any = None
    touched: Any = None

    @property
    def intent(self) -> Intent:
        """What is done."""
        assert self.kept.state.intent is not None
        return self.kept.state.intent


class Works:
    """The work of each pipe of each run; safe on any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works: dict[tuple[str, str], Work] = {}

    def get(self, run: RunInfo, pipe: PipeMetadata) -> Work | None:
        """What a pipe is doing; None if it is not incremental."""
        return self._works.get((run.run_id, pipe.pipe_id))

    def set(self, run: RunInfo, pipe: PipeMetadata, work: Work) -> None:
        """A pipe begins with something."""
        with self._lock:
            self._works[run.run_id, pipe.pipe_id] = work

    def drop(self, run: RunInfo, pipe: PipeMetadata) -> None:
        """A pipe has ended."""
        with self._lock:
            self._works.pop((run.run_id, pipe.pipe_id), None)
