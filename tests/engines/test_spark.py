"""What only Spark has: processes that race, sessions without Delta Lake, tables of the other engine."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.errors import UnsupportedError
from kindling_entities.protocols import Table, Transaction

KIND = os.environ.get("KINDLING_TEST_ENGINE", "embedded")
pytestmark = pytest.mark.skipif(KIND == "embedded", reason="is about Spark; runs with KINDLING_TEST_ENGINE=spark")

MERGING = """
import sys, pyarrow as pa
from kindling_entities.engines.spark import SparkEngine
from kindling_entities.protocols import Table

conf = {"spark.sql.shuffle.partitions": "2", "spark.driver.memory": "1g"}
engine = SparkEngine(master="local[1]", conf=conf)
table = Table("test.t", sys.argv[1])
engine.read(table).count()
print("ready", flush=True)
sys.stdin.readline()
for turn in range(3):
    engine.merge(table, pa.table({"k": [1, int(sys.argv[2])], "n": [turn, turn]}), ["k"])
"""


def rows(engine: Any, table: Table) -> list[dict[str, Any]]:
    return sorted(engine.to_reader(engine.read(table)).read_all().to_pylist(), key=str)


def test_each_engine_reads_what_the_other_wrote(engine: Any, table: Table) -> None:
    write_deltalake(table.location, pa.table({"k": [1], "day": ["a"]}), partition_by=["day"])
    engine.merge(table, pa.table({"k": [1, 2], "day": ["a", "b"]}), ["k"])
    engine.append(table, pa.table({"k": [3], "day": [None]}, schema=pa.schema({"k": pa.int64(), "day": pa.string()})))
    read = DeltaTable(table.location)
    assert sorted(read.to_pyarrow_table()["k"].to_pylist()) == [1, 2, 3]
    assert read.version() == 2


def test_timestamps_are_written_as_microseconds_which_every_engine_reads(engine: Any, table: Table) -> None:
    far = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.timezone.utc)
    engine.append(table, pa.table({"k": [1], "at": pa.array([far], pa.timestamp("us", "UTC"))}))
    engine.merge(table, pa.table({"k": [2], "at": pa.array([far], pa.timestamp("us", "UTC"))}), ["k"])
    for file in Path(table.location).glob("*.parquet"):
        column = pq.ParquetFile(file).schema.column(1)
        assert (column.path, column.physical_type) == ("at", "INT64")
    assert DeltaTable(table.location).to_pyarrow_table()["at"].to_pylist() == [far, far]


def test_the_embedded_engine_refuses_to_write_a_table_that_spark_clusters(engine: Any, table: Table) -> None:
    from kindling_entities.engines.embedded import EmbeddedEngine

    engine.append(replace(table, cluster_columns=("k",)), pa.table({"k": [1]}))
    for write in (EmbeddedEngine().append, EmbeddedEngine().overwrite):
        with pytest.raises(UnsupportedError, match=r'features of Delta Lake.*engine = "spark"'):
            write(table, pa.table({"k": [2]}))
    assert [row["k"] for row in rows(engine, table)] == [1]


def test_a_transaction_of_the_other_engine_is_known(engine: Any, table: Table) -> None:
    from kindling_entities.engines.embedded import EmbeddedEngine

    EmbeddedEngine().append(table, pa.table({"k": [1]}), Transaction("a pipe", 7))
    assert engine.append(table, pa.table({"k": [2]}), Transaction("a pipe", 7)).skipped
    assert engine.merge(table, pa.table({"k": [2]}), ["k"], Transaction("a pipe", 6)).skipped
    engine.append(table, pa.table({"k": [3]}), Transaction("a pipe", 8))
    assert EmbeddedEngine().append(table, pa.table({"k": [4]}), Transaction("a pipe", 8)).skipped


def test_merges_of_several_threads_keep_their_own_transactions(engine: Any, tmp_path: Path) -> None:
    tables = [Table(f"test.t{number}", str(tmp_path / str(number))) for number in range(4)]
    for one in tables:
        engine.overwrite(one, pa.table({"k": [0]}))
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            first = engine.merge(tables[number], pa.table({"k": [1]}), ["k"], Transaction(f"pipe {number}", 1))
            plain = engine.append(tables[number], pa.table({"k": [2]}))
            again = engine.merge(tables[number], pa.table({"k": [9]}), ["k"], Transaction(f"pipe {number}", 1))
            assert (first.skipped, plain.skipped, again.skipped) == (False, False, True)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert failures == []
    assert [rows(engine, one) for one in tables] == [[{"k": 0}, {"k": 1}, {"k": 2}]] * 4


@pytest.mark.skipif(KIND != "spark", reason="starts sessions of its own; once is enough")
def test_merges_of_two_processes_lose_no_update(engine: Any, table: Table) -> None:
    engine.overwrite(table, pa.table({"k": [0], "n": [0]}))
    environment = {key: value for key, value in os.environ.items() if key != "SPARK_CONNECT_MODE_ENABLED"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(MERGING), table.location, str(key)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        for key in (10, 20)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait(180) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert [(row["k"], row["n"]) for row in rows(engine, table)] == [(0, 0), (1, 2), (10, 2), (20, 2)]
    assert engine.describe(table).version == 6


@pytest.mark.skipif(KIND != "spark", reason="starts sessions of its own; once is enough")
def test_a_running_session_without_delta_is_an_error_that_says_so(tmp_path: Path) -> None:
    program = """
    import sys, pyarrow as pa
    from pyspark.sql import SparkSession
    SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    from kindling_entities.engines.spark import SparkEngine
    from kindling_entities.protocols import Table
    from kindling_entities.errors import EngineError
    try:
        SparkEngine().append(Table("test.t", sys.argv[1]), pa.table({"k": [1]}))
    except EngineError as error:
        print(error)
    """
    environment = {key: value for key, value in os.environ.items() if key != "SPARK_CONNECT_MODE_ENABLED"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "t")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert "The running Spark session has no Delta Lake" in done.stdout, done.stderr[-2000:]
    assert not (tmp_path / "t").exists()


def test_no_java_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from kindling_entities.engines.spark._session import build_session
    from kindling_entities.errors import EngineError

    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(EngineError, match="needs Java 17 or newer.*JAVA_HOME"):
        build_session("local[1]", None, {}, "test")


def test_nan_that_the_other_engine_wrote_is_found_by_filters(engine: Any, table: Table) -> None:
    from kindling_entities.engines.embedded import EmbeddedEngine

    other = EmbeddedEngine()
    given = pa.table({"id": [1, 2, 3], "f": [7.0, 7.0, float("nan")]})
    other.append(table, given)
    for act in (
        lambda: other.merge(table, given, ["id"]),
        lambda: other.maintain(table, MaintenancePolicy(order_by=("id",)), dry_run=False),
    ):
        frame = engine.read(table)
        assert [frame.filter(condition).count() for condition in ("f > 8", "isnan(f)", "f < 8")] == [1, 1, 2]
        assert str(frame.selectExpr("max(f)").collect()[0][0]) == "nan"
        act()
    assert engine.read(table).filter("f > 8").count() == 1
