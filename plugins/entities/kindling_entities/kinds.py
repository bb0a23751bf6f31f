"""How a kind of storage and an engine describe themselves; built-in and third-party kinds do so alike.

Every difference between kinds is declared here or in a Protocol of ``protocols/`` or ``storage.py``: no code asks for
a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from kindling_core.app import App
    from kindling_core.doctor import Check
    from kindling_entities.declare.entity import EntityDefinition
    from kindling_entities.protocols import Engine, StorageProvider

WRITE_MODES = frozenset({"overwrite", "append", "merge"})

# Entity id -> its declaration and where it lies.
Places: TypeAlias = "Mapping[str, tuple[EntityDefinition, str]]"


@dataclass(frozen=True)
class StorageKind:
    """A kind of storage, as ``entities.entity(..., provider=name)`` names it.

    Attributes:
        name: of the provider.
        make: called once per App with its engine, on the first use; returns a ``StorageProvider``. Where ``catalogs``
            is true it is called with the engine and the job's ``Catalog`` (None: the job names none).
        options: names of the options that a declaration may have; None: they are not checked.
        write_modes: the modes that ``write`` is called with.
        versioned: each write makes a version, which ``read`` can return as long as it is kept. Runs then pin what they
            read, and a resumed run reads what the run that it continues has written.
        transactional: a write whose transaction is in the storage already does nothing, in every write mode. The
            provider is a ``TransactionalStorage``.
        records_changes: whether what changed between two versions of an entity can be read, by its declaration; None:
            of no entity.
        commit_options: what ``write`` takes in a keyword argument ``options`` (names of fields of ``CommitOptions``),
            which it is given where a caller wants any. Other options are refused by name.
        durable: what was written is there when the process has ended.
        reads_eagerly: ``read`` fetches or parses everything before it returns, whatever a pipe needs of it. Pipes of
            a run then share the frame that the first of them got.
        partitions: ``partition_columns`` of a declaration are heeded.
        ordered_merges: merges heed ``sequence_by``, ``delete_when`` and ``missing_rows``.
        histories: ``scd=2`` is kept.
        adds_to_overwritten: an append adds to what an overwrite has written.
        located: rows lie at the entity's path or below the root; a source then needs a path.
        in_files: files at the location are the entity's alone, so two entities at one place are refused. Unless the
            kind is versioned, ``versions`` gives a number that differs whenever the files do.
        catalogs: where the job names a catalog, entities have a name in it instead of a place below the root.
        quarantine: the kind that keeps the rows which expectations put aside. It is a ``RowStorage``, or they can only
            be read.
        check: called for each declaration while the job is composed; raises ``entity.wrong(...)`` to refuse it.
        checks: called by ``kindling doctor`` with the entities of this kind, before any engine is started.
    """

    name: str
    make: Callable[..., StorageProvider]
    options: frozenset[str] | None = None
    write_modes: frozenset[str] = WRITE_MODES
    versioned: bool = False
    transactional: bool = False
    records_changes: Callable[[EntityDefinition], bool] | None = None
    commit_options: frozenset[str] = frozenset()
    durable: bool = True
    reads_eagerly: bool = False
    partitions: bool = True
    ordered_merges: bool = False
    histories: bool = False
    adds_to_overwritten: bool = True
    located: bool = True
    in_files: bool = False
    catalogs: bool = False
    quarantine: str = "delta"
    check: Callable[[EntityDefinition], None] | None = None
    checks: Callable[[Places], Iterable[Check]] | None = None


@dataclass(frozen=True)
class EngineKind:
    """An engine, as ``entities.engine`` names it.

    Attributes:
        name: in the job file.
        make: called once per App; returns an ``Engine``, which is started on its first use.
        catalogs: whether a job may name a catalog. If the engine object has none after all, tables lie in
            the root.
        checks: called by ``kindling doctor`` for a job with this engine; the App has not started, and is None where
            no job composes.
    """

    name: str
    make: Callable[[App], Engine]
    catalogs: bool = False
    checks: Callable[[App | None], Iterable[Check]] | None = None


StorageKinds: TypeAlias = "Mapping[str, Callable[[Engine], StorageProvider]] | Iterable[StorageKind]"
EngineKinds: TypeAlias = "Mapping[str, Callable[[App], Engine]] | Iterable[EngineKind]"


def storage_kinds(contributions: Iterable[StorageKinds]) -> dict[str, StorageKind]:
    """Return name -> kind of what the features contributed; of two with the same name the later counts."""
    found: dict[str, StorageKind] = {}
    for contributed in contributions:
        if isinstance(contributed, Mapping):
            contributed = [_of_factory(name, make) for name, make in contributed.items()]
        found.update({kind.name: kind for kind in contributed})
    return found


def engine_kinds(contributions: Iterable[EngineKinds]) -> dict[str, EngineKind]:
    """Return name -> engine of what the features contributed; of two with the same name the later counts."""
    found: dict[str, EngineKind] = {}
    for contributed in contributions:
        if isinstance(contributed, Mapping):
            contributed = [EngineKind(name, make) for name, make in contributed.items()]
        found.update({kind.name: kind for kind in contributed})
    return found


def _of_factory(name: str, make: Callable[[Engine], StorageProvider]) -> StorageKind:
    """Describe a factory, the short form of a kind: what it can say of itself it says by attributes."""
    options = getattr(make, "options", None)
    return StorageKind(
        name,
        make,
        options=None if options is None else frozenset(options),
        write_modes=frozenset(getattr(make, "write_modes", WRITE_MODES)),
        reads_eagerly=bool(getattr(make, "reads_eagerly", False)),
        ordered_merges=bool(getattr(make, "ordered_merges", False)),
    )
