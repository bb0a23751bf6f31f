"""Kindling without a graph: the given order, one pipe after the other."""

from __future__ import annotations

from collections.abc import Callable

from kindling_jobs import executer_of
from shapes import main

from kindling_core import __version__


def prepare(edges: list[list[int]]) -> Callable[[], object]:
    executer, ids = executer_of(edges)
    return lambda: executer.run_datapipes(ids, use_graph=False)


main("Kindling, given order", __version__, "given order, no graph", prepare)
