"""The store on the real engine and real files."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core.secrets import Redactor
from kindling_core.signals import BlinkerSignalProvider
from kindling_entities import (
    CorruptTableError,
    DataEntityManager,
    EntityError,
    EntityNotFoundError,
    EntityStore,
    MergeKeyError,
    SchemaError,
    Transaction,
    UnsupportedError,
)
from kindling_entities.engines.embedded import EmbeddedEngine


@pytest.fixture
def signals() -> Iterator[BlinkerSignalProvider]:
    provider = BlinkerSignalProvider(strict=True)
    yield provider
    provider.close()


@pytest.fixture
def store(engine: EmbeddedEngine, signals: BlinkerSignalProvider, tmp_path: Path) -> EntityStore:
    return EntityStore(DataEntityManager(signals), engine, "lake", tmp_path)


def rows(store: EntityStore, entity_id: str, **how: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.engine.to_reader(store.read_entity(entity_id, **how)).read_all().to_pylist()
    return sorted(found, key=repr)


TWO = pa.table({"id": [1, 2], "v": ["a", "b"]})


@pytest.mark.parametrize("provider", ["delta", "parquet", "csv", "json", "memory"])
def test_what_is_written_is_read_back(store: EntityStore, provider: str) -> None:
    store.manager.entity("silver.t", provider=provider, columns={"id": "bigint", "v": "string"})
    assert store.write_to_entity("silver.t", TWO).rows_written == 2
    assert rows(store, "silver.t") == TWO.to_pylist()


@pytest.mark.parametrize("provider", ["delta", "parquet", "csv", "json", "memory"])
def test_a_repeated_append_transaction_adds_nothing(store: EntityStore, provider: str) -> None:
    store.manager.entity("silver.t", provider=provider, write_mode="append")
    store.append_to_entity("silver.t", TWO, transaction=Transaction("p", 1))
    assert store.append_to_entity("silver.t", TWO, transaction=Transaction("p", 1)).skipped
    assert len(rows(store, "silver.t")) == 2


@pytest.mark.parametrize("provider", ["delta", "memory"])
def test_a_merge_sends_its_counts_under_one_operation_id(
    store: EntityStore, signals: BlinkerSignalProvider, provider: str
) -> None:
    store.manager.entity("silver.t", provider=provider, write_mode="merge", keys=["id"])
    store.merge_to_entity("silver.t", TWO)
    heard: list[tuple[str, dict[str, Any]]] = []
    signals.on("entity.*", lambda sender, signal_name, **fields: heard.append((signal_name, fields)))
    store.merge_to_entity("silver.t", pa.table({"id": [2, 3], "v": ["x", "c"]}))
    assert [name for name, _ in heard] == ["entity.before_merge", "entity.after_merge", "entity.version_updated"]
    assert len({fields["operation_id"] for _, fields in heard}) == 1
    assert (heard[1][1]["rows_inserted"], heard[1][1]["rows_updated"]) == (1, 1)
    with pytest.raises(MergeKeyError):
        store.merge_to_entity("silver.t", pa.table({"id": [2, 2], "v": ["x", "c"]}))
    assert heard[-1][0] == "entity.merge_failed"


def test_an_object_that_is_no_frame_is_named(store: EntityStore) -> None:
    store.manager.entity("silver.t")
    with pytest.raises(EntityError, match="dict"):
        store.write_to_entity("silver.t", {"a": 1})


def source(store: EntityStore, path: Path, **how: Any) -> None:
    store.manager.entity("raw.t", path=str(path), provider="csv", read_only=True, **how)


def test_na_becomes_null_and_undeclared_columns_are_text(store: EntityStore, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b,c\n1,NA,"x, ""y"""\nNA,2.5,NA\n')
    source(store, tmp_path / "t.csv", columns={"a": "int"}, options={"null_values": ["NA"]})
    assert rows(store, "raw.t") == [{"a": 1, "b": None, "c": 'x, "y"'}, {"a": None, "b": "2.5", "c": None}]


