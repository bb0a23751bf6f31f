"""Slowly changing dimensions, type 2: the rows of a history that a batch of changes adds, alters or takes away.

The history of a key is a timeline of events (rows and deletes) ordered by a sequence column. For the keys that a
batch names, the timeline is laid out anew from the stored rows, the events that left no trace in them, and the
batch. So the order and the batches in which changes arrive make no difference, and a batch that was applied before
changes nothing.

An event leaves no trace if the state before it is the same: a row that repeats the values before it, a delete of
what is not there. It can matter later, when another event falls in before it, so it is kept in a table of its own
(see ``providers/_events.py``). Where both tables have an event of the same moment, the history is right.

Written with SQL expressions alone, so that every engine runs it. Columns are called by number within, so that no name
of a user's column can be in the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.quoting import quote
from kindling_entities.declare.reserved import COLUMNS, IS_CURRENT, OWN_PREFIX, ROW_HASH, VALID_FROM, VALID_TO
from kindling_entities.declare.types import type_name
from kindling_entities.errors import SchemaError
from kindling_entities.protocols import MergeRules
from kindling_entities.rules.row_hash import row_hash, short_row_hash, value_text
from kindling_entities.write.incoming import common_types, numbered, refuse_unfit, typed

DELETED = f"{OWN_PREFIX}deleted"
_ACTION, _SEEN_HASH, _SEEN_TO = f"{OWN_PREFIX}action", f"{OWN_PREFIX}seen_hash", f"{OWN_PREFIX}seen_to"
_INSERTS, _ARRIVED = f"{OWN_PREFIX}inserts", f"{OWN_PREFIX}arrived"

# A row that another writer changed since it was read stays what it is; the timeline is then laid out anew.
# Each comparison in brackets: without them delta-rs takes the "and" for a part of the second.
_UNCHANGED = (
    f"(t.`{ROW_HASH}` is not distinct from s.`{_SEEN_HASH}`) and (t.`{VALID_TO}` is not distinct from s.`{_SEEN_TO}`)"
)
RULES = MergeRules(
    update_when=f"s.`{_ACTION}` = 'update' and {_UNCHANGED}",
    delete_when=f"s.`{_ACTION}` = 'delete' and {_UNCHANGED}",
    insert_flag=_INSERTS,
    helpers=(_ACTION, _INSERTS, _SEEN_HASH, _SEEN_TO),
)
# An event that the history has shown so far is known here already, or is right as it is.
EVENT_RULES = MergeRules(update_when=f"s.`{_ARRIVED}`", helpers=(_ARRIVED,))


@dataclass(frozen=True)
class History:
    """How the rows of an entity become a history.

    Attributes:
        keys: of the thing that the rows describe.
        tracked: columns whose change begins a new row.
        kinds: all columns of the frame in order, with the types in which they are compared.
        sequence_by: column that orders the changes of a key and becomes ``valid_from``; None: the time of the write.
        now: the time of the write, UTC, ISO 8601.
        delete_when: SQL that says that a row closes its key's history; None where nothing is deleted.
        surrogate_key: column that identifies a row of the history, None if there is none.
        close_missing: close the current rows whose keys the frame lacks.
    """

    keys: tuple[str, ...]
    tracked: tuple[str, ...]
    kinds: Mapping[str, pa.DataType]
    sequence_by: str | None
    now: str
    delete_when: str | None
    surrogate_key: str | None
    close_missing: bool

    @property
    def names(self) -> dict[str, str]:
        """Column -> what it is called within."""
        return numbered(self.kinds)

    @property
    def schema(self) -> pa.Schema:
        """The types by the names within."""
        return pa.schema([pa.field(self.names[name], kind) for name, kind in self.kinds.items()])

    @property
    def key_names(self) -> list[str]:
        return [self.names[key] for key in self.keys]

    @property
    def sequence_type(self) -> str:
        return type_name(self.kinds[self.sequence_by]) if self.sequence_by else "timestamp"


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
    refuse_unfit(entity, frame, "scd=2")
    named = [*entity.track, *([entity.sequence_by] if entity.sequence_by else [])]
    kept = [] if table is None else [name for name in table.names if name not in (*COLUMNS, entity.surrogate_key)]
    lost = [name for name in dict.fromkeys([*named, *kept]) if name not in frame.names]
    if lost:
        raise SchemaError(f"Column(s) {', '.join(map(repr, lost))} missing in {what}; a history needs every column.")
    skipped = {*entity.keys, entity.sequence_by}
    return History(
        entity.keys,
        entity.track or tuple(name for name in frame.names if name not in skipped),
        common_types(frame, table),
        entity.sequence_by,
        now,
        entity.delete_when,
        entity.surrogate_key,
        entity.missing_rows == "close",
    )


@dataclass(frozen=True)
class Rows:
    """Stored rows, and the schema of their table."""

    frame: Any
    schema: pa.Schema


def layout(history: History, arrived: Any, table: Rows | None, events: Rows | None) -> Any:
    """Lay out the timelines of the keys that come in; what ``history_rows`` and ``event_rows`` are taken from.

    Args:
        arrived: the changes, as ``arrivals.arrived`` made them.
        table: the stored history, None if there is none.
        events: those that left no trace, None if there are none.
    """
    keys = ", ".join(history.key_names)
    if history.close_missing and table is not None:
        arrived = arrived.unionByName(_missing(history, arrived, table))
    timeline = arrived.selectExpr(
        *history.names.values(),
        "seq",
        "gone",
        "2 as age",
        "false as stored",
        f"cast(null as {history.sequence_type}) as seen_to",
        "cast(null as string) as seen_hash",
        "cast(null as string) as surrogate",
    )
    if table is not None or events is not None:
        named = arrived.select(*history.key_names).distinct()
        if table is not None:
            timeline = timeline.unionByName(_stored(history, named, table))
        if events is not None:
            timeline = timeline.unionByName(_remembered(history, named, events))
    if history.sequence_by is None:
        # A clock that was set back must not put what happens now before what is stored.
        newest = f"timestamp_micros(unix_micros(max(seq) over (partition by {keys})) + 1)"
        now = f"cast('{history.now}' as timestamp)"
        timeline = timeline.selectExpr(
            *(name for name in timeline.columns if name != "seq"),
            f"coalesce(seq, greatest({now}, coalesce({newest}, {now}))) as seq",
        )
    untracked = [name for name in history.kinds if name not in {*history.tracked, *history.keys, history.sequence_by}]
    hashes = {"hash": history.tracked, "rest": untracked}
    timeline = timeline.selectExpr(
        "*",
        *(
            f"if(gone, null, {row_hash([history.names[column] for column in columns], history.schema)}) as {name}"
            if columns or name == "hash"
            else f"cast(null as string) as {name}"
            for name, columns in hashes.items()
        ),
    )
    timeline = _one_for_each_moment(history, timeline)
    # The rows are in this order already.
    order = f"over (partition by {keys} order by seq)"
    timeline = timeline.selectExpr("*", f"lag(named_struct('gone', gone, 'hash', hash)) {order} as before").selectExpr(
        "*",
        "not gone and (coalesce(before.gone, true) or not (before.hash <=> hash)) as begins",
        "gone and not coalesce(before.gone, true) as ends",
    )
    timeline = timeline.selectExpr("*", f"lead(if(begins or ends, seq, null)) ignore nulls {order} as until")
    same_row = "row_hash <=> hash and row_rest <=> rest and seen_to <=> until"
    same_event = "event_gone <=> gone and event_hash <=> hash and event_rest <=> rest"
    traceless = "not begins and not ends and not has_event"
    corrected = f"age = 2 and has_event and not ({same_event})"
    return timeline.selectExpr(
        "*",
        "case when begins and not has_row then 'insert' "
        f"when begins and not ({same_row}) then 'update' "
        "when has_row and not begins then 'delete' else 'keep' end as action",
        f"{f'({traceless}) or ({corrected})' if history.sequence_by else 'false'} as remembered",
    ).where("action <> 'keep' or remembered")


def _one_for_each_moment(history: History, timeline: Any) -> Any:
    """Keep a single event for each key and moment; an incoming event replaces the stored event of its moment.

    A moment has an event of each age at most. By age they are neighbours, so a single ordering suffices.
    """
    order = f"over (partition by {', '.join(history.key_names)} order by seq, age desc)"
    # In a single struct, because the cost of windows grows with the number of their expressions.
    event = ", ".join(
        f"'{name}', {name}"
        for name in ("seq", "age", "gone", "hash", "rest", "stored", "seen_to", "seen_hash", "surrogate")
    )
    own = [*history.names.values(), "seq", "gone", "age", "hash", "rest"]
    first = (
        timeline.selectExpr("*", f"named_struct({event}) as event")
        .selectExpr(
            "*",
            f"lag(seq) {order} as seq_before",
            f"lead(event, 1) {order} as second",
            f"lead(event, 2) {order} as third",
        )
        .where("not (seq_before <=> seq)")
    )

    def of_row(name: str) -> str:
        return f"case when stored then {name} when second.seq = seq and second.stored then second.{name} end"

    def of_event(name: str) -> str:
        return (
            f"case when age = 0 then {name} when second.seq = seq and second.age = 0 then second.{name} "
            f"when third.seq = seq and third.age = 0 then third.{name} end"
        )

    return first.selectExpr(
        *own,
        "stored or coalesce(second.seq = seq and second.stored, false) as has_row",
        f"{of_row('hash')} as row_hash",
        f"{of_row('rest')} as row_rest",
        f"{of_row('seen_to')} as seen_to",
        f"{of_row('seen_hash')} as seen_hash",
        f"{of_row('surrogate')} as surrogate",
        f"{of_event('age')} is not null as has_event",
        f"{of_event('gone')} as event_gone",
        f"{of_event('hash')} as event_hash",
        f"{of_event('rest')} as event_rest",
    )


def history_rows(history: History, laid: Any) -> Any:
    """The rows to merge into the history on (keys, ``valid_from``) by ``RULES``."""
    texts = [value_text(name, history.schema.field(name).type) for name in history.key_names]
    sequence = history.kinds[history.sequence_by] if history.sequence_by else pa.timestamp("us", tz="UTC")
    made = short_row_hash([*texts, value_text("seq", sequence)])
    surrogate = history.surrogate_key
    return laid.where("action <> 'keep'").selectExpr(
        *([f"coalesce(surrogate, {made}) as {quote(surrogate)}"] if surrogate else []),
        *(f"{within} as {quote(name)}" for name, within in history.names.items()),
        f"seq as {VALID_FROM}",
        f"until as {VALID_TO}",
        f"until is null as {IS_CURRENT}",
        f"hash as {ROW_HASH}",
        f"action as {_ACTION}",
        f"action = 'insert' as {_INSERTS}",
        f"seen_hash as {_SEEN_HASH}",
        f"seen_to as {_SEEN_TO}",
    )


def event_rows(history: History, laid: Any) -> Any:
    """The events to merge into those that left no trace, on (keys, sequence) by ``EVENT_RULES``."""
    moment = {history.sequence_by: "seq"}
    return laid.where("remembered").selectExpr(
        *(f"{moment.get(name, within)} as {quote(name)}" for name, within in history.names.items()),
        f"gone as {DELETED}",
        f"age = 2 as {_ARRIVED}",
    )


def _columns(history: History, have: Rows) -> list[str]:
    """The columns of a stored table by their names within; what it lacks is null."""
    kinds = history.kinds
    return [f"{typed(name, kinds[name], have.schema)} as {within}" for name, within in history.names.items()]


def _stored(history: History, named: Any, table: Rows) -> Any:
    """The stored events of the keys that come in: their rows, and a delete where a row ends before the next."""
    keys, kind = ", ".join(history.key_names), history.sequence_type
    surrogate = f"cast({quote(history.surrogate_key)} as string)" if history.surrogate_key else "cast(null as string)"
    rows = table.frame.selectExpr(
        *_columns(history, table),
        f"cast({VALID_FROM} as {kind}) as since",
        f"cast({VALID_TO} as {kind}) as seen_to",
        f"{ROW_HASH} as seen_hash",
        f"{surrogate} as surrogate",
    ).join(named, history.key_names, "left_semi")
    ended = "seen_to is not null and seen_to > since and (following is null or following > seen_to)"
    # A single scan: a row that ended without a successor becomes two events, itself and its delete.
    return (
        rows.selectExpr("*", f"lead(since) over (partition by {keys} order by since) as following")
        .selectExpr("*", f"explode(if({ended}, array(false, true), array(false))) as its_end")
        .selectExpr(
            *history.names.values(),
            "if(its_end, seen_to, since) as seq",
            # A row without duration was deleted at the moment in which it began.
            "its_end or seen_to <=> since as gone",
            "1 as age",
            "not its_end as stored",
            "if(its_end, null, seen_to) as seen_to",
            "if(its_end, null, seen_hash) as seen_hash",
            "if(its_end, null, surrogate) as surrogate",
        )
    )


def _remembered(history: History, named: Any, events: Rows) -> Any:
    assert history.sequence_by is not None
    return (
        events.frame.selectExpr(*_columns(history, events), f"{DELETED} as gone")
        .join(named, history.key_names, "left_semi")
        .selectExpr(
            *history.names.values(),
            f"{history.names[history.sequence_by]} as seq",
            "gone",
            "0 as age",
            "false as stored",
            f"cast(null as {history.sequence_type}) as seen_to",
            "cast(null as string) as seen_hash",
            "cast(null as string) as surrogate",
        )
    )


def _missing(history: History, arrived: Any, table: Rows) -> Any:
    """A delete of each current key that the frame lacks, at the frame's newest moment."""
    gone = table.frame.where(IS_CURRENT).selectExpr(*_columns(history, table))
    gone = gone.join(arrived.select(*history.key_names).distinct(), history.key_names, "left_anti")
    moment = arrived.selectExpr("max(seq) as seq")
    keys = set(history.key_names)
    values = [name if name in keys else f"if(true, null, {name}) as {name}" for name in history.names.values()]
    return gone.selectExpr(*values).crossJoin(moment).selectExpr(*history.names.values(), "seq", "true as gone")
