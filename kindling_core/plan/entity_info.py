"""What planning knows of an entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class EntityInfo:
    """What planning needs to know of an entity.

    Attributes:
        write_mode: "overwrite", "append" or "merge"; only append allows several producers.
        read_only: declared as a source; a pipe may not write to it.
        tags, description: for selections and pictures.
        references: entities that a write of this entity looks into; their producers run before its own.
        written_with: this entity is written by whatever pipe writes that entity.
        filled_by_reading: nothing writes this entity, but whatever reads that entity adds rows to it. A pipe that reads
            it runs after those that read that entity, unless it does so itself.
        versioned: what was written once can be read again by its version.
        keys: the columns that identify a row; none where none are declared.
        scd: 2 where each change of a row is kept as a row of its own, 1 where the newest state replaces the one before,
            None where neither is declared.
        records_changes: what changed between two versions can be read, as declared; of a table that somebody else
            declared, the table itself says.
        transactional: a write whose transaction id is in the storage already does nothing, in every write mode.
        storage: the kind of storage, such as "delta"; "view" where rows are computed when they are read.
        read_once: what several pipes of a run read of it is kept also with ``cache = "auto"``, because it pays.
    """

    entity_id: str
    write_mode: str = "overwrite"
    read_only: bool = False
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    references: Sequence[str] = ()
    written_with: str | None = None
    filled_by_reading: str | None = None
    versioned: bool = False
    read_once: bool = False
    keys: Sequence[str] = ()
    scd: int | None = None
    records_changes: bool = False
    transactional: bool = False
    storage: str = ""
