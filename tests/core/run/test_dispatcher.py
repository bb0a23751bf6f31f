"""The dispatcher: when threads share the work, and when one does it."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.run.executer import DataPipesExecuter

PATIENCE_SECONDS = 60


def executer_of(*pipes, workers=4):
    registry = DataPipesRegistry()
    for number, execute in enumerate(pipes):
        registry.register(PipeMetadata(f"p{number}", f"p{number}", [], None, {}, execute))
    return DataPipesExecuter(registry, max_workers=workers), registry.get_pipe_ids()


@pytest.mark.parametrize("long", [1, 3])
def test_pipes_of_microseconds_stay_on_one_thread_beside_pipes_that_take_long(long):
    quick, threads, all_done = 2_000, [], threading.Event()

    def wait():
        assert all_done.wait(PATIENCE_SECONDS)

    def note():
        threads.append(threading.get_ident())
        if len(threads) == quick:
            all_done.set()

    executer, ids = executer_of(*[wait] * long, *[note] * quick, workers=4)
    assert executer.run_datapipes(ids).status == "succeeded"
    # A machine that is busy may call another thread now and then.
    assert sum(one != other for one, other in pairwise(threads)) < quick / 4


def test_a_pipe_that_takes_long_after_many_quick_ones_keeps_no_other_waiting():
    together = threading.Barrier(4)
    executer, ids = executer_of(*[lambda: None] * 500, *[lambda: together.wait(PATIENCE_SECONDS)] * 4, workers=4)
    assert executer.run_datapipes(ids).status == "succeeded"
