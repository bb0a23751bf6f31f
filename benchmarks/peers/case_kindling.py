"""Kindling: plan and run, values handed on in memory."""

from __future__ import annotations

from collections.abc import Callable

from kindling_jobs import executer_of
from shapes import main

from kindling_core import __version__


def prepare(edges: list[list[int]]) -> Callable[[], object]:
    executer, ids = executer_of(edges)
    return lambda: executer.run_datapipes(ids)


main("Kindling", __version__, "plan and run, 4 workers", prepare)
