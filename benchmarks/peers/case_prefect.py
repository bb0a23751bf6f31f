"""Prefect: a flow of tasks that are called one after the other, on its ephemeral server."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable

os.environ |= {
    "PREFECT_HOME": tempfile.mkdtemp(prefix="prefect-"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
}

from prefect import __version__, flow, task
from shapes import main

logging.disable(logging.CRITICAL)


@task
def nothing(inputs: list[object]) -> int:
    """Stand in for a task."""
    return 1


def prepare(edges: list[list[int]]) -> Callable[[], object]:
    @flow
    def job() -> None:
        results: list[object] = []
        for before in edges:
            results.append(nothing([results[other] for other in before]))

    return job


main("Prefect", __version__, "a flow that calls tasks, ephemeral server, logging off", prepare)
