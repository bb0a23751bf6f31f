"""Evaluates the expectations of an entity on a frame while it is written.

Each expectation becomes a flag: a boolean column that is true where a row does not meet it. Where no row has to go
to the quarantine, the engine counts and removes the flags in the very pass that writes. Otherwise the flagged rows
are computed once and held, since they go to two tables.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.expectations import Expectation, ExpectationResult
from kindling_entities.declare.quoting import quote, quote_text
from kindling_entities.declare.reserved import IS_CURRENT, QUARANTINE_KEY, QUARANTINED_AT, REASON
from kindling_entities.engines._frames import counted
from kindling_entities.engines._retry import first_line
from kindling_entities.errors import EntityError, ExpectationError, SchemaError
from kindling_entities.protocols import Engine
from kindling_entities.rules.key_equality import same_form_sql
from kindling_entities.rules.row_hash import VERSION_PREFIX, frame_schema, row_hash

ReadEntity = Callable[[str, Sequence[str]], Any]


class Checked:
    """A frame without the rows that expectations keep out, and what they counted.

    Attributes:
        frame: to be written.
        quarantined: rows for the quarantine, None where there are none.
    """

    def __init__(self, frame: Any, results: Callable[[], list[ExpectationResult]], quarantined: Any | None) -> None:
        self.frame = frame
        self.results = results
        self.quarantined = quarantined


@contextlib.contextmanager
def checked(
    engine: Engine,
    entity: EntityDefinition,
    frame: Any,
    mode: str,
    read: ReadEntity,
    exists: Callable[[], bool],
    held: bool = False,
) -> Iterator[Checked]:
    """Apply the expectations of an entity.

    The frame must be written within the block; the results can be asked for afterwards, within it too.

    Args:
        mode: "overwrite", "append" or "merge".
        read: returns columns of an entity, for what uniqueness and foreign keys look into.
        exists: whether the entity has rows to look into; asked only if an expectation does.
        held: compute the rows once before they are written, in any case.

    Raises:
        ExpectationError: an expectation with action "fail" is not met, found before or while the block writes.
    """
    with contextlib.ExitStack() as stack:
        flagged, made = _ready(stack, engine, entity, frame, mode, read, exists)
        to_two_tables = any(expectation.action == "quarantine" for expectation in entity.expectations)
        if mode == "merge" or to_two_tables or held:
            kept = stack.enter_context(engine.held(flagged))
            yield _sorted_out(entity, kept, made, mode)
            return
        sifted = engine.sift(
            flagged, {_flag(index): expectation.action for index, expectation in enumerate(entity.expectations)}
        )
        try:
            yield Checked(sifted.frame, lambda: _results(entity, sifted.tally()), None)
        except Exception as error:
            if not sifted.refused(error):
                raise
            raise _failure(entity, _results(entity, sifted.tally())) from None


@contextlib.contextmanager
def meeting(
    engine: Engine, entity: EntityDefinition, frame: Any, mode: str, read: ReadEntity, exists: Callable[[], bool]
) -> Iterator[Any]:
    """Give the rows of a frame that meet every expectation whose action is not "warn"; arguments as ``checked``.

    What is given can be read more than once, within the block.
    """
    with contextlib.ExitStack() as stack:
        flagged, made = _ready(stack, engine, entity, frame, mode, read, exists)
        kept = stack.enter_context(engine.held(flagged))
        out = [_flag(index) for index, expectation in enumerate(entity.expectations) if expectation.action != "warn"]
        yield (kept.where(f"not ({' or '.join(out)})") if out else kept).selectExpr(*map(quote, made.columns))


def _ready(
    stack: contextlib.ExitStack,
    engine: Engine,
    entity: EntityDefinition,
    frame: Any,
    mode: str,
    read: ReadEntity,
    exists: Callable[[], bool],
) -> tuple[Any, Any]:
    """Return the frame with its flags, and without; what is held for them is released with the stack."""
    made = engine.to_frame(frame)
    for expectation in entity.expectations:
        _refuse_missing(entity, expectation, expectation.columns, made.columns)
    _refuse_taken(entity, made.columns)
    looks_back = _leaves_rows(entity, mode) and any(
        _sees_itself(entity, expectation) for expectation in entity.expectations
    )
    rest = looks_back and exists()
    if _reads_frame_twice(entity, mode, rest):
        made = stack.enter_context(engine.held(made))
    try:
        flagged = _flagged(entity, made, mode, read, rest)
        flagged.columns  # noqa: B018 - a function that the engine does not know shows now, not while writing
    except EntityError:
        raise
    except Exception as error:
        culprit = _culprit(entity, made)
        if culprit is None:
            raise
        raise culprit from error
    return flagged, made


def _sorted_out(entity: EntityDefinition, kept: Any, frame: Any, mode: str) -> Checked:
    """Part the rows of a flagged frame that can be read more than once.

    Raises:
        ExpectationError: an expectation with action "fail" is not met.
    """
    expectations = entity.expectations
    results = _results(entity, counted(kept, [_flag(index) for index in range(len(expectations))]))
    if any(result.action == "fail" and result.rows_failed for result in results):
        raise _failure(entity, results)
    unmet = {result.name for result in results if result.rows_failed}
    aside = {
        _flag(i): expectation
        for i, expectation in enumerate(expectations)
        if expectation.action == "quarantine" and expectation.name in unmet
    }
    dropped = [
        _flag(i)
        for i, expectation in enumerate(expectations)
        if expectation.action == "drop" and expectation.name in unmet
    ]
    columns = list(map(quote, frame.columns))
    out = [*aside, *dropped]
    good = kept.where(f"not ({' or '.join(out)})") if out else kept
    bad = None
    if aside:
        reason = ", ".join(f"if({flag}, {quote_text(expectation.name)}, null)" for flag, expectation in aside.items())
        schema = frame_schema(frame)
        bad = kept.where(" or ".join(aside)).selectExpr(
            *(_typed(entity, schema.field(name)) for name in frame.columns),
            f"concat_ws(', ', {reason}) as {REASON}",
            f"current_timestamp() as {QUARANTINED_AT}",
            f"{row_hash(frame.columns, schema)} as {QUARANTINE_KEY}",
        )
        if mode == "append":
            # A row that comes twice in an append is two rows; its keys are the same when the append is repeated.
            number = f"row_number() over (partition by {QUARANTINE_KEY} order by {QUARANTINE_KEY})"
            bad = bad.selectExpr("*", f"{number} as __kindling_number").selectExpr(
                *columns,
                REASON,
                QUARANTINED_AT,
                f"if(__kindling_number = 1, {QUARANTINE_KEY}, "
                f"concat({QUARANTINE_KEY}, '#', cast(__kindling_number as string))) as {QUARANTINE_KEY}",
            )
    return Checked(good.selectExpr(*columns), lambda: results, bad)


def with_waiting(entity: EntityDefinition, sound: Checked, stored: Any) -> Any:
    """The rows to write of a full snapshot, together with the stored rows whose key waits in the quarantine.

    Such a key is not missing from the snapshot, so what is stored of it stays.
    """
    keys = list(entity.keys)
    assert sound.quarantined is not None
    rows = stored.where(IS_CURRENT) if entity.scd == 2 else stored
    names = [quote(name) for name in sound.frame.columns if name in rows.columns]
    for others, how in ((sound.quarantined, "left_semi"), (sound.frame, "left_anti")):
        rows = rows.join(others.selectExpr(*map(quote, keys)).distinct(), keys, how)
    return sound.frame.unionByName(rows.selectExpr(*names), allowMissingColumns=True)


def _typed(entity: EntityDefinition, column: pa.Field) -> str:
    """SQL of a column; a column without a type, which is null throughout, is cast to the declared type."""
    name = quote(column.name)
    declared = entity.columns.get(column.name) if pa.types.is_null(column.type) else None
    return name if declared is None else f"cast({name} as {declared}) as {name}"


def _flag(index: int) -> str:
    """The column that is true where a row does not meet the expectation of this number."""
    return f"__kindling_flag_{index}"


def _flagged(entity: EntityDefinition, frame: Any, mode: str, read: ReadEntity, rest: bool) -> Any:
    columns = list(map(quote, frame.columns))
    made, flags = frame, []
    for index, expectation in enumerate(entity.expectations):
        flag = _flag(index)
        named = [_same_form(frame, name) for name in expectation.columns]
        present = " and ".join(f"{name} is not null" for name in named)
        if expectation.kind == "condition":
            flags.append(f"{_condition(expectation)} as {flag}")
        elif expectation.kind == "not_null":
            flags.append(f"not ({present}) as {flag}")
        else:
            other = _looked_into(entity, expectation, frame, mode, read, rest)
            found = f"__kindling_found_{index}"
            if other is not None:
                made = _joined(made, other, named, index, found)
            if expectation.kind == "unique":
                twice = f"count(1) over (partition by {', '.join(named)}) > 1"
                stored = f" or coalesce({found}, false)" if other is not None else ""
                flags.append(f"{present} and ({twice}{stored}) as {flag}")
            else:
                flags.append(f"{present} and not coalesce({found}, false) as {flag}")
    return made.selectExpr(*columns, *flags)


def _condition(expectation: Expectation) -> str:
    # A line break, so that a comment at the end of the condition ends there too.
    return f"not coalesce(cast(({expectation.condition}\n) as boolean), false)"


def _culprit(entity: EntityDefinition, frame: Any) -> Exception | None:
    """Find the condition that the engine does not take.

    Raises:
        SchemaError: it names a column that the frame lacks.
    """
    from kindling_entities.declare.sql import columns_of

    for expectation in entity.expectations:
        if expectation.condition is None:
            continue
        try:
            frame.selectExpr(_condition(expectation)).columns  # noqa: B018
        except Exception as found:  # noqa: BLE001 - each engine has errors of its own for this
            _refuse_missing(entity, expectation, columns_of(expectation.condition), frame.columns)
            return entity.wrong(
                f"expectation {expectation.name!r} cannot be evaluated: {first_line(found)}: {expectation.condition}"
            )
    return None


def not_yet_kept(rows: Any, stored: Any) -> Any:
    """Leave out quarantined rows that are stored under a key of an earlier version, which other rows could share.

    Args:
        rows: for the quarantine, with their keys.
        stored: the quarantine as it is.
    """
    made = (REASON, QUARANTINED_AT, QUARANTINE_KEY)
    columns = [name for name in rows.columns if name not in made]
    # Two comparisons in place of a "like": statistics then let files be skipped that hold only new keys.
    after = VERSION_PREFIX[:-1] + chr(ord(VERSION_PREFIX[-1]) + 1)
    old = stored.where(f"{QUARANTINE_KEY} < '{VERSION_PREFIX}' or {QUARANTINE_KEY} >= '{after}'")
    keys = old.selectExpr(f"{row_hash(columns, frame_schema(stored))} as {QUARANTINE_KEY}")
    return rows.join(keys, [QUARANTINE_KEY], "left_anti")


def _same_form(frame: Any, name: str) -> str:
    """A column as it is compared; its name is found without regard to case."""
    kinds = {field.name.lower(): field.dataType.simpleString() for field in frame.schema.fields}
    return same_form_sql(name, kinds.get(name.lower(), ""))


def _joined(frame: Any, other: Any, named: Sequence[str], index: int, found: str) -> Any:
    """Left join on the distinct values of ``other``, which has as many columns as are named, in order."""
    from pyspark.sql.functions import expr

    theirs = [f"__kindling_{index}_{position}" for position in range(len(named))]
    renamed = [f"{_same_form(other, column)} as {name}" for column, name in zip(other.columns, theirs, strict=True)]
    distinct = other.selectExpr(*renamed).distinct().selectExpr("*", f"true as {found}")
    condition = " and ".join(f"{mine} = {their}" for mine, their in zip(named, theirs, strict=True))
    return frame.join(distinct, expr(condition), "left")


def _looked_into(
    entity: EntityDefinition, expectation: Expectation, frame: Any, mode: str, read: ReadEntity, rest: bool
) -> Any | None:
    """The rows that a uniqueness or foreign key is checked against, with the columns to compare; None without any."""
    if expectation.kind == "foreign_key":
        assert expectation.references is not None
        wanted = list(expectation.referenced_columns)
        if expectation.references != entity.entity_id:
            return read(expectation.references, wanted)
        own = frame.selectExpr(*map(quote, wanted))
        return own.unionByName(_rest(entity, wanted, frame, mode, read)) if rest else own
    # Stored rows with all keys alike are the ones that a merge replaces.
    replaced = mode == "merge" and set(entity.keys) <= set(expectation.columns)
    return _rest(entity, list(expectation.columns), frame, mode, read) if rest and not replaced else None


def _rest(entity: EntityDefinition, wanted: list[str], frame: Any, mode: str, read: ReadEntity) -> Any:
    """The stored rows that the write leaves in the entity."""
    history = entity.scd == 2
    replaced = [] if mode == "append" else list(entity.keys if mode == "merge" else entity.partition_columns)
    names = dict.fromkeys([*wanted, *replaced, *([IS_CURRENT] if history else [])])
    stored = read(entity.entity_id, list(names))
    if history:
        stored = stored.where(IS_CURRENT)
    if replaced:
        stored = stored.join(frame.selectExpr(*map(quote, replaced)).distinct(), replaced, "left_anti")
    return stored.selectExpr(*map(quote, wanted))


def _leaves_rows(entity: EntityDefinition, mode: str) -> bool:
    return mode != "overwrite" or entity.overwrite_scope == "partitions"


def _sees_itself(entity: EntityDefinition, expectation: Expectation) -> bool:
    return expectation.kind == "unique" or expectation.references == entity.entity_id


def _reads_frame_twice(entity: EntityDefinition, mode: str, rest: bool) -> bool:
    own = any(expectation.references == entity.entity_id for expectation in entity.expectations)
    among_others = rest and mode != "append"
    return own or (among_others and any(expectation.kind == "unique" for expectation in entity.expectations))


def _refuse_missing(
    entity: EntityDefinition, expectation: Expectation, needed: Sequence[str], columns: Sequence[str]
) -> None:
    # Columns are found without regard to case, as Spark does.
    have = {name.lower() for name in columns}
    missing = [name for name in needed if name.lower() not in have]
    if missing:
        raise SchemaError(
            f"Expectation {expectation.name!r} of {entity.entity_id!r} needs column(s) "
            f"{', '.join(map(repr, missing))}, which the frame lacks; it has {', '.join(map(repr, columns))}."
        )


def _refuse_taken(entity: EntityDefinition, columns: Sequence[str]) -> None:
    taken = [name for name in columns if name.lower() in (REASON, QUARANTINED_AT, QUARANTINE_KEY)]
    if taken and any(expectation.action == "quarantine" for expectation in entity.expectations):
        raise SchemaError(
            f"Column(s) {', '.join(map(repr, taken))} of the frame for {entity.entity_id!r} are those of a "
            "quarantine. Drop or rename them in the pipe."
        )


def _results(entity: EntityDefinition, counts: dict[str, int]) -> list[ExpectationResult]:
    found = []
    for index, expectation in enumerate(entity.expectations):
        failed = counts[_flag(index)]
        found.append(
            ExpectationResult(expectation.name, expectation.action, expectation.kind, counts["rows"] - failed, failed)
        )
    return found


def _failure(entity: EntityDefinition, results: list[ExpectationResult]) -> ExpectationError:
    unmet = ", ".join(
        f"{result.name!r} ({result.rows_failed} of {result.rows_passed + result.rows_failed} rows)"
        for result in results
        if result.action == "fail" and result.rows_failed
    )
    return ExpectationError(
        f"Rows for {entity.entity_id!r} do not meet {unmet}. Nothing was written. Correct the data or the pipe, or "
        "let the expectation drop or quarantine such rows.",
        results,
    )
