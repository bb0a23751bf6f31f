"""The kinds of storage that come with the plugin. Nothing heavy is imported before the first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from kindling_core.errors import did_you_mean
from kindling_entities.entity import EntityDefinition
from kindling_entities.errors import EntityDefinitionError

if TYPE_CHECKING:
    from kindling_entities.protocols import Engine, StorageProvider

CSV_OPTIONS = frozenset(
    {"delimiter", "quote", "escape", "null_values", "encoding", "header", "skip_rows", "on_bad_row", "member"}
)
OPTIONS: Mapping[str, frozenset[str]] = {
    "delta": frozenset(),
    "parquet": frozenset(),
    "csv": CSV_OPTIONS,
    "json": frozenset({"member"}),
    "memory": frozenset(),
}


def check_options(entity: EntityDefinition) -> None:
    """Refuse what a built-in provider cannot use, before anything runs.

    Raises:
        EntityDefinitionError: names the declaration's line.
    """
    known = OPTIONS.get(entity.provider)
    if known is None:
        return
    place = f"{entity.location}: " if entity.location else ""
    for option in entity.options:
        if option not in known:
            raise EntityDefinitionError(
                f"{place}entity {entity.entity_id!r}: provider {entity.provider!r} has no option {option!r}."
                f"{did_you_mean(option, known)} Known: {', '.join(sorted(known)) or 'none'}."
            )
    if entity.options.get("on_bad_row", "fail") not in ("fail", "skip"):
        raise EntityDefinitionError(f"{place}entity {entity.entity_id!r}: on_bad_row is 'fail' or 'skip'.")
    if entity.write_mode == "merge" and not entity.read_only and entity.provider in ("csv", "json", "parquet"):
        raise EntityDefinitionError(
            f"{place}entity {entity.entity_id!r}: {entity.provider} files cannot be merged into. "
            "Use provider 'delta', or write_mode 'overwrite' or 'append'."
        )


def built_in() -> dict[str, Callable[[Engine], StorageProvider]]:
    """Return the factories of the built-in kinds of storage."""

    def delta(engine: Engine) -> StorageProvider:
        from kindling_entities.providers.delta import DeltaProvider

        return DeltaProvider(engine)

    def memory(engine: Engine) -> StorageProvider:
        from kindling_entities.providers.memory import MemoryProvider

        return MemoryProvider(engine)

    def files(kind: str) -> Callable[[Engine], StorageProvider]:
        def make(engine: Engine) -> StorageProvider:
            from kindling_entities.providers.files import FileProvider

            return FileProvider(engine, kind)

        return make

    return {"delta": delta, "memory": memory, **{kind: files(kind) for kind in ("parquet", "csv", "json")}}
