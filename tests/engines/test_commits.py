"""What each engine commits: figures, versions, repeats, changes, conflicts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import EntityNotFoundError, MergeKeyError, SchemaError, UnsupportedError
from kindling_entities.protocols import Table, Transaction


def frame(**columns: list[Any]) -> pa.Table:
    return pa.table(columns)


def rows(engine: Any, table: Table, **options: Any) -> list[dict[str, Any]]:
    found = engine.to_reader(engine.read(table, **options)).read_all().to_pylist()
    return sorted(found, key=str)


def test_an_append_adds_and_tells_rows_and_versions(engine: Any, table: Table) -> None:
    first = engine.append(table, frame(n=[1, 2]))
    second = engine.append(table, frame(n=[3]))
    assert (first.rows_written, first.version, first.old_version, first.created) == (2, 0, None, True)
    assert (second.rows_written, second.version, second.old_version, second.created) == (1, 1, 0, False)
    assert rows(engine, table) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert rows(engine, table, version=0) == [{"n": 1}, {"n": 2}]


def test_an_overwrite_replaces_rows_and_columns(engine: Any, table: Table) -> None:
    engine.overwrite(table, frame(n=[1, 2]))
    commit = engine.overwrite(table, frame(n=[3], m=["x"]))
    assert commit.rows_written == 1
    assert dict(commit.schema_change.added) == {"m": "string"}
    assert rows(engine, table) == [{"n": 3, "m": "x"}]


def test_an_overwrite_reads_the_table_that_it_replaces(engine: Any, table: Table) -> None:
    engine.overwrite(table, frame(n=[1, 2]))
    engine.overwrite(table, engine.read(table).selectExpr("n + 10 as n"))
    assert rows(engine, table) == [{"n": 11}, {"n": 12}]


def test_an_overwrite_of_partitions_leaves_the_others(engine: Any, table: Table) -> None:
    table = dataclasses.replace(table, partition_columns=("day",))
    engine.overwrite(table, frame(day=["1", "2", None], n=[1, 2, 3]))
    commit = engine.overwrite(table, frame(day=["2", None], n=[20, 30]), scope="partitions")
    assert commit.rows_written == 2
    assert rows(engine, table) == sorted([{"day": "1", "n": 1}, {"day": "2", "n": 20}, {"day": None, "n": 30}], key=str)
    assert engine.read(table).columns == ["day", "n"]


def test_a_merge_updates_inserts_and_counts(engine: Any, table: Table) -> None:
    engine.overwrite(table, frame(k=[1, 2], v=["a", "b"]))
    commit = engine.merge(table, frame(k=[2, 3], v=["B", "c"]), ["k"])
    assert (commit.rows_inserted, commit.rows_updated, commit.rows_deleted) == (1, 1, 0)
    assert rows(engine, table) == [{"k": 1, "v": "a"}, {"k": 2, "v": "B"}, {"k": 3, "v": "c"}]


def test_a_merge_into_nothing_makes_the_table(engine: Any, table: Table) -> None:
    commit = engine.merge(table, frame(k=[1, 2]), ["k"])
    assert (commit.created, commit.rows_inserted, commit.version) == (True, 2, 0)


def test_a_merge_may_lack_columns_and_bring_new_ones(engine: Any, table: Table) -> None:
    engine.overwrite(table, frame(k=[1, 2], v=["a", "b"]))
    commit = engine.merge(table, frame(k=[2, 3], w=[True, False]), ["k"])
    assert dict(commit.schema_change.added) == {"w": "boolean"}
    assert rows(engine, table) == [
        {"k": 1, "v": "a", "w": None},
        {"k": 2, "v": "b", "w": True},
        {"k": 3, "v": None, "w": False},
    ]


@pytest.mark.parametrize(
    ("source", "keys", "message"),
    [
        (frame(k=[1, 1, 2], v=["a", "b", "a"]), ["k"], "k=1"),
        (frame(k=[1, None]), ["k"], "null in 1 row"),
        (frame(k=[1]), ["j"], "'j' missing"),
        (frame(k=[1]), [], "no keys"),
    ],
    ids=["duplicate", "null", "missing", "none"],
)
def test_a_merge_with_bad_keys_is_refused_and_leaves_the_table(
    engine: Any, table: Table, source: pa.Table, keys: list[str], message: str
) -> None:
    engine.overwrite(table, frame(k=[9]))
    with pytest.raises(MergeKeyError, match=message):
        engine.merge(table, source, keys)
    assert rows(engine, table) == [{"k": 9}]


@pytest.mark.parametrize("write", ["append", "overwrite", "merge"])
def test_a_repeated_transaction_writes_nothing(engine: Any, table: Table, write: str) -> None:
    def do(data: pa.Table, number: int) -> Any:
        extra = (["k"],) if write == "merge" else ()
        return getattr(engine, write)(table, data, *extra, Transaction("a pipe", number))

    do(frame(k=[1]), 1)
    do(frame(k=[2]), 2)
    before = rows(engine, table)
    again = do(frame(k=[3]), 2)
    earlier = do(frame(k=[4]), 1)
    assert again.skipped
    assert earlier.skipped
    assert rows(engine, table) == before
    assert not do(frame(k=[5]), 3).skipped


def test_transactions_of_two_writers_do_not_mix(engine: Any, table: Table) -> None:
    engine.append(table, frame(k=[1]), Transaction("a", 5))
    assert not engine.append(table, frame(k=[2]), Transaction("b", 1)).skipped


def test_a_narrower_type_fits_and_a_wider_one_is_refused(engine: Any, table: Table) -> None:
    engine.overwrite(table, pa.table({"n": pa.array([1], pa.int64())}))
    engine.append(table, pa.table({"n": pa.array([2], pa.int32())}))
    with pytest.raises(SchemaError, match="'n' is bigint in the table and string in the frame"):
        engine.append(table, frame(n=["x"]))
    assert rows(engine, table) == [{"n": 1}, {"n": 2}]


def test_policy_fail_refuses_a_new_column_before_anything_is_written(engine: Any, table: Table) -> None:
    table = dataclasses.replace(table, schema_policy="fail")
    engine.overwrite(table, frame(n=[1]))
    for write in (engine.append, engine.overwrite):
        with pytest.raises(SchemaError, match="m bigint added"):
            write(table, frame(n=[2], m=[3]))
    assert rows(engine, table) == [{"n": 1}]


def test_versions_of_many_tables_come_at_once_with_the_error_of_each(engine: Any, table: Table) -> None:
    other = dataclasses.replace(table, entity_id="test.none", location=table.location + "-none")
    engine.append(table, frame(n=[1]))
    engine.append(table, frame(n=[1]))
    found = engine.versions([table, other])
    assert found["test.t"] == 1
    assert isinstance(found["test.none"], EntityNotFoundError)


def test_reading_what_is_not_there_is_an_error(engine: Any, table: Table) -> None:
    with pytest.raises(EntityNotFoundError, match="does not exist"):
        engine.read(table)
    engine.append(table, frame(n=[1]))
    with pytest.raises(EntityNotFoundError, match="no version 7; the newest is 0"):
        engine.read(table, version=7)


def test_ensure_makes_an_empty_table_once(engine: Any, table: Table) -> None:
    schema = pa.schema({"n": pa.int32(), "s": pa.string()})
    assert engine.ensure(table, schema)
    assert not engine.ensure(table, schema)
    assert engine.schema(table).equals(schema)
    assert rows(engine, table) == []


def test_changes_since_a_version_tell_what_happened_to_each_row(engine: Any, table: Table) -> None:
    table = dataclasses.replace(table, properties={"delta.enableChangeDataFeed": "true"})
    engine.append(table, frame(k=[1, 2], v=["a", "b"]))
    engine.merge(table, frame(k=[2, 3], v=["B", "c"]), ["k"])
    engine.append(table, frame(k=[4], v=["d"]))
    changes = engine.to_reader(engine.read_changes(table, 0, 1)).read_all().to_pylist()
    assert Counter((row["k"], row["v"], row["_change_type"], row["_commit_version"]) for row in changes) == Counter(
        [(2, "b", "update_preimage", 1), (2, "B", "update_postimage", 1), (3, "c", "insert", 1)]
    )


def test_changes_of_a_table_that_records_none_are_refused(engine: Any, table: Table) -> None:
    engine.append(table, frame(k=[1]))
    engine.append(table, frame(k=[2]))
    with pytest.raises(UnsupportedError, match="enableChangeDataFeed"):
        engine.read_changes(table, 0, 1)


def test_names_that_need_quoting_work_everywhere(engine: Any, table: Table) -> None:
    named = {"a.b": [1], "select": ["x"], "ü-y": [True]}
    engine.overwrite(table, pa.table(named))
    engine.merge(table, pa.table(named), ["a.b", "select"])
    assert rows(engine, table) == [{"a.b": 1, "select": "x", "ü-y": True}]
