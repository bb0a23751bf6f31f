"""The kinds of storage that come with the plugin. Nothing heavy is imported before the first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from kindling_core.errors import did_you_mean
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import EntityDefinitionError

if TYPE_CHECKING:
    from kindling_entities.declare.catalog import Catalog
    from kindling_entities.protocols import Engine, StorageProvider

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
OPTIONS: Mapping[str, frozenset[str]] = {
    "delta": frozenset(),
    "parquet": frozenset(),
    "csv": CSV_OPTIONS,
    "json": JSON_OPTIONS,
    "memory": frozenset(),
}


# Text is parsed as a whole; the others are read by columns and row groups.
_EAGER = frozenset({"csv", "json"})


def reads_eagerly(kind: str, contributed: Mapping[str, Callable[[Engine], StorageProvider]]) -> bool:
    """Tell whether each read of a kind of storage costs all of its data."""
    return bool(getattr(contributed[kind], "reads_eagerly", False)) if kind in contributed else kind in _EAGER


def check_declaration(entity: EntityDefinition, contributed: Mapping[str, Callable[[Engine], StorageProvider]]) -> None:
    """Refuse a declaration that its provider cannot use, before anything runs.

    Args:
        contributed: factories of other plugins. One that has an attribute ``options`` (names) gets the
            declaration's options checked against it.

    Raises:
        EntityDefinitionError: names the declaration's line.
    """
    if entity.provider not in OPTIONS and entity.provider not in contributed:
        raise unknown_provider(entity, [*OPTIONS, *contributed])
    _check_columns(entity)
    _check_conditions(entity)
    known = (
        getattr(contributed[entity.provider], "options", None)
        if entity.provider in contributed
        else OPTIONS[entity.provider]
    )
    if known is None:
        return
    for option in entity.options:
        if option not in known:
            raise entity.wrong(
                f"provider {entity.provider!r} has no option {option!r}."
                f"{did_you_mean(option, known)} Known: {', '.join(sorted(known)) or 'none'}."
            )
    if entity.partition_columns and not entity.read_only and entity.provider in OPTIONS and entity.provider != "delta":
        raise entity.wrong(
            f"provider {entity.provider!r} keeps no partitions. Use provider 'delta', or leave out partition_columns."
        )
    if entity.provider in ("csv", "json"):
        _check_text_options(entity)
    if entity.write_mode == "merge" and not entity.read_only and entity.provider in ("csv", "json", "parquet"):
        raise entity.wrong(
            f"{entity.provider} files cannot be merged into. "
            "Use provider 'delta', or write_mode 'overwrite' or 'append'."
        )


def _check_text_options(entity: EntityDefinition) -> None:
    from kindling_entities.formats._options import TextOptions

    try:
        TextOptions.of(entity.options)
    except (TypeError, ValueError) as error:
        raise entity.wrong(f"{error}.") from None
    for name in entity.options:
        if not entity.read_only and name not in _WRITTEN_OPTIONS:
            raise entity.wrong(f"{name} belongs to a source; declare what others write with entities.source(...).")
    if entity.provider != "csv":
        return
    from kindling_entities.declare.schema import parse_type

    for name, text in entity.columns.items():
        if "<" in text:
            raise entity.wrong(f"column {name!r}: csv holds no {parse_type(text)}; use json or parquet.")


def _check_columns(entity: EntityDefinition) -> None:
    if not entity.columns:
        return
    from kindling_entities.declare.schema import to_arrow_schema
    from kindling_entities.errors import SchemaError

    try:
        to_arrow_schema(entity.columns)
    except SchemaError as error:
        raise entity.wrong(str(error)) from None


def _check_conditions(entity: EntityDefinition) -> None:
    named = [(f"expectation {one.name!r}", one.condition) for one in entity.expectations if one.condition]
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


def built_in(catalog: Catalog | None = None) -> dict[str, Callable[[Engine], StorageProvider]]:
    """Return the factories of the built-in kinds of storage."""

    def delta(engine: Engine) -> StorageProvider:
        from kindling_entities.providers.delta import DeltaProvider

        return DeltaProvider(engine, catalog)

    def memory(engine: Engine) -> StorageProvider:
        from kindling_entities.providers.memory import MemoryProvider

        return MemoryProvider(engine)

    def files(kind: str) -> Callable[[Engine], StorageProvider]:
        def make(engine: Engine) -> StorageProvider:
            from kindling_entities.providers.files import FileProvider

            return FileProvider(engine, kind)

        return make

    return {"delta": delta, "memory": memory, **{kind: files(kind) for kind in ("parquet", "csv", "json")}}
