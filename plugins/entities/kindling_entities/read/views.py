"""Views: entities that a pipe computes whenever they are read, and that are stored nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kindling_core.errors import PipeDefinitionError, did_you_mean
from kindling_core.pipes import PipeMetadata, split_version
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import EntityError
from kindling_entities.read.per_run import PerRun

OPTION = "materialize"
MATERIALIZATIONS = ("table", "view")


class Views:
    """The views of an App.

    Attributes:
        returned: the frame that a view's pipe returned in a run, for the other pipes of that run.
    """

    def __init__(self) -> None:
        self._pipes: dict[str, PipeMetadata] = {}
        self.returned: PerRun[Any] = PerRun()

    def __contains__(self, entity_id: object) -> bool:
        return entity_id in self._pipes

    def pipe(self, entity_id: str) -> PipeMetadata:
        """The pipe that computes a view."""
        return self._pipes[entity_id]

    def take(self, pipe: PipeMetadata) -> bool:
        """Remember a pipe whose output is a view; return whether its output is a view.

        Raises:
            PipeDefinitionError: the option has an impossible value, or the pipe cannot be a view.
        """
        value = pipe.options.get(OPTION, "table")
        if value not in MATERIALIZATIONS:
            raise _wrong(
                pipe, f"{OPTION} is {value!r}, not 'table' or 'view'.{did_you_mean(str(value), MATERIALIZATIONS)}"
            )
        if value == "table":
            return False
        if pipe.output_entity_id is None:
            raise _wrong(pipe, "a view needs an output to be read by. Declare output=...")
        if pipe.mode == "streaming":
            raise _wrong(pipe, "a streaming pipe cannot be a view: nothing would hold what has arrived.")
        other = self._pipes.setdefault(pipe.output_entity_id, pipe)
        if other.pipe_id != pipe.pipe_id:
            raise _wrong(pipe, f"the view {pipe.output_entity_id!r} is computed by pipe {other.pipe_id!r} already.")
        return True

    def compute(self, entity_id: str, read: Callable[[str, int | None], Any], within: tuple[str, ...] = ()) -> Any:
        """Call the view's pipe with its inputs as they are now.

        Args:
            read: returns an entity that is no view, at a version (None is the newest).

        Raises:
            EntityError: views read each other in a circle.
        """
        path = (*within, entity_id)
        if entity_id in within:
            raise EntityError(f"Views read each other in a circle: {' -> '.join(path)}. Remove one of these inputs.")
        pipe = self._pipes[entity_id]
        inputs = {}
        for parameter, written in pipe.parameters.items():
            name, version = split_version(written)
            inputs[parameter] = self.compute(name, read, path) if name in self._pipes else read(name, version)
        frame = pipe.execute(**inputs)
        if frame is None:
            raise EntityError(f"Pipe {pipe.pipe_id!r} ({pipe.location}) returned nothing for the view {entity_id!r}.")
        return frame


def refuse_stored(pipe: PipeMetadata, entity: EntityDefinition) -> None:
    """Refuse a view of an entity whose declaration only a stored table can keep.

    Raises:
        PipeDefinitionError: names what does not go together.
    """
    reasons = {
        "expectations, which are evaluated when it is written": bool(entity.expectations),
        "scd, which needs what was stored before": entity.scd is not None,
        f"write_mode {entity.write_mode!r}, which needs what was stored before": entity.write_mode != "overwrite",
    }
    for reason, given in reasons.items():
        if given:
            raise _wrong(pipe, f"{entity.entity_id!r} cannot be a view: it declares {reason}.")


def _wrong(pipe: PipeMetadata, message: str) -> PipeDefinitionError:
    place = f" ({pipe.location})" if pipe.location else ""
    return PipeDefinitionError(f"Pipe {pipe.pipe_id!r}{place}: {message}")
