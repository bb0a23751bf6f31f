"""The registry of entities, which also sends their signals."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from kindling_core.signals import SignalEmitter, SignalPayload, SignalProvider
from kindling_entities.declare.entity import EntityDefinition, define, duplicate
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX
from kindling_entities.errors import UnknownEntityError
from kindling_entities.payloads import PAYLOADS
from kindling_entities.providers.built_in import built_in

if TYPE_CHECKING:
    from kindling_entities.kinds import StorageKind


class DataEntityRegistry(Protocol):
    """Knows the entities of a job."""

    def register_entity(self, entity_id: str, /, **declaration: Any) -> EntityDefinition: ...

    def get_entity_definition(self, entity_id: str) -> EntityDefinition: ...

    def get_entity_ids(self) -> list[str]: ...


class DataEntityManager(SignalEmitter):
    """The entities of an App. Sends every ``entity.*`` signal; its sender is this object.

    Args:
        kinds: the kinds of storage that entities may name; those of this plugin if None.

    Attributes:
        kinds: name -> kind.
    """

    PAYLOADS: ClassVar[tuple[type[SignalPayload], ...]] = PAYLOADS
    EMITS = [payload.SIGNAL for payload in PAYLOADS]

    def __init__(
        self, signal_provider: SignalProvider | None = None, kinds: Mapping[str, StorageKind] | None = None
    ) -> None:
        super().__init__()
        self.kinds: Mapping[str, StorageKind] = built_in() if kinds is None else kinds
        self._definitions: dict[str, EntityDefinition] = {}
        self._quarantines: dict[str, str] = {}
        if signal_provider is not None:
            self.set_signal_provider(signal_provider)

    def register_entity(self, entity_id: str, /, **declaration: Any) -> EntityDefinition:
        """Declare an entity.

        Args:
            declaration: the fields of ``EntityDefinition``.

        Raises:
            EntityDefinitionError: it cannot work, or the id is taken.
        """
        frame = sys._getframe(1)
        place = f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"
        return self.add(define(entity_id, {"location": place, **declaration}))

    def entity(self, entity_id: str, /, **declaration: Any) -> EntityDefinition:
        """Declare an entity; the same as ``register_entity``."""
        frame = sys._getframe(1)
        place = f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"
        return self.add(define(entity_id, {"location": place, **declaration}))

    def add(self, definition: EntityDefinition) -> EntityDefinition:
        """Take a ready definition.

        Raises:
            EntityDefinitionError: the id is taken.
        """
        other = self._definitions.get(definition.entity_id)
        if other is not None and other is not definition:
            if definition.entity_id in self._quarantines:
                owner = self._quarantines[definition.entity_id]
                raise definition.wrong(f"this is the id of the quarantine of {owner!r}. Rename it")
            raise duplicate(definition, other)
        self._definitions[definition.entity_id] = definition
        quarantine = None if definition.quarantine is None else self._kept(definition)
        taken = None if quarantine is None or other is not None else self._definitions.get(quarantine.entity_id)
        if taken is not None:
            del self._definitions[definition.entity_id]
            raise definition.wrong(
                f"its quarantine is {taken.entity_id!r}, which is declared as an entity of its own at "
                f"{taken.location or 'an unknown place'}. Rename that one"
            )
        if quarantine is not None and other is None:
            self.add(quarantine)
            self._quarantines[quarantine.entity_id] = definition.entity_id
        return definition

    def left_quarantine(self, entity_id: object) -> EntityDefinition | None:
        """Return the quarantine of an entity that fills none any more; None for any other id.

        Whether there is a table is not looked up.
        """
        if not isinstance(entity_id, str) or entity_id in self._definitions:
            return None
        if not entity_id.endswith(QUARANTINE_SUFFIX):
            return None
        name = entity_id.removesuffix(QUARANTINE_SUFFIX)
        owner = self._definitions.get(name)
        return None if owner is None or name in self._quarantines else self._kept(owner)

    def _kept(self, owner: EntityDefinition) -> EntityDefinition:
        """The quarantine of an entity, in the storage that its kind has for it."""
        kind = self.kinds.get(owner.provider)
        # A kind that no feature offers is refused with the declaration itself.
        return owner.quarantine_table if kind is None else replace(owner.quarantine_table, provider=kind.quarantine)

    def get_left_quarantine_ids(self) -> list[str]:
        """Return the ids under which ``left_quarantine`` finds something."""
        ids = (entity_id + QUARANTINE_SUFFIX for entity_id in self._definitions)
        return [entity_id for entity_id in ids if self.left_quarantine(entity_id) is not None]

    def quarantined_from(self, entity_id: str) -> str | None:
        """Return the entity whose writes or reads fill this quarantine; None if the id is no quarantine."""
        return self._quarantines.get(entity_id)

    def mount(self, entities: Iterable[EntityDefinition]) -> None:
        """Take the declarations of an ``Entities()``."""
        for definition in entities:
            self.add(definition)

    def get_entity_definition(self, entity_id: str) -> EntityDefinition:
        """Return a declaration.

        Raises:
            UnknownEntityError: nothing is declared under this id; names near matches.
        """
        found = self._definitions.get(entity_id) or self.left_quarantine(entity_id)
        if found is None:
            raise UnknownEntityError(entity_id, self._definitions)
        return found

    def get_entity_ids(self) -> list[str]:
        """Return the ids in the order of their declaration."""
        return list(self._definitions)

    def __contains__(self, entity_id: object) -> bool:
        return entity_id in self._definitions or self.left_quarantine(entity_id) is not None