def test_latin_1_is_read_when_it_is_declared(store: EntityStore, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("a\nZürich\n".encode("latin-1"))
    source(store, tmp_path / "t.csv", options={"encoding": "latin-1"})
    assert rows(store, "raw.t") == [{"a": "Zürich"}]


def test_gzip_and_zip_members_are_read(store: EntityStore, tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a\n1\n"))
    source(store, tmp_path / "t.csv.gz")
    assert rows(store, "raw.t") == [{"a": "1"}]
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("x.csv", "a\n2\n")
    store.manager.entity("raw.z", path=str(tmp_path / "z.zip"), provider="csv", read_only=True)
    assert rows(store, "raw.z") == [{"a": "2"}]


def test_a_bad_row_fails_or_is_skipped_as_declared(store: EntityStore, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
    source(store, tmp_path / "t.csv")
    with pytest.raises(CorruptTableError, match=r"t\.csv"):
        store.read_entity("raw.t")
    store.manager.entity(
        "raw.s", path=str(tmp_path / "t.csv"), provider="csv", read_only=True, options={"on_bad_row": "skip"}
    )
    assert rows(store, "raw.s") == [{"a": "1", "b": "2"}]


def test_a_missing_and_an_empty_file_are_told_with_their_path(store: EntityStore, tmp_path: Path) -> None:
    source(store, tmp_path / "t.csv")
    with pytest.raises(EntityNotFoundError, match=r"t\.csv"):
        store.read_entity("raw.t")
    (tmp_path / "t.csv").touch()
    with pytest.raises(CorruptTableError, match="is empty"):
        store.read_entity("raw.t")


@pytest.mark.parametrize("where", ["parts", "parts/*.csv"])
def test_a_folder_and_a_glob_are_read_whole(store: EntityStore, tmp_path: Path, where: str) -> None:
    (tmp_path / "parts").mkdir()
    for n in (1, 2):
        (tmp_path / "parts" / f"{n}.csv").write_text(f"a\n{n}\n")
    source(store, tmp_path / where)
    assert rows(store, "raw.t") == [{"a": "1"}, {"a": "2"}]


def test_a_timestamp_without_offset_is_utc(store: EntityStore, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("t\n2013-01-01T05:00:00Z\n2013-01-01 05:00:00\n")
    source(store, tmp_path / "t.csv", columns={"t": "timestamp"})
    assert len({row["t"] for row in rows(store, "raw.t")}) == 1


def test_a_source_refuses_writes(store: EntityStore, tmp_path: Path) -> None:
    source(store, tmp_path / "t.csv")
    with pytest.raises(UnsupportedError, match="only read"):
        store.write_to_entity("raw.t", TWO)


def test_a_failed_write_leaves_the_file_as_it_was(store: EntityStore, tmp_path: Path) -> None:
    store.manager.entity("silver.t", provider="parquet", columns={"id": "bigint", "v": "string"})
    store.write_to_entity("silver.t", TWO)
    before = store.get_entity_version("silver.t")
    with pytest.raises(SchemaError):
        store.write_to_entity("silver.t", pa.table({"id": [1]}))
    assert store.get_entity_version("silver.t") == before
    assert [path.name for path in (tmp_path / "lake/silver/t").iterdir()] == ["data.parquet"]


def test_an_append_to_parquet_with_a_new_column_is_read_back_whole(store: EntityStore, signals: Any) -> None:
    heard: list[list[str]] = []
    signals.create_signal("entity.schema_changed").connect(lambda sender, added, **rest: heard.append(added))
    store.manager.register_entity("raw.p", provider="parquet", write_mode="append")
    store.append_to_entity("raw.p", pa.table({"n": pa.array([1], pa.int32())}))
    store.append_to_entity("raw.p", pa.table({"n": pa.array([2], pa.int32()), "m": ["x"]}))
    assert rows(store, "raw.p") == [{"n": 1, "m": None}, {"n": 2, "m": "x"}]
    assert heard == [["m"]]


def test_parquet_files_whose_types_do_not_agree_are_refused_by_file_and_column(store: EntityStore) -> None:
    import pyarrow.parquet as pq

    folder = store.base_dir / "mixed"
    folder.mkdir()
    pq.write_table(pa.table({"n": [1]}), folder / "a.parquet")
    pq.write_table(pa.table({"n": ["x"]}), folder / "b.parquet")
    store.manager.register_entity("raw.mixed", provider="parquet", path="mixed", read_only=True)
    with pytest.raises(SchemaError, match=r"'n' is string in .*b\.parquet and bigint in a file before it"):
        store.read_entity("raw.mixed")


def test_policy_fail_keeps_a_parquet_file_as_it_is(store: EntityStore) -> None:
    store.manager.register_entity("raw.fixed", provider="parquet", schema_policy="fail")
    store.write_to_entity("raw.fixed", pa.table({"n": [1]}))
    with pytest.raises(SchemaError, match="m string added"):
        store.write_to_entity("raw.fixed", pa.table({"n": [2], "m": ["x"]}))
    assert rows(store, "raw.fixed") == [{"n": 1}]


def test_a_damaged_parquet_file_is_named(store: EntityStore) -> None:
    (store.base_dir / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    store.manager.register_entity("raw.torn", provider="parquet", path="torn.parquet", read_only=True)
    with pytest.raises(CorruptTableError, match=r"torn\.parquet cannot be read as parquet"):
        store.read_entity("raw.torn")


def test_errors_of_entity_signals_show_no_secret(engine: EmbeddedEngine, tmp_path: Path) -> None:
    signals = BlinkerSignalProvider(redact=Redactor(["swordfish-99"]))
    store = EntityStore(DataEntityManager(signals), engine, "lake", tmp_path)
    store.manager.entity("silver.t", provider="memory")
    heard: list[tuple[str, str]] = []

    def batches() -> Iterator[pa.RecordBatch]:
        raise ValueError("cannot log in with swordfish-99")
        yield

    signals.on("entity.*_failed", lambda sender, signal_name, error, **fields: heard.append((signal_name, error)))
    with pytest.raises(ValueError, match="cannot log in"):
        store.write_to_entity("silver.t", pa.RecordBatchReader.from_batches(TWO.schema, batches()))
    assert heard == [("entity.write_failed", "cannot log in with ***")]
