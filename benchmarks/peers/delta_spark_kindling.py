"""spark-kindling: its graph, its generations on threads, and its Delta provider in storage mode, on its own pyspark.

Its provider's ``write_to_entity`` appends; ``replace_entity`` is what makes a table and overwrites it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from delta_job import ROWS, main, session, upstream
from kindling.data_entities import EntityMetadata
from kindling.data_pipes import DataPipesManager
from kindling.execution_strategy import ExecutionPlanGenerator
from kindling.generation_executor import GenerationExecutor
from kindling.pipe_graph import PipeGraphBuilder
from kindling.signaling import BlinkerSignalProvider
from spark_kindling_parts import Loggers, Settings, Spans


class Tables:
    """The entities of the job, where they lie, and what reads and writes them."""

    def __init__(self, folder: Path, appends: bool) -> None:
        self._folder = folder
        self._appends = appends
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
        write = self.provider.write_to_entity if self._appends else self.provider.replace_entity
        return lambda frame: write(frame, self.get_entity_definition(pipe.output_entity_id))


class Job:
    """Implements ``Job`` of delta_job."""

    def __init__(self, shape: str, writes: str, folder: Path) -> None:
        self._shape = shape
        spark = session("spark-kindling")
        from kindling.entity_provider_delta import DeltaEntityProvider

        self._tables, self._signals = Tables(folder, writes == "append"), BlinkerSignalProvider()
        self._tables.provider = DeltaEntityProvider(Settings(), self._tables, self._tables, Loggers(), self._signals)
        spark.range(ROWS).write.format("delta").save(str(folder / "t0"))

    def ready(self, prefix: str, size: int) -> Callable[[], object]:
        registry, tables = DataPipesManager(Loggers()), self._tables
        ids = [f"{prefix}t{number}" for number in range(1, size + 1)]
        for number, pipe_id in enumerate(ids, start=1):
            source = upstream(self._shape, number, prefix)
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
        executor = GenerationExecutor(registry, tables, None, Settings(), tables, Spans(), Loggers(), self._signals)

        def run() -> None:
            result = executor.execute(planner.generate_plan(ids), parallel=True, max_workers=4)
            if not result.all_succeeded:
                raise SystemExit(str(next(iter(result.generation_results[0].pipe_results.values()))))

        return run

    def rows(self, table: str) -> int:
        return int(self._tables.provider.read_entity(self._tables.get_entity_definition(table)).count())


main("spark-kindling", version("spark-kindling"), "graph, 4 workers, its Delta provider, one warm session", Job)
