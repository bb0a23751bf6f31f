"""Dagster: a graph of ops, executed in this process."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
sys.setrecursionlimit(100_000)

from dagster import DagsterInstance, DependencyDefinition, GraphDefinition, In, OpDefinition, Out, mem_io_manager
from dagster import __version__ as version
from shapes import main

logging.disable(logging.CRITICAL)


def prepare(edges: list[list[int]]) -> Callable[[], object]:
    ops, dependencies = [], {}
    for number, before in enumerate(edges):

        def nothing(context, inputs):  # type: ignore[no-untyped-def]
            from dagster import Output

            yield Output(1, "result")

        name = f"p{number}"
        ops.append(
            OpDefinition(
                compute_fn=nothing, name=name, ins={f"x{other}": In() for other in before}, outs={"result": Out()}
            )
        )
        dependencies[name] = {f"x{other}": DependencyDefinition(f"p{other}") for other in before}
    job = GraphDefinition(name="job", node_defs=ops, dependencies=dependencies).to_job(
        resource_defs={"io_manager": mem_io_manager}
    )

    def run() -> object:
        with DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(instance=instance)
            assert result.success
            return result

    return run


main("Dagster", version, "ops, execute_in_process, ephemeral instance, memory io manager", prepare)
