"""What a caller wants of a commit, and what the log tells of it again: metadata, transactions, no commit of no rows."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core.signals import BlinkerSignalProvider
from kindling_entities import (
    Commit,
    CommitOptions,
    DataEntityManager,
    EntityNotFoundError,
    EntityStore,
    TransactionsDisagree,
    UnsupportedError,
    expect_or_drop,
    expect_or_quarantine,
)
from kindling_entities.protocols import Table, Transaction

ROWS = pa.table({"k": [1, 2], "v": ["a", "b"]})
NONE = ROWS.slice(0, 0)
SKIP = CommitOptions(skip_empty=True)
WHERE = CommitOptions({"kindling.watermark": "[3, 7]", "größe": 'a "quoted" text\n'})


@pytest.fixture
def store(engine: Any, tmp_path: Path) -> EntityStore:
    return EntityStore(DataEntityManager(BlinkerSignalProvider(strict=True)), engine, "lake", tmp_path)


Write = Callable[..., Commit]


def append(engine: Any, table: Table, rows: Any, **options: Any) -> Commit:
    return engine.append(table, rows, **options)


def overwrite(engine: Any, table: Table, rows: Any, **options: Any) -> Commit:
    return engine.overwrite(table, rows, **options)


def partitions(engine: Any, table: Table, rows: Any, **options: Any) -> Commit:
    return engine.overwrite(
        Table(table.entity_id, table.location, partition_columns=("k",)), rows, scope="partitions", **options
    )


def merge(engine: Any, table: Table, rows: Any, **options: Any) -> Commit:
    return engine.merge(table, rows, ["k"], **options)


WRITES = pytest.mark.parametrize("write", [append, overwrite, partitions, merge])


@WRITES
def test_metadata_is_kept_in_the_commit_and_read_again(engine: Any, table: Table, write: Write) -> None:
    begun = dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=1)
    write(engine, table, ROWS, transaction=Transaction("p", 3), options=WHERE)
    write(engine, table, ROWS)
    write(engine, table, ROWS, options=CommitOptions({"a": "b"}))
    first, second, third = engine.commits(table)
    assert [one.version for one in (first, second, third)] == [0, 1, 2]
    assert [dict(one.metadata) for one in (first, second, third)] == [dict(WHERE.metadata), {}, {"a": "b"}]
    assert [one.transactions for one in (first, second, third)] == [(Transaction("p", 3),), (), ()]
    assert first.timestamp is not None
    assert begun < first.timestamp <= dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=1)
    assert third.operation
    assert [one.version for one in engine.commits(table, 0)] == [1, 2]
    assert list(engine.commits(table, 2)) == []


def test_commits_tell_their_rows(engine: Any, table: Table) -> None:
    engine.append(table, ROWS)
    engine.merge(table, pa.table({"k": [2, 3, 4], "v": ["x", "y", "z"]}), ["k"])
    engine.delete(table, "k = 1")
    added, merged, deleted = engine.commits(table)
    assert (added.rows_written, added.rows_inserted) == (2, None)
    assert (merged.rows_written, merged.rows_inserted, merged.rows_updated, merged.rows_deleted) == (None, 2, 1, 0)
    assert deleted.rows_deleted == 1
    assert added.figures


def test_commits_of_what_is_not_there_are_an_error(engine: Any, table: Table) -> None:
    with pytest.raises(EntityNotFoundError):
        engine.commits(table)


def test_a_text_of_another_writer_is_kept_as_it_is(engine: Any, table: Table) -> None:
    from deltalake import CommitProperties, write_deltalake

    engine.append(table, ROWS)
    other = CommitProperties(custom_metadata={"team": "blue", "userMetadata": "by hand"})
    write_deltalake(table.location, ROWS, mode="append", commit_properties=other)
    assert dict(engine.commits(table, 0)[0].metadata) == {"team": "blue", "userMetadata": "by hand"}


OTHER = """
import sys, pyarrow as pa
from kindling_entities.protocols import CommitOptions, Table, Transaction
if sys.argv[2] == "embedded":
    from kindling_entities.engines.embedded import EmbeddedEngine as Engine
    engine = Engine()
