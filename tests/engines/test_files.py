"""Files of others, on every engine: folders as columns, odd types of parquet, bad rows, outputs that read back."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kindling_core import App, Pipes
from kindling_entities import DataEntityManager, Entities, EntityStore
from kindling_entities.protocols import Engine


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> EntityStore:
    return EntityStore(DataEntityManager(), engine, "lake", tmp_path)


def rows(store: EntityStore, entity_id: str, **how: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.engine.to_reader(store.read_entity(entity_id, **how)).read_all().to_pylist()
    return sorted(found, key=repr)


@pytest.mark.parametrize("provider", ["csv", "json", "parquet"])
def test_folders_are_columns(store: EntityStore, tmp_path: Path, provider: str) -> None:
    for day, n in (("2024-05-01", 1), ("2024-05-02", 2)):
        path = tmp_path / "in" / f"day={day}" / f"t.{provider}"
        path.parent.mkdir(parents=True)
        if provider == "parquet":
            pq.write_table(pa.table({"n": pa.array([n], pa.int32())}), path)
        else:
            path.write_text(f"n\n{n}\n" if provider == "csv" else f'{{"n": {n}}}\n')
    columns = {"n": "int", "day": "date"}
    store.manager.entity("raw.t", provider=provider, path="in", read_only=True, columns=columns)
    assert rows(store, "raw.t") == [{"n": n, "day": dt.date(2024, 5, n)} for n in (1, 2)]
    assert rows(store, "raw.t", columns=["day"]) == [{"day": dt.date(2024, 5, n)} for n in (1, 2)]
    store.manager.entity("raw.u", provider=provider, path="in", read_only=True)
    assert {row["day"] for row in rows(store, "raw.u")} == {"2024-05-01", "2024-05-02"}


def test_types_of_parquet_that_tables_lack_are_read(store: EntityStore, tmp_path: Path) -> None:
    table = pa.table(
        {
            "time": pa.array([1], pa.time64("us")),
            "ns": pa.array([1_577_880_000_000_001_000], pa.timestamp("ns")),
            "dictionary": pa.array(["x"]).dictionary_encode(),
            "date64": pa.array([dt.date(2020, 1, 1)], pa.date64()),
            "float16": pa.array([1.5], pa.float32()).cast(pa.float16()),
            "uint8": pa.array([255], pa.uint8()),
            "uint32": pa.array([2**32 - 1], pa.uint32()),
            "uint64": pa.array([2**64 - 1], pa.uint64()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    store.manager.entity("raw.t", provider="parquet", path="t.parquet", read_only=True)
    assert rows(store, "raw.t") == [
        {
            "time": "00:00:00.000001",
            "ns": dt.datetime(2020, 1, 1, 12, 0, 0, 1),
            "dictionary": "x",
            "date64": dt.date(2020, 1, 1),
            "float16": 1.5,
            "uint8": 255,
            "uint32": 2**32 - 1,
            "uint64": Decimal(2**64 - 1),
        }
    ]


@pytest.mark.parametrize("provider", ["csv", "json"])
def test_outputs_read_back_as_they_were_written(store: EntityStore, provider: str) -> None:
    columns = {"id": "bigint", "code": "string", "price": "decimal(20,4)", "at": "timestamp", "raw": "binary"}
    table = pa.table(
        {
            "id": [1, 2],
            "code": ["00123", None],
            "price": pa.array([Decimal("1234567890123456.7890"), None], pa.decimal128(20, 4)),
            "at": pa.array([dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc), None], pa.timestamp("us", "UTC")),
            "raw": [b"\xff\0", None],
        }
    )
    store.manager.entity("silver.t", provider=provider, columns=columns)
    store.write_to_entity("silver.t", table)
    assert rows(store, "silver.t") == table.to_pylist()


def test_rows_that_do_not_parse_are_counted_and_put_aside_once(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,n\n1,10\n2\n3,abc\n4,40\n")
    entities, pipes = Entities(), Pipes()
    entities.source(
        "raw.t",
        path=tmp_path / "in.csv",
        columns={"id": "bigint", "n": "int"},
        on_bad_row="quarantine",
        on_bad_value="quarantine",
    )
    entities.entity("silver.t")
    pipes.pipe("silver.t", inputs={"frame": "raw.t"}, output="silver.t")(lambda frame: frame)
    settings = {"engine": engine.name, "root": str(tmp_path / "lake")}
    heard: list[tuple[str, str, int, int]] = []
    with App(["entities"], {"entities": settings}, environ={}) as app:
        app.mount(entities, pipes)
        app.signals.on(
            "entity.expectation_evaluated",
            lambda _, expectation, action, rows_passed, rows_failed, **__: heard.append(
                (expectation, action, rows_passed, rows_failed)
            ),
        )
        for _ in range(2):
            report = app.run()
        store = app.service(EntityStore)
        assert [row["id"] for row in rows(store, "silver.t")] == [1, 4]
        aside = [
            (row["file"], row["line"], row["raw"], row["_quarantine_reason"])
            for row in rows(store, "raw.t__quarantine")
        ]
    assert aside == [
        ("in.csv", 3, "2", "1 field in place of 2"),
        ("in.csv", 4, "3,abc", "'n': 'abc' is not an int"),
    ]
    assert sorted(heard) == 2 * [("rows parse", "quarantine", 3, 1)] + 2 * [("values parse", "quarantine", 2, 1)]
    told = report.pipes["silver.t"] if isinstance(report.pipes, dict) else report.pipes[0]
    assert told.note == "raw.t: rows parse: 1 quarantined; values parse: 1 quarantined"
    assert [one["rows_failed"] for one in told.details["sources"]["raw.t"]] == [1, 1]
