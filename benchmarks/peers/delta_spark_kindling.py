"""spark-kindling: its graph, its generations on threads, and its Delta provider in storage mode, on its own pyspark."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from delta_job import main, session, upstream
from kindling.data_entities import EntityMetadata
from kindling.data_pipes import DataPipesManager
from kindling.execution_strategy import ExecutionPlanGenerator
from kindling.generation_executor import GenerationExecutor
from kindling.pipe_graph import PipeGraphBuilder
from kindling.signaling import BlinkerSignalProvider
from spark_kindling_parts import Loggers, Settings, Spans


class Tables:
    """The entities of the job, where they lie, and what reads and writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.provider: Any = None

    def get_entity_definition(self, name: str) -> EntityMetadata:
        return EntityMetadata(name, name, [], {"provider_type": "delta", "provider.access_mode": "storage"}, None)

    def get_table_path(self, entity: EntityMetadata) -> str:
        return str(self._folder / entity.entityid)

    def get_table_name(self, entity: EntityMetadata) -> str:
        return str(entity.entityid)

    def create_pipe_entity_reader(self, pipe: Any) -> Callable[..., Any]:
        return lambda entity, changes=False: self.provider.read_entity(entity)

    def create_pipe_persist_activator(self, pipe: Any) -> Callable[[Any], None]:
        return lambda frame: self.provider.write_to_entity(frame, self.get_entity_definition(pipe.output_entity_id))


def prepare(shape: str, size: int, folder: Path) -> Callable[[], None]:
    spark = session("spark-kindling")
    from kindling.entity_provider_delta import DeltaEntityProvider

    tables, signals = Tables(folder), BlinkerSignalProvider()
    tables.provider = DeltaEntityProvider(Settings(), tables, tables, Loggers(), signals)
    spark.range(100).write.format("delta").save(str(folder / "t0"))
    registry = DataPipesManager(Loggers())
    ids = [f"t{number}" for number in range(1, size + 1)]
    for number, pipe_id in enumerate(ids, start=1):
        source = upstream(shape, number)
        registry.register_pipe(
            pipe_id,
            name=pipe_id,
            execute=lambda source=source, **inputs: inputs[source],
            tags={},
            input_entity_ids=[source],
            output_entity_id=pipe_id,
            output_type="delta",
        )
    planner = ExecutionPlanGenerator(registry, PipeGraphBuilder(registry, Loggers()), Loggers())
    executor = GenerationExecutor(registry, tables, None, Settings(), tables, Spans(), Loggers(), signals)

    def run() -> None:
        result = executor.execute(planner.generate_plan(ids), parallel=True, max_workers=4)
        if not result.all_succeeded:
            raise SystemExit(str(next(iter(result.generation_results[0].pipe_results.values()))))

    return run


main("spark-kindling", version("spark-kindling"), "graph, 4 workers, its Delta provider, one warm session", prepare)
