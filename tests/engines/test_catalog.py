"""Tables by name in a catalog: the session's own, and a real Hive metastore."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core import App, ConfigError
from kindling_entities import DataEntityManager, Entities, EntityStore, Transaction, UnsupportedError, unique
from kindling_entities.declare.catalog import Catalog
from kindling_entities.errors import EngineError

KIND = os.environ.get("KINDLING_TEST_ENGINE", "embedded")
NUMBERS = pa.table({"n": [1, 2], "kind": ["odd", "even"]})
on_spark = pytest.mark.skipif(KIND == "embedded", reason="the embedded engine knows no catalogs")


def test_an_entity_is_catalog_schema_and_table() -> None:
    catalog = Catalog("main", {"silver": "sales_silver"})
    assert catalog.table_name("gold.delays") == ("main", "gold", "delays")
    assert catalog.table_name("silver.flights") == ("main", "sales_silver", "flights")
    assert catalog.table_name("flights") == ("main", "default", "flights")
    assert catalog.table_name("silver.eu.flights") == ("main", "sales_silver", "eu_flights")


@pytest.mark.parametrize("ids", [("a.b.c", "a.b_c"), ("a.T", "a.t")])
def test_two_entities_of_one_table_are_refused(ids: tuple[str, str]) -> None:
    manager = DataEntityManager()
    for entity_id in ids:
        manager.register_entity(entity_id)
    with pytest.raises(ConfigError, match=f"{ids[0]!r} and {ids[1]!r} would both be the table main"):
        Catalog("main").check(map(manager.get_entity_definition, ids))


@pytest.mark.skipif(KIND != "embedded", reason="asked of the embedded engine")
def test_the_embedded_engine_refuses_a_catalog_and_auto_does_without(tmp_path: Path) -> None:
    entities = Entities()
    entities.entity("a.b")
    with pytest.raises(ConfigError, match=r"knows no catalogs; set engine to 'spark' or 'auto'"):
        App(["entities"], {"entities": {"catalog": "main"}}, environ={}).mount(entities)
    with App(
        ["entities"], {"entities": {"engine": "auto", "catalog": "main", "root": str(tmp_path)}}, environ={}
    ) as app:
        app.mount(entities)
        assert app.service(EntityStore).location("a.b") == str(tmp_path / "a" / "b")


@pytest.fixture
def store(engine: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EntityStore]:
    # Names outlive a test, and the session's catalog is one for all.
    schema = request.node.name.partition("[")[0][-40:]
    yield EntityStore(DataEntityManager(), engine, "lake", tmp_path, catalog=Catalog("spark_catalog", {"t": schema}))
    engine.session.sql(f"drop schema if exists spark_catalog.{schema} cascade").collect()


def rows(store: EntityStore, entity_id: str) -> list[Any]:
    found = store.engine.to_reader(store.read_entity(entity_id)).read_all().to_pylist()
    return sorted(tuple(row.values()) for row in found)


@on_spark
def test_tables_are_made_in_their_schema_and_written_in_every_mode(store: EntityStore, tmp_path: Path) -> None:
    manager = store.manager
    manager.register_entity("t.n", keys=["n"], properties={"delta.enableChangeDataFeed": "true"})
    assert store.location("t.n").startswith("spark_catalog.")
    assert not store.check_entity_exists("t.n")
    first = store.write_to_entity("t.n", NUMBERS)
    assert (first.created, first.version, first.rows_written) == (True, 0, 2)
    appended = store.append_to_entity("t.n", pa.table({"n": [3], "kind": ["odd"]}), transaction=Transaction("p", 1))
    assert (appended.rows_written, appended.version, appended.old_version) == (1, 1, 0)
    assert store.append_to_entity("t.n", NUMBERS, transaction=Transaction("p", 1)).skipped
    merged = store.merge_to_entity("t.n", pa.table({"n": [3, 4], "kind": ["three", "four"]}))
    assert (merged.rows_inserted, merged.rows_updated) == (1, 1)
    assert rows(store, "t.n") == [(1, "odd"), (2, "even"), (3, "three"), (4, "four")]
    assert store.engine.to_reader(store.read_entity("t.n", version=0)).read_all().num_rows == 2
    assert {row["_change_type"] for row in store.read_entity("t.n", start_version=1).collect()} >= {"insert"}
    assert store.get_entity_versions(["t.n"]) == {"t.n": 2}
    info = store.tables.describe("t.n")
    assert info is not None
    assert info.schema.names == ["n", "kind"]
    assert not (tmp_path / "lake").exists()


@on_spark
def test_partitions_properties_and_schema_changes_of_named_tables(store: EntityStore, engine: Any) -> None:
    store.manager.register_entity(
        "t.p",
        partition_columns=["kind"],
        overwrite_scope="partitions",
        properties={"delta.enableChangeDataFeed": "true"},
    )
    store.manager.register_entity("t.whole", partition_columns=["kind"], properties={"delta.appendOnly": "false"})
    for name in ("t.p", "t.whole"):
        store.write_to_entity(name, NUMBERS)
    replaced = store.write_to_entity("t.p", pa.table({"n": [5, 7], "kind": ["odd", "odd"]}))
    assert replaced.rows_written == 2
    assert rows(store, "t.p") == [(2, "even"), (5, "odd"), (7, "odd")]
    changed = store.write_to_entity("t.whole", NUMBERS.append_column("more", pa.array([1, 2])))
    assert changed.schema_change is not None
    assert changed.schema_change.added == {"more": "bigint"}
    store.append_to_entity("t.p", pa.table({"n": [9], "kind": ["odd"], "more": [1]}))
    assert sorted(row["n"] for row in store.read_entity("t.p").collect()) == [2, 5, 7, 9]
    for name, key in (("t.p", "delta.enableChangeDataFeed"), ("t.whole", "delta.appendOnly")):
        info = store.tables.describe(name)
        assert info is not None
        assert info.partition_columns == ("kind",)
        assert key in info.properties


@on_spark
def test_a_path_is_where_the_files_of_a_named_table_lie(store: EntityStore, tmp_path: Path) -> None:
    store.manager.register_entity("t.made", path=str(tmp_path / "made"))
    store.manager.register_entity("t.ensured", path=str(tmp_path / "ensured"), columns={"n": "bigint"})
    store.write_to_entity("t.made", NUMBERS)
    store.ensure_entity_table("t.ensured")
    for name in ("made", "ensured"):
        assert (tmp_path / name / "_delta_log").is_dir()
        assert store.check_entity_exists(f"t.{name}")


@on_spark
def test_expectations_upkeep_and_drift_know_named_tables(store: EntityStore) -> None:
    store.manager.register_entity(
        "t.n",
        columns={"n": "bigint", "kind": "string", "more": "int"},
        expectations=[unique("n", action="quarantine")],
    )
    frame = NUMBERS.append_column("more", pa.array([1, 2], pa.int32()))
    store.write_to_entity("t.n", frame)
    assert not store.tables.drift("t.n")
    store.append_to_entity("t.n", frame.slice(0, 1))
    assert [row[0] for row in rows(store, "t.n__quarantine")] == [1]
    assert store.tables.maintain("t.n", dry_run=False).version >= 0
    assert len(rows(store, "t.n")) == 2


@on_spark
@pytest.mark.parametrize("named", [True, False])
def test_clustering_is_declared_kept_and_used(engine: Any, store: EntityStore, tmp_path: Path, named: bool) -> None:
    if not named:
        store = EntityStore(store.manager, engine, "lake", tmp_path)
    store.manager.register_entity("t.c", cluster_by=["kind"])
    first = store.write_to_entity("t.c", NUMBERS)
    assert (first.created, first.rows_written) == (True, 2)
    assert rows(store, "t.c") == [(1, "odd"), (2, "even")]
    store.write_to_entity("t.c", NUMBERS.append_column("more", pa.array([1, 2])))
    table = store.location("t.c") if named else f"delta.`{store.location('t.c')}`"
    detail = engine.session.sql(f"describe detail {table}").collect()[0]
    assert detail["clusteringColumns"] == ["kind"]
    assert store.tables.maintain("t.c", dry_run=False).version >= 0


@on_spark
def test_what_a_catalog_lacks_or_holds_already_is_told(engine: Any, store: EntityStore, tmp_path: Path) -> None:
    elsewhere = EntityStore(DataEntityManager(), engine, "lake", tmp_path, catalog=Catalog("nowhere"))
    elsewhere.manager.register_entity("t.n")
    for doing in (elsewhere.write_to_entity, lambda entity_id, frame: elsewhere.read_entity(entity_id)):
        with pytest.raises(EngineError, match=r"has no catalog 'nowhere'.*Correct entities\.catalog"):
            doing("t.n", NUMBERS)
    store.manager.register_entity("t.taken")
    name = store.location("t.taken")
    engine.session.sql(f"create schema if not exists {name.rpartition('.')[0]}").collect()
    engine.session.sql(f"create table {name} (n bigint) using parquet").collect()
    with pytest.raises(UnsupportedError, match="is in the catalog already, and is no Delta table"):
        store.write_to_entity("t.taken", NUMBERS)


METASTORE = """
import json, sys
import pyarrow as pa
from kindling_entities import DataEntityManager, EntityStore
from kindling_entities.declare.catalog import Catalog
from kindling_entities.engines.spark import SparkEngine

