"""Whether an incremental pipe can be exact with the entities that it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kindling_core import EntityInfo, PipeMetadata
from kindling_entities import EntityDefinition
from kindling_watermark.declare.options import AFFECTED, APPENDS, CHANGES, CURSOR, Declaration, near, wrong

Describe = Callable[[str], EntityInfo | None]


def check(
    pipe: PipeMetadata, declaration: Declaration, describe: Describe, definitions: Mapping[str, EntityDefinition]
) -> None:
    """Refuse what would lose or double rows.

    Args:
        describe: what planning knows of an entity; None of one that is not mounted so far.
        definitions: declarations of entities, as far as they were seen.

    Raises:
        PipeDefinitionError: with what to do.
    """
    for source, mode in declaration.modes.items():
        info = describe(source)
        if info is not None:
            _check_source(pipe, info, mode)
        if source in definitions:
            _check_columns(pipe, declaration, definitions[source])
    output = describe(declaration.output)
    if output is not None:
        _check_output(pipe, declaration, output, definitions.get(declaration.output))


def _check_source(pipe: PipeMetadata, info: EntityInfo, mode: str) -> None:
    if mode == CURSOR:
        return
    if not info.versioned:
        raise wrong(
            pipe,
            f"incremental of {info.entity_id!r} is {mode!r}, and {info.storage} keeps no versions. "
            "Read it by a cursor ({'cursor': column}), or keep it as a Delta table",
        )
    if mode != CHANGES:
        return
    # Of a source the table itself tells.
    if not info.records_changes and not info.read_only:
        raise wrong(
            pipe,
            f"{info.entity_id!r} keeps no record of its changes. Declare it with "
            'properties={"delta.enableChangeDataFeed": "true"}, or use \'appends\' if rows are only added',
        )
    if not info.keys:
        raise wrong(
            pipe,
            f"'changes' of {info.entity_id!r} needs its keys, to know the last change of a row. Declare keys=[...]",
        )


def _check_columns(pipe: PipeMetadata, declaration: Declaration, source: EntityDefinition) -> None:
    own = declaration.own_keys.get(source.entity_id, ())
    met = tuple(column for _, column in declaration.met_by.get(source.entity_id, ()))
    for name in (*own, *met) if source.columns else ():
        if name not in source.columns:
            known = near(name, source.columns)
            raise wrong(pipe, f"affected_by names the column {name!r}, which {source.entity_id!r} lacks{known}")


def _check_output(
    pipe: PipeMetadata, declaration: Declaration, output: EntityInfo, definition: EntityDefinition | None
) -> None:
    name, modes = output.entity_id, set(declaration.modes.values())
    if not output.transactional or not output.versioned:
        raise wrong(
            pipe,
            f"its output {name!r} ({output.storage}) cannot hold transaction ids, so nothing would keep an increment "
            "from being written twice. Use provider='delta', or leave incremental out",
        )
    by_partition = definition is not None and definition.overwrite_scope == "partitions"
    if output.write_mode == "overwrite" and not declaration.affected and not by_partition:
        raise wrong(
            pipe,
            f"its output {name!r} is overwritten as a whole, so each increment would remove what earlier ones wrote. "
            "Use write_mode='merge' or 'append', incremental={...: 'affected'}, or overwrite_scope='partitions'",
        )
    if CHANGES in modes and output.write_mode != "merge":
        raise wrong(
            pipe,
            f"'changes' are updates and deletes, and {name!r} has write_mode {output.write_mode!r}. "
            "Use write_mode='merge' with keys, or 'appends'",
        )
    if declaration.affected:
        _check_replaced(pipe, declaration, output, definition)
    if definition is None:
        return
    if definition.missing_rows != "keep":
        raise wrong(
            pipe,
            f"its output {name!r} takes each write for a full snapshot (missing_rows={definition.missing_rows!r}), and "
            "an increment is none. Leave missing_rows out, or incremental",
        )
    if definition.scd == 2 and definition.sequence_by and modes & {CHANGES, AFFECTED}:
        raise wrong(
            pipe,
            f"a row that vanishes has no {definition.sequence_by!r} at which the history {name!r} could end. "
            f"Leave out sequence_by, or carry deletes as rows (delete_when) and use {APPENDS!r}",
        )


def _check_replaced(
    pipe: PipeMetadata, declaration: Declaration, output: EntityInfo, definition: EntityDefinition | None
) -> None:
    name = output.entity_id
    if output.write_mode == "append":
        raise wrong(pipe, f"'affected' replaces rows, and {name!r} is appended to. Use write_mode='merge' with keys")
    if not output.keys:
        raise wrong(pipe, f"'affected' replaces rows of {name!r} by their keys. Declare keys=[...] there")
    have = definition.columns if definition is not None else {}
    lacking = [key for key in declaration.keys if have and key not in have]
    if lacking:
        raise wrong(
            pipe,
            f"its output {name!r} lacks {', '.join(map(repr, lacking))} of affected_by, by which its rows would be "
            f"found again. Add the column{near(lacking[0], have)}",
        )