else:
    from kindling_entities.engines.spark import SparkEngine
    engine = SparkEngine(master="local[2]", conf={"spark.sql.shuffle.partitions": "2"})
table = Table("t.t", sys.argv[1])
engine.append(table, pa.table({"k": [9]}), Transaction("other", 1), options=CommitOptions({"from": sys.argv[2]}))
"""


def test_what_the_other_engine_committed_is_read_alike(engine: Any, table: Table) -> None:
    other = "spark" if engine.name == "embedded" else "embedded"
    if other == "spark":
        pytest.skip("starts Spark; the embedded engine is read when this runs on Spark, and the log by both alike")
    engine.append(table, pa.table({"k": [1]}), Transaction("mine", 1), options=CommitOptions({"from": "spark"}))
    subprocess.run([sys.executable, "-c", OTHER, table.location, other], check=True, timeout=120)
    assert [(dict(one.metadata), one.transactions, one.rows_written) for one in engine.commits(table)] == [
        ({"from": "spark"}, (Transaction("mine", 1),), 1),
        ({"from": "embedded"}, (Transaction("other", 1),), 1),
    ]


@WRITES
def test_no_rows_make_no_commit_where_that_is_asked_for(engine: Any, table: Table, write: Write) -> None:
    nothing = write(engine, table, NONE, options=SKIP)
    assert (nothing.empty, nothing.version, nothing.rows_written, nothing.created) == (True, None, 0, False)
    assert not engine.exists(table)
    write(engine, table, ROWS, options=SKIP)
    for none in (NONE, engine.from_arrow(ROWS).where("k > 9"), NONE.to_reader()):
        nothing = write(engine, table, none, options=SKIP)
        assert (nothing.empty, nothing.version, nothing.old_version, nothing.rows_written) == (True, 0, 0, 0)
    assert engine.versions([table])[table.entity_id] == 0
    assert engine.read(table).count() == 2
    some = write(engine, table, engine.from_arrow(ROWS).where("k = 2"), options=SKIP)
    assert (some.empty, some.version) == (False, 1)


def test_the_first_batch_decides_and_nothing_is_computed_twice(engine: Any, table: Table) -> None:
    if not engine.streams:
        pytest.skip("rows do not stream")
    made: list[int] = []

    def batches() -> Any:
        for number in range(4):
            made.append(number)
            yield pa.record_batch({"k": pa.array([number] if number > 1 else [], pa.int64())})

    reader = pa.RecordBatchReader.from_batches(pa.schema({"k": pa.int64()}), batches())
    assert engine.append(table, reader, options=SKIP).rows_written == 2
    assert made == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "declared",
    [
        {"keys": ["k"], "sequence_by": "at", "write_mode": "merge"},
        {"keys": ["k"], "scd": 2},
        {"keys": ["k"], "write_mode": "merge", "missing_rows": "delete"},
        {"provider": "memory"},
        {"provider": "parquet"},
        {"expectations": [expect_or_drop("k", "k > 0")]},
        {"expectations": [expect_or_quarantine("k", "k > 0")]},
    ],
    ids=["newest", "history", "snapshot", "memory", "parquet", "drop", "quarantine"],
)
def test_entities_of_each_kind_take_no_rows(store: EntityStore, declared: dict[str, Any]) -> None:
    store.manager.register_entity("t.e", **declared)
    rows = pa.table({"k": [1, 2], "at": [1, 1]})
    heard: list[str] = []
    provider = BlinkerSignalProvider()
    store.manager.set_signal_provider(provider)
    provider.on("entity.version_updated", lambda sender, signal_name, **fields: heard.append(signal_name))
    for none in (rows.slice(0, 0), store.engine.from_arrow(rows).where("k > 9")):
        assert store.write("t.e", none, None, None, SKIP).empty
    assert not store.check_entity_exists("t.e")
    store.write("t.e", rows, None, None, SKIP)
    version = store.get_entity_version("t.e")
    for none in (rows.slice(0, 0), store.engine.from_arrow(rows).where("k > 9")):
        nothing = store.write("t.e", none, None, None, SKIP)
        assert (nothing.empty, nothing.version, nothing.rows_written) == (True, version, 0)
    assert heard == ["entity.version_updated"] or declared.get("provider") == "parquet"
    assert store.get_entity_version("t.e") == version


def test_rows_that_all_go_to_the_quarantine_leave_the_table_alone(store: EntityStore) -> None:
    store.manager.register_entity("t.e", expectations=[expect_or_quarantine("k", "k > 0")])
    store.write("t.e", pa.table({"k": [1, -1]}), None)
    before = store.get_entity_version("t.e__quarantine")
    assert store.write("t.e", pa.table({"k": pa.array([], pa.int64())}), None, None, SKIP).empty
    assert store.get_entity_version("t.e__quarantine") == before
    bad = store.write("t.e", pa.table({"k": [-2]}), None, None, SKIP)
    assert (bad.empty, bad.version, [one.rows_failed for one in bad.expectations]) == (True, 0, [1])
    assert [row["k"] for row in store.read_entity("t.e__quarantine").collect()] == [-2]


def test_several_transactions_are_one_commit_or_refused_by_name(engine: Any, table: Table) -> None:
    both = CommitOptions(transactions=(Transaction("b", 2),))
    if not engine.several_transactions:
        with pytest.raises(UnsupportedError, match=r"one transaction id, and 2 were given \(a, b\)"):
            engine.append(table, ROWS, Transaction("a", 1), options=both)
        assert not engine.exists(table)
        return
    for write in (append, overwrite, merge):
        write(engine, table, ROWS, transaction=Transaction(f"a {write.__name__}", 1), options=both)
        both = CommitOptions(transactions=(Transaction("b", both.transactions[0].version + 1),))
    assert [tuple(sorted(one.version for one in found.transactions)) for found in engine.commits(table)] == [
        (1, 2),
        (1, 3),
        (1, 4),
    ]
    before = engine.versions([table])
    last = CommitOptions(transactions=(Transaction("b", 4),))
    assert merge(engine, table, ROWS, transaction=Transaction("a merge", 1), options=last).skipped
    with pytest.raises(TransactionsDisagree, match="a merge 1 and not b 5"):
        merge(engine, table, ROWS, transaction=Transaction("a merge", 1), options=both)
    assert engine.versions([table]) == before


def test_storage_without_a_log_refuses_by_name(store: EntityStore) -> None:
    store.manager.register_entity("t.files", provider="parquet")
    with pytest.raises(UnsupportedError, match="'parquet' cannot commit with metadata, transactions"):
        store.write("t.files", ROWS, None, None, CommitOptions({"a": "b"}, (Transaction("a", 1),)))
    with pytest.raises(UnsupportedError, match="'parquet' keeps no log of its commits"):
        store.commits("t.files")


def test_memory_tells_of_its_commits_and_of_its_identity(store: EntityStore, engine: Any, tmp_path: Path) -> None:
    store.manager.register_entity("t.m", provider="memory")
    assert store.describe("t.m") is None
    store.write("t.m", ROWS, None, Transaction("p", 1), WHERE)
    store.append_to_entity("t.m", ROWS)
    first, second = store.commits("t.m")
    assert (dict(first.metadata), first.transactions, first.rows_written) == (
        dict(WHERE.metadata),
        (Transaction("p", 1),),
        2,
    )
    assert [one.version for one in store.commits("t.m", 0)] == [1] == [second.version]
    mine = store.describe("t.m")
    other = EntityStore(store.manager, engine, "lake", tmp_path)
    other.write("t.m", ROWS, None)
    theirs = other.describe("t.m")
    assert mine is not None
    assert theirs is not None
    assert mine.table_id == store.describe("t.m").table_id
    assert len({mine.table_id, theirs.table_id, ""}) == 3


def test_metadata_is_texts() -> None:
    with pytest.raises(TypeError, match="'n': 1"):
        CommitOptions({"n": 1})  # type: ignore[dict-item]
