"""The kinds of storage that come with the plugin, as they describe themselves.

Importing this module loads neither pyarrow nor an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from kindling_entities.kinds import WRITE_MODES, Places, StorageKind

if TYPE_CHECKING:
    from kindling_core.doctor import Check
    from kindling_entities.declare.catalog import Catalog
    from kindling_entities.declare.entity import EntityDefinition
    from kindling_entities.protocols import Engine, StorageProvider
    from kindling_entities.read.views import Views

JSON_OPTIONS = frozenset({"encoding", "member", "on_bad_row", "on_bad_value"})
CSV_OPTIONS = JSON_OPTIONS | {
    "delimiter",
    "quote",
    "escape",
    "null_values",
    "header",
    "skip_rows",
    "infer_types",
    "missing_columns",
}
# What a csv file that we write ourselves may have.
_WRITTEN_OPTIONS = frozenset({"delimiter", "header", "infer_types", "missing_columns"})

_COMMIT_OPTIONS = frozenset({"metadata", "transactions", "skip_empty"})


def built_in() -> dict[str, StorageKind]:
    """Return name -> kind of what an entity may declare without another plugin."""
    kinds = (
        StorageKind(
            "delta",
            _delta,
            options=frozenset(),
            versioned=True,
            transactional=True,
            records_changes=_keeps_change_feed,
            commit_options=_COMMIT_OPTIONS | {"deletes"},
            ordered_merges=True,
            histories=True,
            in_files=True,
            catalogs=True,
            checks=_delta_checks,
        ),
        _files("parquet", _parquet),
        # Text is parsed as a whole; parquet is read by columns and row groups.
        _files("csv", _csv, options=CSV_OPTIONS, reads_eagerly=True, check=_check_csv),
        _files("json", _json, options=JSON_OPTIONS, reads_eagerly=True, check=_check_text),
        StorageKind(
            "memory",
            _memory,
            options=frozenset(),
            transactional=True,
            commit_options=_COMMIT_OPTIONS,
            durable=False,
            ordered_merges=True,
            partitions=False,
            located=False,
            quarantine="memory",
        ),
    )
    return {kind.name: kind for kind in kinds}


def view_kind(views: Views, read: Callable[[str, int | None], Any]) -> StorageKind:
    """Return the kind of entities that a pipe computes whenever they are read; no entity declares it.

    Args:
        read: returns an entity that is no view, at a version (None is the newest).
    """

    def make(engine: Engine) -> StorageProvider:
        from kindling_entities.providers.view import ViewProvider

        return ViewProvider(engine, views, read)

    return StorageKind("view", make, durable=False, partitions=False, located=False)


def _files(
    name: str, make: Callable[[Engine], StorageProvider], options: frozenset[str] = frozenset(), **more: Any
) -> StorageKind:
    return StorageKind(
        name,
        make,
        options=options,
        # Only appends keep their transaction, in the name of their file; an overwritten file keeps none.
        write_modes=WRITE_MODES - {"merge"},
        # A file has no place for what a caller says of a commit.
        commit_options=frozenset({"skip_empty"}),
        partitions=False,
        # An overwrite is a single file, replaced in a single step.
        adds_to_overwritten=False,
        in_files=True,
        **more,
    )


def _keeps_change_feed(entity: EntityDefinition) -> bool:
    return entity.properties.get("delta.enableChangeDataFeed") == "true"


def _delta(engine: Engine, catalog: Catalog | None) -> StorageProvider:
    from kindling_entities.providers.delta import DeltaProvider

    return DeltaProvider(engine, catalog)


def _delta_checks(places: Places) -> Iterable[Check]:
    from kindling_entities.providers._delta_checks import checks

    return checks(places)


def _memory(engine: Engine) -> StorageProvider:
    from kindling_entities.providers.memory import MemoryProvider

    return MemoryProvider(engine)


def _parquet(engine: Engine) -> StorageProvider:
    from kindling_entities.providers.files import ParquetFiles

    return ParquetFiles(engine)


def _csv(engine: Engine) -> StorageProvider:
    from kindling_entities.providers.files import CsvFiles

    return CsvFiles(engine)


def _json(engine: Engine) -> StorageProvider:
    from kindling_entities.providers.files import JsonFiles

    return JsonFiles(engine)


def _check_text(entity: EntityDefinition) -> None:
    from kindling_entities.formats._options import TextOptions

    try:
        TextOptions.of(entity.options)
    except (TypeError, ValueError) as error:
        raise entity.wrong(f"{error}.") from None
    for name in entity.options:
        if not entity.read_only and name not in _WRITTEN_OPTIONS:
            raise entity.wrong(f"{name} belongs to a source; declare what others write with entities.source(...).")


def _check_csv(entity: EntityDefinition) -> None:
    _check_text(entity)
    from kindling_entities.declare.types import parse_type

    for name, text in entity.columns.items():
        if "<" in text:
            raise entity.wrong(f"column {name!r}: csv holds no {parse_type(text)}; use json or parquet.")
