"""How an entity is written: what is refused, which expectations are counted, which rows go to its quarantine.

Every write sends its ``entity.*`` signals.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kindling_core.errors import full_text_of
from kindling_entities.commit_signals import new_operation, send_changes, send_results
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX
from kindling_entities.declare.reserved import QUARANTINE_KEY
from kindling_entities.errors import ExpectationError, MergeKeyError, SchemaError, UnsupportedError
from kindling_entities.manager import DataEntityManager
from kindling_entities.protocols import DEFAULT_COMMIT, Commit, CommitOptions, Engine, StorageProvider, Transaction
from kindling_entities.resolver import EntityResolver
from kindling_entities.tables import Tables
from kindling_entities.write.options import has_no_rows, put, refuse_options, written_before

if TYPE_CHECKING:
    from kindling_entities.formats import Dirt
    from kindling_entities.kinds import StorageKind

# Write mode -> the operation in the names of its signals.
_OPERATIONS = {"overwrite": "write", "append": "append", "merge": "merge"}


class EntityWriter:
    """Writes the entities of a store.

    Args:
        manager: sends the signals.
        engine: computes the rows and counts their expectations.
        resolver: finds declarations and providers.
        tables: describes quarantines.
        read: reads an entity as it stands, all columns or those given.
    """

    def __init__(
        self,
        manager: DataEntityManager,
        engine: Engine,
        resolver: EntityResolver,
        tables: Tables,
        read: Callable[[str, Sequence[str] | None], Any],
    ) -> None:
        self._manager = manager
        self._engine = engine
        self._resolver = resolver
        self._tables = tables
        self._read = read

    def write(
        self,
        entity_id: str,
        frame: Any,
        mode: str | None,
        transaction: Transaction | None,
        keys: Sequence[str] | None = None,
        checks: bool = True,
        options: CommitOptions = DEFAULT_COMMIT,
    ) -> Commit:
        """Write a frame in one commit.

        Args:
            mode: "overwrite", "append" or "merge"; None is the declared mode.
            keys: merge keys in place of those that the entity declares.
            checks: False for rows whose expectations were evaluated before; a merge then deletes no missing rows.

        Raises:
            UnsupportedError: the entity is a source, or its kind of storage lacks the mode or an option.
            MergeKeyError: a merge without keys, or a frame whose keys are missing, null or not unique.
            ExpectationError: a row does not meet an expectation whose action is "fail".
        """
        entity, location, provider = self._resolver.find(entity_id)
        if keys is not None:
            entity = replace(entity, keys=tuple(keys))
        if not checks:
            entity = replace(entity, expectations=(), missing_rows="keep")
        mode = mode or entity.write_mode
        kind = self._resolver.kind(entity_id)
        _refuse_wrong_use(entity, kind, mode)
        refuse_options(entity, kind, mode, options)
        name, operation = _OPERATIONS[mode], new_operation(entity_id)
        fields: dict[str, Any] = {"merge_keys": list(entity.keys)} if mode == "merge" else {}
        before = fields or {"mode": "overwrite_partitions" if _by_partition(entity, mode) else mode}
        emit = self._manager.emit
        emit(f"entity.before_{name}", **operation, **before)
        started = time.perf_counter()
        try:
            earlier = written_before(entity, location, provider, options.after(transaction).transactions)
            if earlier is not None:
                commit = earlier
            elif entity.expectations:
                commit = self._write_checked(operation, entity, location, provider, frame, mode, transaction, options)
            else:
                commit = put(provider, entity, location, frame, mode, transaction, options)
        except BaseException as error:
            emit(
                f"entity.{name}_failed",
                **operation,
                **fields,
                error=full_text_of(error),
                error_type=type(error).__name__,
            )
            raise
        duration = time.perf_counter() - started
        if mode == "merge":
            fields |= {f"rows_{what}": getattr(commit, f"rows_{what}") for what in ("inserted", "updated", "deleted")}
        else:
            fields = {"rows_written": commit.rows_written}
        emit(f"entity.after_{name}", **operation, **fields, duration_seconds=duration, version=commit.version)
        send_changes(self._manager, operation, commit)
        return commit

    def keep_dirt(self, quarantine_id: str, dirt: Dirt) -> None:
        """Put the rows of files that do not parse into a quarantine, each row once, however often its file is read."""
        known: frozenset[str] = frozenset()
        if self._exists(quarantine_id):
            stored = self._engine.to_reader(self._read(quarantine_id, [QUARANTINE_KEY])).read_all()
            known = frozenset(stored.column(0).to_pylist())
        rows = dirt.table(known)
        if rows.num_rows:
            self.write(quarantine_id, self._engine.from_arrow(rows), "merge", None)

    def _exists(self, entity_id: str) -> bool:
        entity, location, provider = self._resolver.find(entity_id)
        return provider.exists(entity, location)

    def _write_checked(
        self,
        operation: dict[str, Any],
        entity: EntityDefinition,
        location: str,
        provider: StorageProvider,
        frame: Any,
        mode: str,
        transaction: Transaction | None,
        options: CommitOptions,
    ) -> Commit:
        """Write what meets the expectations; the quarantine first, so that no row is lost between the two."""
        from kindling_entities.write.expectation_flags import checked, with_waiting

        def exists() -> bool:
            return provider.exists(entity, location)

        quarantine = entity.quarantine
        try:
            # A frame that does not stream is computed once and held, to see whether it has rows.
            held = options.skip_empty and not getattr(self._engine, "streams", False)
            with checked(self._engine, entity, frame, mode, self._read, exists, held) as sound:
                if quarantine is not None and not (options.skip_empty and has_no_rows(sound.results())):
                    everything = mode == "overwrite" and not _by_partition(entity, mode)
                    aside = replace(options, skip_empty=False, deletes=None)
                    self._quarantine(quarantine.entity_id, sound.quarantined, everything, transaction, aside)
                rows = sound.frame
                snapshot = mode == "merge" and entity.missing_rows != "keep"
                if snapshot and sound.quarantined is not None and exists():
                    rows = with_waiting(entity, sound, self._read(entity.entity_id, None))
                commit = put(provider, entity, location, rows, mode, transaction, options)
                results = [] if commit.skipped else sound.results()
        except ExpectationError as error:
            send_results(self._manager, operation, error.results)
            raise
        send_results(self._manager, operation, results)
        return replace(commit, expectations=tuple(results))

    def _quarantine(
        self, name: str, rows: Any | None, everything: bool, transaction: Transaction | None, options: CommitOptions
    ) -> None:
        """Keep rows aside: those of the newest overwrite, or of all other writes, each distinct row once."""
        from kindling_entities.write.expectation_flags import not_yet_kept

        if not everything:
            if rows is not None:
                if self._exists(name):
                    rows = not_yet_kept(rows, self._read(name, None))
                self._add_to_quarantine(name, rows.dropDuplicates([QUARANTINE_KEY]), transaction, options)
        elif rows is not None:
            self.write(name, rows, "overwrite", transaction, options=options)
        elif self._exists(name):
            stored, info = self._read(name, None), self._tables.describe(name)
            if info.rows if info is not None and info.rows is not None else stored.count():
                self.write(name, stored.where("false"), "overwrite", transaction, options=options)

    def _add_to_quarantine(self, name: str, rows: Any, transaction: Transaction | None, options: CommitOptions) -> None:
        try:
            self.write(name, rows, "merge", transaction, options=options)
        except SchemaError as error:
            if not self._exists(name):
                raise
            if self._read(name, None).limit(1).count():
                raise SchemaError(
                    f"{error} Nothing was written to {name.removesuffix(QUARANTINE_SUFFIX)!r}. If its columns are "
                    f"meant to change, release or remove the rows of {name!r} first: `kindling quarantine list {name}`."
                ) from error
            # The quarantine has no rows whose columns would have to be kept.
            self.write(name, rows, "overwrite", transaction, options=options)


def _refuse_wrong_use(entity: EntityDefinition, kind: StorageKind, mode: str) -> None:
    if entity.read_only:
        raise UnsupportedError(
            f"Entity {entity.entity_id!r} is a source and is only read. "
            "Write to another entity, or declare it with entities.entity(...)."
        )
    if mode not in _OPERATIONS or mode not in kind.write_modes:
        raise UnsupportedError(
            f"Entity {entity.entity_id!r}: provider {kind.name!r} cannot {mode!r}. "
            f"Use {' or '.join(sorted(kind.write_modes))}, or provider='delta'."
        )
    if mode == "merge" and entity.ordered and not kind.ordered_merges:
        raise UnsupportedError(
            f"Entity {entity.entity_id!r}: provider {kind.name!r} knows no sequence_by, delete_when or "
            "missing_rows. Use provider='delta'."
        )
    if mode == "merge" and not entity.keys:
        raise MergeKeyError(f"Entity {entity.entity_id!r} declares no keys to merge on. Declare keys=[...].")


def _by_partition(entity: EntityDefinition, mode: str) -> bool:
    return mode == "overwrite" and entity.overwrite_scope == "partitions"