folder, uri, step = sys.argv[1:]
conf = {
    "spark.sql.catalogImplementation": "hive",
    "spark.sql.warehouse.dir": f"{folder}/warehouse",
    "spark.sql.shuffle.partitions": "2",
    "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder}/metastore;create=true",
    "spark.hadoop.datanucleus.schema.autoCreateAll": "true",
    "spark.hadoop.hive.metastore.schema.verification": "false",
    "spark.hadoop.hive.metastore.connect.retries": "0",
    "spark.hadoop.hive.metastore.client.connect.retry.delay": "0",
    "spark.hadoop.hive.metastore.failure.retries": "0",
    "spark.driver.extraJavaOptions": f"-Dderby.system.home={folder}",
}
if uri:
    conf["spark.hadoop.hive.metastore.uris"] = uri
store = EntityStore(
    DataEntityManager(), SparkEngine(master="local[2]", conf=conf), f"{folder}/lake", catalog=Catalog("spark_catalog")
)
store.manager.register_entity("gold.n", keys=["n"], write_mode="merge")
try:
    commit = store.write("gold.n", pa.table({"n": [int(step)]}), None)
    rows = sorted(row["n"] for row in store.read_entity("gold.n").collect())
    print(json.dumps({"version": commit.version, "rows": rows}))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""


@pytest.fixture
def in_a_process(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(uri: str, step: int) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(METASTORE), str(tmp_path), uri, str(step)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"KINDLING_TEST_ENGINE": "spark"},
        )
        assert done.stdout, done.stderr[-3000:]
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    return run


@pytest.mark.slow
def test_a_hive_metastore_keeps_tables_between_processes(in_a_process: Callable[..., dict[str, Any]]) -> None:
    assert in_a_process("", 1) == {"version": 0, "rows": [1]}
    assert in_a_process("", 2) == {"version": 1, "rows": [1, 2]}


@pytest.mark.slow
def test_a_metastore_that_cannot_be_reached_is_told(
    in_a_process: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    told = in_a_process("thrift://127.0.0.1:9", 1)
    assert told["error"] == "CatalogError"
    assert "the catalog refused spark_catalog.gold.n" in told["message"]
    assert not (tmp_path / "warehouse").exists() or not list((tmp_path / "warehouse").iterdir())
