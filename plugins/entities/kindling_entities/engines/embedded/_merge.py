"""How the embedded engine merges: the keys of the source, the clauses of the merge, and its commit through delta-rs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.table import TableMerger

from kindling_entities.declare.casts import cast_batch
from kindling_entities.declare.quoting import quote
from kindling_entities.engines import _constraints
from kindling_entities.engines._constraints import rules_of
from kindling_entities.engines._frames import Source
from kindling_entities.engines._log import append_only, arrow_schema, mapped_errors
from kindling_entities.engines._partition_values import checker
from kindling_entities.engines._side_log import misread
from kindling_entities.engines.embedded._commit_options import commit_properties, partition_columns
from kindling_entities.engines.embedded._int96 import FarTimestamps
from kindling_entities.engines.embedded._raw_paths import refuse_raw_paths
from kindling_entities.engines.embedded._settled import settled
from kindling_entities.engines.embedded._statistics import without_float_statistics
from kindling_entities.protocols import Commit, CommitOptions, MergeRules, Table
from kindling_entities.rules.exact_duplicates import repeated_keys_of
from kindling_entities.rules.key_equality import refuse_nested_keys, same_form
from kindling_entities.rules.refusals import null_key, refuse_keys_not_stored, refuse_missing_keys
from kindling_entities.rules.schema_policy import evolved


class Merge:
    """A merge of a source into a table; ``into`` may be called again after a lost race.

    Args:
        source: the rows, whose keys were checked.
        keys: columns that identify a row.
        how: what the caller wants of the commit.
        far: refuses tables whose timestamps delta-rs would change.
        folder: returns a folder for temporary files.

    Attributes:
        stored: the columns of the source that the table keeps: all but the helpers of the rules.
    """

    def __init__(
        self,
        table: Table,
        source: Source,
        keys: list[str],
        rules: MergeRules,
        how: CommitOptions,
        far: FarTimestamps,
        folder: Callable[[], str],
    ) -> None:
        self.stored = pa.schema([field for field in source.schema if field.name not in rules.helpers])
        self._table = table
        self._source = source
        self._keys = keys
        self._rules = rules
        self._how = how
        self._far = far
        self._folder = folder

    def inserted(self) -> pa.RecordBatchReader:
        """The rows that the merge inserts where there is no table yet."""
        if self._rules.insert_flag is None:
            return self._source.reader(self.stored)
        flag = self._rules.insert_flag
        batches = (cast_batch(b.filter(b.column(flag)), self.stored) for b in self._source.batches())
        return pa.RecordBatchReader.from_batches(self.stored, batches)

    def into(self, opened: DeltaTable) -> Commit:
        """Merge into a table as it was opened, in one commit.

        Raises:
            RaceLost: another writer has committed since.
        """
        table, source, keys, rules = self._table, self._source, self._keys, self._rules
        old = arrow_schema(opened)
        refuse_keys_not_stored(table, keys, old)
        target, change = evolved(table, old, self.stored)
        # Only the columns of the source: what it lacks keeps its value in matched rows.
        given = [field for field in target if field.name in self.stored.names]
        given += [field for field in source.schema if field.name in rules.helpers]
        before = opened.version()
        self._far.refuse(table, opened, "Merging into")
        refuse_raw_paths(table, opened, "Merging into")
        constraints = rules_of(opened)
        if constraints.append_only:
            raise append_only(table)
        check = checker(table, pa.schema(given), partition_columns(opened))
        if check is not None:
            check(source.table([name for name in partition_columns(opened) if name in self.stored.names]))
        check = _constraints.checker(table, constraints, all_stored=rules.delete_when is None)
        if check is not None:
            for batch in source.batches():
                check(batch)
        marker = uuid.uuid4().hex
        try:
            with mapped_errors(table, "Merging into"):
                merger = opened.merge(
                    source.reader(pa.schema(given)),
                    " AND ".join(f"t.{quote(k)} = s.{quote(k)}" for k in keys),
                    source_alias="s",
                    target_alias="t",
                    merge_schema=bool(change),
                    # Without streaming delta-rs prunes target files by the statistics of the source, which must
                    # then fit in memory; and the statistics of the target must be right for the keys.
                    streamed_exec=source.spilled or any(misread(old.field(key).type) for key in keys),
                    commit_properties=commit_properties(self._how, marker, retry=False),
                    writer_properties=without_float_statistics(target),
                )
                names = [field.name for field in given if field.name not in rules.helpers]
                figures = _ruled(merger, rules, names).execute()
        except Exception as error:
            after = settled(table, marker, before, error)
            if after is None:
                rows = partial(source.reader, pa.schema(given))
                broken = _constraints.explained(table, constraints, error, rows, self._folder())
                if broken is not None:
                    raise broken from error
                raise
            return Commit(after.version(), before, schema_change=change.if_any)
        return Commit(
            opened.version(),
            before,
            rows_inserted=figures["num_target_rows_inserted"],
            rows_updated=figures["num_target_rows_updated"],
            rows_deleted=figures["num_target_rows_deleted"],
            schema_change=change.if_any,
        )


def _ruled(merger: TableMerger, rules: MergeRules, names: list[str]) -> TableMerger:
    """Add the clauses of a merge. For each row the first clause that applies counts.

    Args:
        names: the columns of the source that are stored.
    """
    if rules.delete_when is not None:
        merger = merger.when_matched_delete(rules.delete_when)
    inserts = None if rules.insert_flag is None else f"s.{quote(rules.insert_flag)}"
    if any("`" in name for name in names):
        # delta-rs does not escape a backtick in the assignments that it makes itself.
        assigned = {quote(name): f"s.{quote(name)}" for name in names}
        merger = merger.when_matched_update(assigned, rules.update_when).when_not_matched_insert(assigned, inserts)
    else:
        merger = merger.when_matched_update_all(rules.update_when, except_cols=list(rules.helpers))
        merger = merger.when_not_matched_insert_all(inserts, except_cols=list(rules.helpers))
    return merger.when_not_matched_by_source_delete() if rules.delete_missing else merger


def check_keys(table: Table, source: Source, keys: list[str]) -> pa.Table | None:
    """Refuse a merge source whose keys are missing or null.

    Returns:
        The keys that occur more than once; None if there are none.

    Raises:
        MergeKeyError: with the columns.
    """
    refuse_missing_keys(table.entity_id, keys, source.schema)
    refuse_nested_keys(table.entity_id, keys, source.schema)
    columns = same_form(source.table(keys))
    for key in keys:
        nulls = columns.column(key).null_count
        if nulls:
            raise null_key(table, key, nulls)
    repeated = repeated_keys_of(columns, keys)
    return repeated if repeated.num_rows else None
