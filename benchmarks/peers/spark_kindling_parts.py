"""What spark-kindling's classes are given in place of what it injects: silent loggers, no traces, memory."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from kindling.data_pipes import DataPipesManager

logging.disable(logging.CRITICAL)


class Loggers:
    """Gives silent loggers."""

    def get_logger(self, name: str, **more: Any) -> logging.Logger:
        return logging.getLogger(name)


class Spans:
    """Traces nothing."""

    @contextlib.contextmanager
    def span(self, **details: Any) -> Any:
        yield None


class Entities:
    """Knows every entity."""

    def get_entity_definition(self, name: str) -> Any:
        return SimpleNamespace(entityid=name, tags={})


class Kept:
    """Reads and writes values in memory."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def create_pipe_entity_reader(self, pipe: Any) -> Callable[..., object]:
        return lambda entity, driving=False: self.values.get(entity.entityid, 1)

    def create_pipe_persist_activator(self, pipe: Any) -> Callable[[object], None]:
        def keep(value: object) -> None:
            self.values[pipe.output_entity_id] = value

        return keep


class Settings:
    """Has no settings but defaults."""

    def get(self, key: str, default: Any = None) -> Any:
        return default


def registry_of(edges: list[list[int]]) -> tuple[DataPipesManager, list[str]]:
    """Register the pipes of a job."""
    registry = DataPipesManager(Loggers())
    ids = []
    for node, before in enumerate(edges):
        ids.append(f"p{node}")
        registry.register_pipe(
            f"p{node}",
            name=f"p{node}",
            execute=lambda **inputs: 1,
            tags={},
            input_entity_ids=[f"e.x{other}" for other in before],
            output_entity_id=f"e.x{node}",
            output_type="delta",
        )
    return registry, ids
