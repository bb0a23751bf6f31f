"""Views as a kind of storage that stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import UnsupportedError
from kindling_entities.protocols import Commit, Engine, Transaction
from kindling_entities.read.views import Views


class ViewProvider:
    """Computes a view when it is read.

    Args:
        read: returns an entity that is no view, at a version (None is the newest).
    """

    def __init__(self, engine: Engine, views: Views, read: Callable[[str, int | None], Any]) -> None:
        self._engine = engine
        self._views = views
        self._read = read

    def read(
        self,
        entity: EntityDefinition,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Return what the view's pipe makes of its inputs as they are now."""
        if version is not None or start_version is not None:
            raise self._no_versions(entity)
        frame = self._engine.to_frame(self._views.compute(entity.entity_id, self._read))
        return frame if columns is None else frame.select(*columns)

    def write(
        self,
        entity: EntityDefinition,
        location: str,
        frame: Any,
        mode: str,
        transaction: Transaction | None = None,
    ) -> Commit:
        """Refused."""
        raise UnsupportedError(
            f"Entity {entity.entity_id!r} is a view, computed by pipe {self._views.pipe(entity.entity_id).pipe_id!r} "
            "whenever it is read. Write to another entity."
        )

    def ensure(self, entity: EntityDefinition, location: str) -> bool:
        """There is nothing to create."""
        return False

    def exists(self, entity: EntityDefinition, location: str) -> bool:
        """A view can be read whenever its inputs can."""
        return True

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]:
        """An error for each: a view has no versions."""
        return {entity_id: self._no_versions(entity) for entity_id, (entity, _) in entities.items()}

    @staticmethod
    def _no_versions(entity: EntityDefinition) -> UnsupportedError:
        return UnsupportedError(
            f"Entity {entity.entity_id!r} is a view and has no versions. Read it without one, or let its pipe store "
            "a table."
        )
