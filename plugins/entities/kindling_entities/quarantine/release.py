"""Looks into the quarantine of an entity, releases its rows into the entity, and removes them.

Rows are released in three commits: they are marked in the quarantine, written to the entity under a transaction that
the mark names, and removed by their mark. A process that dies in between leaves a mark, which the next command finds
and brings to its end: the transaction keeps the rows from being written twice, and no row is removed that was not
written. The mark stands before the reason, so that a quarantine has the columns that it always has.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX
from kindling_entities.declare.quoting import quote, quote_text
from kindling_entities.declare.reserved import QUARANTINE_KEY, QUARANTINED_AT, REASON
from kindling_entities.errors import SchemaError, UnsupportedError
from kindling_entities.protocols import Commit, MergeRules, Transaction
from kindling_entities.quarantine.reasons import Reasons
from kindling_entities.store import EntityStore
from kindling_entities.write.expectation_flags import meeting

ACCEPTED = "__kindling_accepted"
_KEY = "__kindling_key"
_PICK = "__kindling_pick"
_OWN = (REASON, QUARANTINED_AT, QUARANTINE_KEY)
_MARK = re.compile(r"being (released|released over others) \(([0-9a-f]{32})\): ")
_IS_MARKED = f"coalesce(t.{REASON}, '') like 'being released%(%): %'"
# True in no row: what has left the quarantine meanwhile is not to come back.
_NEVER = "__kindling_never"


@dataclass(frozen=True)
class Released:
    """What a retry did, in rows.

    Attributes:
        released: written to the entity and removed from the quarantine.
        failing: that do not meet the expectations as they are declared now.
        accepted: whose key the entity has accepted since; left, or removed if that was asked for.
        dropped: of those, the removed ones.
        unclear: with a null in their key, or quarantined by the same write as others of their key.
        older: of a key of which a newer row is in the quarantine, too.
        version: of the entity afterwards; None where nothing was written.
    """

    released: int = 0
    failing: int = 0
    accepted: int = 0
    dropped: int = 0
    unclear: int = 0
    older: int = 0
    version: int | None = None


class Quarantine:
    """The quarantine of an entity.

    Args:
        entity_id: the entity or its quarantine.

    Raises:
        UnknownEntityError: nothing is declared under this id.
        EntityNotFoundError: nothing was ever quarantined; of a source that is no error, and there are no rows.
        UnsupportedError: it is kept in memory, or is no quarantine.
    """

    def __init__(self, store: EntityStore, entity_id: str) -> None:
        self._store = store
        name = entity_id.removesuffix(QUARANTINE_SUFFIX)
        if name not in store.manager:
            name = entity_id
        self.entity: EntityDefinition = store.manager.get_entity_definition(name)
        self.name = name + QUARANTINE_SUFFIX
        if self.name not in store.manager:
            raise UnsupportedError(f"{name!r} has no quarantine.")
        kind = store.kind(self.name)
        if not kind.durable:
            raise UnsupportedError(
                f"The quarantine of {name!r} is kept in {kind.name}, and gone with the App that filled it. Use a "
                "provider that keeps rows, such as 'delta', to look into it later, or read it in a pipe of the same "
                "run."
            )
        frame = store.read_entity(self.name)
        lacks = [column for column in _OWN if column not in frame.columns]
        if lacks:
            raise UnsupportedError(
                f"{self.name!r} has no column {lacks[0]!r}, so it is no quarantine. Rename the entity that lies there."
            )

    @property
    def columns(self) -> list[str]:
        """The columns of the rows themselves."""
        return [name for name in self._store.read_entity(self.name).columns if name not in _OWN]

    def count(self) -> int:
        """How many rows there are."""
        info = self._store.tables.describe(self.name)
        if info is not None and info.rows is not None:
            return info.rows
        return int(self._store.read_entity(self.name).count())

    def frame(
        self,
        reason: str | None = None,
        before: datetime | None = None,
        accepted: bool = False,
        look_up_accepted: bool = True,
    ) -> Any:
        """Return the rows with ``ACCEPTED``, all or those that fit.

        Args:
            reason: of this expectation.
            before: quarantined before this time.
            accepted: whose key was accepted since.
            look_up_accepted: whether ``ACCEPTED`` is looked up where nothing asks for it; else it is null.
        """
        rows = self._store.read_entity(self.name)
        if reason is not None:
            rows = self._with_reason(rows, reason)
        if before is not None:
            rows = rows.where(f"{QUARANTINED_AT} < timestamp '{before.astimezone(timezone.utc).isoformat(' ')}'")
        if accepted and self.entity.read_only:
            raise UnsupportedError(
                f"{self.entity.entity_id!r} is a source: of a row that could not be read no key is known. Remove its "
                "rows by --reason or --older-than."
            )
        if accepted and not self.entity.keys:
            raise UnsupportedError(
                f"{self.entity.entity_id!r} declares no keys, so it cannot be told which of its rows were accepted."
            )
        rows = (
            self._with_accepted(rows)
            if accepted or look_up_accepted
            else rows.selectExpr("*", f"cast(null as boolean) {ACCEPTED}")
        )
        return rows.where(ACCEPTED) if accepted else rows

    def reasons(self, rows: Any | None = None) -> dict[str, int]:
        """Return how many rows have each reason; a row with several counts for each of them."""
        frame = self._store.read_entity(self.name) if rows is None else rows
        counted = frame.groupBy(REASON).count().collect()
        return Reasons(self.entity).counts({_unmarked(row[0]): row[1] for row in counted})

    def _with_reason(self, rows: Any, reason: str) -> Any:
        reasons = Reasons(self.entity)
        found = {row[0]: reasons.of(_unmarked(row[0])) for row in rows.select(REASON).distinct().collect()}
        texts = [text for text, names in found.items() if reason in names]
        if not texts:
            known = sorted({name for names in found.values() for name in names})
            raise SchemaError(
                f"No row of {self.name!r} has the reason {reason!r}. There are: "
                f"{', '.join(map(repr, known)) or 'none'}."
            )
        # Of a source each row may have a text of its own, so many that no condition could list them.
        wanted = self._store.engine.from_arrow(pa.table({REASON: texts}))
        return rows.join(wanted, [REASON], "left_semi").select(*map(quote, rows.columns))

    def _with_accepted(self, rows: Any) -> Any:
        """Add ``ACCEPTED``: whether the entity is known to hold a row of the key that is at least as new."""
        keys, store = self.entity.keys, self._store
        usable = keys and all(key in rows.columns for key in keys)
        if not usable or self.entity.read_only or not store.check_entity_exists(self.entity.entity_id):
            known = "null" if not keys or self.entity.read_only else "false"
            return rows.selectExpr("*", f"cast({known} as boolean) as {ACCEPTED}")
        from pyspark.sql.functions import expr

        sequence = self.entity.sequence_by if self.entity.sequence_by in rows.columns else None
        names = [f"__kindling_stored_{index}" for index in range(len(keys))]
        stored = store.read_entity(self.entity.entity_id, columns=[*keys, *([sequence] if sequence else [])])
        renamed = [f"{quote(key)} as {name}" for key, name in zip(keys, names, strict=True)]
        on = [f"{quote(key)} = {name}" for key, name in zip(keys, names, strict=True)]
        if sequence is None:
            stored = stored.selectExpr(*renamed).distinct()
        elif self.entity.scd == 2:
            # A history takes a late row at its place, so only one of the same moment stands in its way.
            stored = stored.selectExpr(*renamed, f"{quote(sequence)} as __kindling_stored_seq").distinct()
            on.append(f"{quote(sequence)} = __kindling_stored_seq")
        else:
            stored = stored.selectExpr(*renamed, f"{quote(sequence)} as __kindling_stored_seq")
            stored = stored.groupBy(*names).agg(expr("max(__kindling_stored_seq) as __kindling_stored_seq"))
            on.append(f"coalesce(__kindling_stored_seq >= {quote(sequence)}, true)")
        found = stored.selectExpr("*", "true as __kindling_found")
        joined = rows.join(found, expr(" and ".join(on)), "left")
        return joined.selectExpr(*map(quote, rows.columns), f"coalesce(__kindling_found, false) as {ACCEPTED}")

    def retry(self, accepted: str = "skip") -> Released:
        """Release the rows that meet the expectations as they are declared now.

        Args:
            accepted: what becomes of rows whose key was accepted since: "skip" leaves them, "drop" removes them from
                the quarantine, "write" writes them over what was accepted.

        Raises:
            UnsupportedError: rows of this entity cannot be added to what was written.
            EntityError: the rows do not fit the entity; the quarantine is as it was.
        """
        store, entity = self._store, self.entity
        mode = self._mode()
        self.finish()
        found: dict[str, int] = {}
        with store.engine.held(self._with_accepted(store.read_entity(self.name))) as rows:
            total = rows.count()
            taken = f"{ACCEPTED}" if accepted != "write" else "false"
            found["accepted"] = rows.where(f"coalesce({taken}, false)").count()
            sorted_out = self._picked(rows.where(f"not coalesce({taken}, false)"), mode)
            for name in ("unclear", "older"):
                found[name] = sorted_out.where(f"{_PICK} = '{name}'").count()
            candidates = sorted_out.where(f"{_PICK} = 'pick'").selectExpr(
                *map(quote, self._releasable(rows)), f"{QUARANTINE_KEY} as {_KEY}"
            )

            def read(entity_id: str, columns: Sequence[str]) -> Any:
                return store.read_entity(entity_id, columns=columns)

            with meeting(
                store.engine, entity, candidates, mode, read, lambda: store.check_entity_exists(entity.entity_id)
            ) as good:
                passing = good.count()
                if passing:
                    how = "released over others" if accepted == "write" else "released"
                    mark = self._mark(rows, good.selectExpr(f"{_KEY} as {QUARANTINE_KEY}"), how)
            if accepted == "drop" and found["accepted"]:
                found["dropped"] = self.purge(rows.where(ACCEPTED))
        released, version = self._complete(mark, mode, how == "released") if passing else (0, None)
        failing = total - passing - found["accepted"] - found["unclear"] - found["older"]
        return Released(released, failing, version=version, **found)

    def _mode(self) -> str:
        """How released rows are written."""
        entity = self.entity
        if entity.read_only:
            raise UnsupportedError(
                f"{entity.entity_id!r} is a source: what could not be read of its files cannot be written back to "
                f"them. Correct the files or the declaration (`kindling quarantine list {entity.entity_id}` has file, "
                f"line and reason), and remove the rows with `kindling quarantine purge {entity.entity_id}`. The next "
                "run reads what is correct then, and quarantines the rest again."
            )
        if entity.write_mode != "overwrite":
            return entity.write_mode
        if not self._store.kind(entity.entity_id).adds_to_overwritten:
            raise UnsupportedError(
                f"{entity.entity_id!r} is overwritten as one file, to which no rows can be added. Run its pipe again: "
                "the rows that meet the expectations now are written, and the quarantine is replaced."
            )
        # What was written stays as it is: an overwrite would replace it with the released rows.
        return "append"

    def _releasable(self, rows: Any) -> list[str]:
        """The columns to write: without those that the table lacks and no row has a value for."""
        names = [name for name in rows.columns if name not in (*_OWN, ACCEPTED)]
        info = self._store.tables.describe(self.entity.entity_id)
        if info is None:
            return names
        lacking = [name for name in names if name not in info.schema.names and name not in self.entity.columns]
        if not lacking:
            return names
        counted = rows.selectExpr(*(f"count({quote(name)}) as c{index}" for index, name in enumerate(lacking)))
        empty = {name for name, count in zip(lacking, counted.collect()[0], strict=True) if not count}
        return [name for name in names if name not in empty]

    def _picked(self, rows: Any, mode: str) -> Any:
        """Say of each row whether it is to be tried: where keys are merged, the newest row of each key alone."""
        entity = self.entity
        if mode != "merge":
            return rows.selectExpr("*", f"'pick' as {_PICK}")
        lacking = [key for key in entity.keys if key not in rows.columns]
        if lacking:
            raise SchemaError(
                f"The rows of {self.name!r} have no column {lacking[0]!r}, a key of {entity.entity_id!r}."
            )
        keys = [quote(key) for key in entity.keys]
        order = QUARANTINED_AT
        if entity.sequence_by in rows.columns:
            if entity.scd == 2:
                keys.append(quote(str(entity.sequence_by)))
            else:
                order = quote(str(entity.sequence_by))
        among = f"partition by {', '.join(keys)}"
        null = " or ".join(f"{column} is null" for column in dict.fromkeys([*keys, order]))
        newest = rows.selectExpr("*", f"max({order}) over ({among}) as __kindling_newest")
        alike = newest.selectExpr("*", f"count(1) over ({among}, {order}) as __kindling_alike")
        return alike.selectExpr(
            *map(quote, rows.columns),
            f"case when {null} then 'unclear' when not ({order} <=> __kindling_newest) then 'older' "
            f"when __kindling_alike > 1 then 'unclear' else 'pick' end as {_PICK}",
        )

    def _mark(self, rows: Any, keys: Any, how: str) -> str:
        """Write a mark before the reasons of rows; returns it."""
        mark = f"being {how} ({uuid.uuid4().hex}): "
        marked = rows.join(keys.distinct(), [QUARANTINE_KEY], "left_semi").selectExpr(
            QUARANTINE_KEY, f"concat({quote_text(mark)}, {REASON}) as {REASON}"
        )
        # Rows that another process has marked meanwhile are its own.
        self._change(marked, MergeRules(update_when=f"not ({_IS_MARKED})", insert_flag=_NEVER, helpers=(_NEVER,)))
        return mark

    def _change(self, rows: Any, rules: MergeRules) -> Commit:
        distinct = rows.dropDuplicates([QUARANTINE_KEY]).selectExpr("*", f"false as {_NEVER}")
        return self._store.tables.merge_by(self.name, distinct, rules)

    def _unmark(self, rows: Any) -> None:
        """Give rows their reasons back."""
        reason = f"regexp_replace({REASON}, '^being [a-z ]+ [(][0-9a-f]+[)]: ', '') as {REASON}"
        rules = MergeRules(update_when=_IS_MARKED, insert_flag=_NEVER, helpers=(_NEVER,))
        self._change(rows.selectExpr(QUARANTINE_KEY, reason), rules)

    def finish(self) -> None:
        """Bring to its end what an earlier command, which was killed, has begun."""
        rows = self._store.read_entity(self.name).where(f"{REASON} like 'being %'").select(REASON).distinct().collect()
        marks = {found[0]: found[1] for row in rows if (found := _MARK.match(row[0]))}
        for mark, how in sorted(marks.items()):
            self._complete(mark, self._mode(), how == "released", again=True)

    def _complete(self, mark: str, mode: str, spare: bool, again: bool = False) -> tuple[int, int | None]:
        """Write the marked rows once, and remove them; returns how many, and the version of the entity if written.

        Args:
            spare: leave rows alone whose key the entity has accepted since they were marked.
            again: the rows may have been written before.
        """
        store, name = self._store, self.entity.entity_id
        found = _MARK.match(mark)
        assert found is not None
        transaction = Transaction(f"kindling-quarantine/{found[2]}", 1)
        version, count = None, 0
        if not (again and store.newest_transaction(name, transaction.app_id)):
            if again and spare:
                with store.engine.held(self._with_accepted(self._rows(mark)).where(ACCEPTED)) as late:
                    if late.count():
                        self._unmark(late)
            rows = self._rows(mark)
            count = rows.count()
            if count:
                try:
                    frame = rows.selectExpr(*map(quote, self._releasable(rows)))
                    version = store.release(name, frame, mode, transaction).version
                except Exception:
                    # A failed write has left the entity as it was.
                    self._unmark(self._rows(mark))
                    raise
        self._store.tables.delete(self.name, _marked(mark))
        return count, version

    def _rows(self, mark: str) -> Any:
        return self._store.read_entity(self.name).where(_marked(mark))

    def purge(self, rows: Any) -> int:
        """Remove rows that ``frame`` gave, in one commit; returns how many there were."""
        rules = MergeRules(
            update_when="false", delete_when=f"not ({_IS_MARKED})", insert_flag=_NEVER, helpers=(_NEVER,)
        )
        return self._change(rows.selectExpr(QUARANTINE_KEY, REASON), rules).rows_deleted or 0


def quarantines(store: EntityStore) -> list[str]:
    """Return the quarantines of a job that exist as tables, also those whose expectations are gone."""
    manager = store.manager
    declared = [name for name in manager.get_entity_ids() if name.endswith(QUARANTINE_SUFFIX)]
    kept = [name for name in declared if store.kind(name).durable]
    return [*filter(store.check_entity_exists, kept), *store.tables.left_quarantines()]


def _marked(mark: str) -> str:
    return f"{REASON} like {quote_text(mark + '%')}"


def _unmarked(text: str) -> str:
    return _MARK.sub("", text, count=1) if _MARK.match(text) else text


def plain(rows: Sequence[Mapping[str, Any]], reasons: Reasons) -> list[dict[str, Any]]:
    """Quarantined rows as plain values for people and JSON."""
    return [
        {
            "reasons": reasons.shown(_unmarked(row[REASON])),
            "quarantined_at": row[QUARANTINED_AT],
            "accepted": row[ACCEPTED],
            "row": {name: value for name, value in row.items() if name not in (*_OWN, ACCEPTED)},
        }
        for row in rows
    ]
