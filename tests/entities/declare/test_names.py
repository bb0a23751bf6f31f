"""Names of columns in declarations, expectations and quarantines, and in tables that live in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kindling_core import App
from kindling_entities import (
    Entities,
    EntityDefinitionError,
    EntityStore,
    SchemaError,
    UnsupportedError,
    not_null,
    unique,
)

NAMES = ["count", "a.b", "t.id", " id", "a`b", "``x", "__seq", "Valid_From", "../x", "a\tb", "a\nb", ".x", "[0]"]


def composed(root: Path, entities: Entities) -> App:
    app = App(["entities"], {"entities": {"root": str(root)}}, environ={})
    app.mount(entities)
    return app


def rows(app: App, entity_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = app.service(EntityStore).read_entity(entity_id).toArrow().to_pylist()
    return sorted(found, key=str)


@pytest.mark.parametrize("name", NAMES)
def test_expectations_and_a_quarantine_take_a_column_of_any_name(tmp_path: Path, name: str) -> None:
    entities = Entities()
    entities.entity(
        "test.t", keys=[name], write_mode="merge", expectations=[unique(name), not_null("v", action="quarantine")]
    )
    entities.entity("test.memory", keys=[name], write_mode="merge", provider="memory")
    with composed(tmp_path, entities) as app:
        store = app.service(EntityStore)

        def write(entity_id: str, *values: tuple[str, int | None]) -> None:
            columns = [pa.array([key for key, _ in values]), pa.array([v for _, v in values], pa.int64())]
            store.write(entity_id, pa.table(columns, names=[name, "v"]), None)

        for entity_id in ("test.t", "test.memory"):
            write(entity_id, ("a", 1), ("b", 2))
            write(entity_id, ("b", 3), ("c", 4))
            assert rows(app, entity_id) == [{name: "a", "v": 1}, {name: "b", "v": 3}, {name: "c", "v": 4}]
        write("test.t", ("d", None), ("e", 5))
        assert [row[name] for row in rows(app, "test.t")] == ["a", "b", "c", "e"]
        assert [row[name] for row in rows(app, "test.t__quarantine")] == ["d"]


def test_a_table_in_memory_refuses_a_column_in_other_case(tmp_path: Path) -> None:
    entities = Entities()
    entities.entity("test.m", provider="memory", write_mode="append")
    with composed(tmp_path, entities) as app:
        store = app.service(EntityStore)
        store.write("test.m", pa.table({"id": [1]}), None)
        with pytest.raises(SchemaError, match="'ID'.*'id' in the table"):
            store.write("test.m", pa.table({"ID": [1]}), None)


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ({"columns": {"id": "int", "ID": "int"}}, "'id' and 'ID'"),
        ({"keys": ["id", "ID"]}, "keys names a column twice"),
        ({"columns": {"id": "int"}, "keys": ["ID"]}, "'ID' is not one of its columns"),
        ({"columns": {"": "int"}}, "not empty"),
        ({"keys": [""]}, "not empty"),
        ({"partition_columns": ["../x"]}, r"'\.\./x'.*folder"),
        ({"partition_columns": ["a\nb"]}, "folder"),
    ],
    ids=range(7),
)
def test_a_name_that_cannot_work_is_refused_where_it_is_declared(declaration: dict[str, Any], message: str) -> None:
    with pytest.raises(EntityDefinitionError, match=f"test_names:.*test.t.*{message}"):
        Entities().entity("test.t", **declaration)


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_file_with_names_that_differ_by_case_alone_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"data.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"id": [1], "ID": [2]}), path)
    else:
        path.write_text("id,ID\n1,2\n" if kind == "csv" else '{"id": 1, "ID": 2}\n')
    entities = Entities()
    entities.source("test.s", path=path, provider=kind)
    with (
        composed(tmp_path, entities) as app,
        pytest.raises(SchemaError, match=rf"'test\.s' at .*data\.{kind}.*'id' and 'ID'"),
    ):
        app.service(EntityStore).read_entity("test.s").toArrow()


def test_a_column_that_delta_rs_cannot_order_by_is_refused(tmp_path: Path) -> None:
    entities = Entities()
    entities.entity("test.t", maintenance={"order_by": ["a.b"]})
    with composed(tmp_path, entities) as app:
        store = app.service(EntityStore)
        store.write("test.t", pa.table({"a.b": [1]}), None)
        with pytest.raises(UnsupportedError, match=r"'test\.t'.*'a\.b'.*order"):
            store.tables.maintain("test.t", dry_run=False)
