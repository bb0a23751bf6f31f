"""Rows that a pipe makes while they are written, with the fence of its attempt in front of the commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from kindling_core.run.fence import Fence


@contextmanager
def guarded(value: Any, fence: Fence) -> Iterator[Any]:
    """Give what a pipe returned to its write, so that a pipe which was given up cannot commit it.

    A frame is written within the fence: the engine can be interrupted while it computes, and what still commits counts.
    A reader runs Python code of the pipe, which may hang: the fence stays open to be closed until its last batch,
    before which nothing commits.
    """
    if not isinstance(value, pa.RecordBatchReader):
        with fence.committing():
            yield value
        return
    entered = committed = False

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal entered
        for batch in value:
            fence.check()
            yield batch
        fence.enter()
        entered = True

    try:
        yield pa.RecordBatchReader.from_batches(value.schema, batches())
        committed = True
    finally:
        if entered:
            fence.leave(committed)
