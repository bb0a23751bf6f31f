"""Slowly changing dimensions, type 2: the rows of a history that a batch of changes adds or alters.

The history of a key is a timeline of events (rows and deletes) ordered by a sequence column. For the keys that a
batch names, the timeline is laid out anew from the stored rows and the batch, so late and out-of-order changes
fall into their place and a batch that was applied before changes nothing. Only rows that differ are written,
by one merge on the keys and ``valid_from``; no stored row is ever removed.

Written with SQL expressions alone, so that every engine runs it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kindling_entities.entity import EntityDefinition
from kindling_entities.errors import MergeKeyError, SchemaError
from kindling_entities.refusals import SHOWN_KEYS, refuse_missing_keys
from kindling_entities.schema import quote, type_name

VALID_FROM, VALID_TO, IS_CURRENT, ROW_HASH = "valid_from", "valid_to", "is_current", "row_hash"
COLUMNS = (VALID_FROM, VALID_TO, IS_CURRENT, ROW_HASH)


@dataclass(frozen=True)
class History:
    """How the rows of an entity become a history.

    Attributes:
        keys: of the thing that the rows describe.
        tracked: columns whose change begins a new row.
        columns: all columns of the frame, in order.
        sequence: SQL that orders the changes of a key and becomes ``valid_from``.
        sequence_type: its type, as SQL has it.
        delete_when: SQL that says that a row closes its key's history; None where nothing is deleted.
        surrogate_key: column that identifies a row of the history, None if there is none.
        binary: columns that hold bytes.
    """

    keys: tuple[str, ...]
    tracked: tuple[str, ...]
    columns: tuple[str, ...]
    sequence: str
    sequence_type: str
    delete_when: str | None
    surrogate_key: str | None
    binary: frozenset[str] = frozenset()


def plan(entity: EntityDefinition, frame: pa.Schema, table: pa.Schema | None, now: str) -> History:
    """Decide on the columns.

    Args:
        frame: the schema of the changes.
        table: that of the history, None if there is none yet.
        now: UTC, ISO 8601; orders the changes where the entity names no sequence column.

    Raises:
        SchemaError: a column is missing, or has a name that the history uses.
        MergeKeyError: a key column is missing.
    """
    what = f"the frame for {entity.entity_id!r}"
    reserved = [name for name in (*COLUMNS, entity.surrogate_key) if name in frame.names]
    if reserved:
        raise SchemaError(f"Column(s) {', '.join(map(repr, reserved))} of {what} are made by scd=2. Rename them.")
    refuse_missing_keys(entity.entity_id, entity.keys, frame)
    named = [*entity.track, *([entity.sequence_by] if entity.sequence_by else [])]
    kept = [] if table is None else [name for name in table.names if name not in (*COLUMNS, entity.surrogate_key)]
    lost = [name for name in dict.fromkeys([*named, *kept]) if name not in frame.names]
    if lost:
        raise SchemaError(f"Column(s) {', '.join(map(repr, lost))} missing in {what}; a history needs every column.")
    skipped = {*entity.keys, entity.sequence_by}
    tracked = entity.track or tuple(name for name in frame.names if name not in skipped)
    if entity.sequence_by:
        sequence, kind = quote(entity.sequence_by), type_name(frame.field(entity.sequence_by).type)
    else:
        sequence, kind = f"cast('{now}' as timestamp)", "timestamp"
    return History(
        entity.keys,
        tracked,
        tuple(frame.names),
        sequence,
        kind,
        entity.delete_when,
        entity.surrogate_key,
        frozenset(column.name for column in frame if type_name(column.type) == "binary"),
    )


def changes(entity_id: str, history: History, source: Any, table: Any | None) -> Any:
    """Return the rows to merge on (keys, ``valid_from``).

    Args:
        source: the changes; read more than once, so it must give the same rows each time.
        table: the stored history, None if there is none.

    Raises:
        MergeKeyError: a key or sequence is null, or two rows have the same key and sequence; names them.
    """
    keys = ", ".join(map(quote, history.keys))
    deleted = f"coalesce({history.delete_when}, false)" if history.delete_when else "false"
    incoming = source.selectExpr(
        *map(quote, history.columns),
        f"cast({history.sequence} as {history.sequence_type}) as __seq",
        f"{deleted} as __deleted",
        "true as __incoming",
        f"cast(null as {history.sequence_type}) as __old_to",
        f"{row_hash(history.tracked, history.binary)} as __hash",
        *([f"cast(null as string) as {quote(history.surrogate_key)}"] if history.surrogate_key else []),
    )
    _refuse_bad_keys(entity_id, history, incoming)
    events = incoming if table is None else _with_stored(history, incoming, table)
    # One event for each key and moment: what comes in replaces what is stored; a delete at the very start of a
    # stored row makes that row's time empty.
    moment = f"over (partition by {keys}, __seq)"
    surrogate = history.surrogate_key
    events = events.selectExpr(
        "*",
        f"max(__incoming and not __deleted) {moment} as __in_row",
        f"max(__incoming and __deleted) {moment} as __in_delete",
        f"max(not __incoming and not __deleted) {moment} as __has_row",
        f"max(if(not __incoming and not __deleted, __hash, null)) {moment} as __stored_hash",
        f"max(if(not __incoming and not __deleted, __old_to, null)) {moment} as __stored_to",
        *([f"max({quote(surrogate)}) {moment} as __surrogate"] if surrogate else []),
    ).where(
        "(__incoming and (not __deleted or not __has_row))"
        " or (not __incoming and not __deleted and not __in_row)"
        " or (not __incoming and __deleted and not __in_row and not __in_delete)"
    )
    order = f"over (partition by {keys} order by __seq)"
    events = events.selectExpr(
        "*",
        "not __deleted and not __incoming and __in_delete as __emptied",
        f"lag(__hash) {order} as __before",
        f"lag(__deleted or (not __incoming and __in_delete)) {order} as __after_delete",
    )
    # What says the same as the row before it is no change; a stored row stays what it is.
    events = events.where(
        "not (__incoming and not __deleted and not __has_row and coalesce(not __after_delete, false)"
        " and __before <=> __hash)"
    )
    ended = events.selectExpr("*", f"lead(__seq) {order} as __next").selectExpr(
        "*", "if(__emptied, __seq, __next) as __to"
    )
    changed = ended.where(
        "not __deleted and ((__incoming and not (__has_row and __stored_hash <=> __hash and __stored_to <=> __to))"
        " or (not __incoming and not (__old_to <=> __to)))"
    )
    texts = ", ".join(_text(key, key in history.binary) for key in history.keys)
    made = f"md5(concat_ws('\\u0001', {texts}, cast(__seq as string)))"
    return changed.selectExpr(
        *([f"coalesce(__surrogate, {made}) as {quote(surrogate)}"] if surrogate else []),
        *map(quote, history.columns),
        f"__seq as {VALID_FROM}",
        f"__to as {VALID_TO}",
        f"__to is null as {IS_CURRENT}",
        f"__hash as {ROW_HASH}",
    )


def _with_stored(history: History, incoming: Any, table: Any) -> Any:
    """Add the stored events of the keys that come in: their rows, and a delete where a row ends before the next."""
    surrogate = [quote(history.surrogate_key)] if history.surrogate_key else []
    named = table.join(incoming.select(*history.keys).distinct(), list(history.keys), "left_semi")
    keys = ", ".join(map(quote, history.keys))
    kinds = {field.name: field.dataType.simpleString() for field in incoming.schema.fields}
    ordered = [
        quote(name) if name in table.columns else f"cast(null as {kinds[name]}) as {quote(name)}"
        for name in history.columns
    ]
    ended = f"{VALID_TO} is not null and (__following is null or __following > {VALID_TO})"
    # One scan: a row that ended without a successor becomes two events, itself and its delete.
    rows = named.selectExpr(
        *ordered,
        *surrogate,
        VALID_FROM,
        VALID_TO,
        f"lead({VALID_FROM}) over (partition by {keys} order by {VALID_FROM}) as __following",
    ).selectExpr("*", f"explode(if({ended}, array(false, true), array(false))) as __deleted")
    stored = rows.selectExpr(
        *map(quote, history.columns),
        f"if(__deleted, {VALID_TO}, {VALID_FROM}) as __seq",
        "__deleted",
        "false as __incoming",
        f"if(__deleted, null, {VALID_TO}) as __old_to",
        # Computed anew: another engine may have written the stored hash from other texts of the same values.
        f"if(__deleted, null, {row_hash(history.tracked, history.binary)}) as __hash",
        *(f"if(__deleted, null, {name}) as {name}" for name in surrogate),
    )
    return incoming.unionByName(stored)


def _refuse_bad_keys(entity_id: str, history: History, incoming: Any) -> None:
    keys = [*map(quote, history.keys)]
    nulls = " or ".join(f"{key} is null" for key in [*keys, "__seq"])
    bad = (
        incoming.groupBy(*history.keys, "__seq")
        .count()
        .where(f"`count` > 1 or {nulls}")
        .limit(SHOWN_KEYS + 1)
        .collect()
    )
    if not bad:
        return
    shown = [", ".join(f"{key}={row[key]!r}" for key in (*history.keys, "__seq")) for row in bad[:SHOWN_KEYS]]
    told = "; ".join(shown).replace("__seq", "sequence")
    raise MergeKeyError(
        f"Keys of the frame for {entity_id!r} are null or come twice at the same moment: {told}"
        f"{' and more' if len(bad) > SHOWN_KEYS else ''}. Keep one row for each key and sequence."
    )


def row_hash(columns: Sequence[str], binary: Collection[str] = ()) -> str:
    """SQL of a text that tells rows with different values in these columns apart; null differs from ''.

    Args:
        binary: columns whose bytes need not be text.
    """
    texts = ", ".join(_text(name, name in binary) for name in columns)
    return f"sha2(concat_ws('\\u0001', {texts or repr('')}), 256)"


def _text(name: str, binary: bool = False) -> str:
    text = f"hex({quote(name)})" if binary else f"cast({quote(name)} as string)"
    return f"coalesce({text}, '\\u0000')"
