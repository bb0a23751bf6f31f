"""Checks a declaration against the kinds of storage that the job has, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kindling_core.errors import did_you_mean
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import EntityDefinitionError, SchemaError

if TYPE_CHECKING:
    from kindling_entities.kinds import StorageKind


def check_declaration(entity: EntityDefinition, kinds: Mapping[str, StorageKind]) -> None:
    """Refuse a declaration that its kind of storage cannot keep.

    Raises:
        EntityDefinitionError: names the declaration's line.
    """
    if entity.provider not in kinds:
        raise unknown_provider(entity, kinds)
    kind = kinds[entity.provider]
    if kind.quarantine not in kinds:
        raise entity.wrong(
            f"provider {kind.name!r} keeps quarantined rows in {kind.quarantine!r}, which no feature of the job offers."
        )
    if entity.read_only and entity.path is None and kind.located:
        raise entity.wrong("a source needs path=... to read from")
    _check_columns(entity)
    _check_conditions(entity)
    for option in entity.options if kind.options is not None else ():
        known = kind.options or frozenset()
        if option not in known:
            raise entity.wrong(
                f"provider {kind.name!r} has no option {option!r}."
                f"{did_you_mean(option, known)} Known: {', '.join(sorted(known)) or 'none'}."
            )
    if not entity.read_only:
        _check_writes(entity, kind, kinds)
    if kind.check is not None:
        kind.check(entity)


def _check_writes(entity: EntityDefinition, kind: StorageKind, kinds: Mapping[str, StorageKind]) -> None:
    if entity.partition_columns and not kind.partitions:
        raise entity.wrong(
            f"provider {kind.name!r} keeps no partitions. Use provider {_those(kinds, 'partitions')}, or leave out "
            "partition_columns."
        )
    if entity.scd == 2 and not kind.histories:
        raise entity.wrong(f"scd=2 needs provider {_those(kinds, 'histories')}, not {kind.name!r}.")
    if entity.write_mode not in kind.write_modes:
        modes = " or ".join(map(repr, sorted(kind.write_modes, reverse=True)))
        others = [repr(candidate.name) for candidate in kinds.values() if entity.write_mode in candidate.write_modes]
        raise entity.wrong(
            f"provider {kind.name!r} cannot {entity.write_mode}. Use write_mode {modes}, or provider "
            f"{' or '.join(others)}."
        )
    if entity.ordered and entity.write_mode == "merge" and not kind.ordered_merges:
        raise entity.wrong(
            f"provider {kind.name!r} knows no sequence_by, delete_when or missing_rows. Use provider "
            f"{_those(kinds, 'ordered_merges')}."
        )


def _those(kinds: Mapping[str, StorageKind], what: str) -> str:
    """Name the kinds that can do what another cannot."""
    return " or ".join(repr(kind.name) for kind in kinds.values() if getattr(kind, what))


def _check_columns(entity: EntityDefinition) -> None:
    if not entity.columns:
        return
    from kindling_entities.declare.schema import to_arrow_schema

    try:
        to_arrow_schema(entity.columns)
    except SchemaError as error:
        raise entity.wrong(str(error)) from None


def _check_conditions(entity: EntityDefinition) -> None:
    named = [
        (f"expectation {expectation.name!r}", expectation.condition)
        for expectation in entity.expectations
        if expectation.condition
    ]
    if entity.delete_when:
        named.append(("delete_when", entity.delete_when))
    if not named:
        return
    from kindling_entities.declare.sql import columns_of

    for title, condition in named:
        try:
            columns = columns_of(condition)
        except EntityDefinitionError as error:
            raise entity.wrong(f"{title} {error}: {condition}") from None
        for name in columns:
            if entity.columns and name.lower() not in map(str.lower, entity.columns):
                raise entity.wrong(f"{title}: {name!r} is not one of its columns.{did_you_mean(name, entity.columns)}")


def unknown_provider(entity: EntityDefinition, known: Iterable[str]) -> EntityDefinitionError:
    """Word the error of a provider that no active feature offers."""
    names = sorted(known)
    return entity.wrong(
        f"unknown provider {entity.provider!r}.{did_you_mean(entity.provider, names)} Known: {', '.join(names)}."
    )
