"""The feature `sqlite` in small jobs, through App and through the command line."""

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, RunFailed
from kindling_entities import ConflictError, EntityNotFoundError, EntityStore, UnsupportedError
from kindling_sqlite import provider as sqlite_provider

NUMBERS = count()
KINDLING = Path(sys.executable).with_name("kindling")
PIPES = """
    import pyarrow as pa
    from datetime import datetime, timezone
    from kindling_core import Pipes
    from kindling_entities import Entities, expect_or_drop, expect_or_fail, expect_or_quarantine, not_null, unique

    entities, pipes = Entities(), Pipes()


    def sqlite(entity_id, **more):
        entities.entity(entity_id, provider="sqlite", **more)
"""
ORDERS = """
    entities.source("raw.orders", path="orders.csv", provider="csv", columns={"id": "bigint", "amount": "double"})
    sqlite("silver.orders", keys=["id"], write_mode="merge", options={"table": "orders"},
           expectations=[expect_or_drop("has an amount", "amount is not null"),
                         expect_or_quarantine("positive", "amount > 0 or amount is null")])
    sqlite("gold.totals", columns={"total": "double", "orders": "bigint"})
    sqlite("gold.log", write_mode="append")


    @pipes.pipe("silver.orders", inputs=["raw.orders"], output="silver.orders")
    def orders(raw_orders):
        return raw_orders


    @pipes.pipe("gold.totals", inputs=["silver.orders"], output="gold.totals")
    def totals(silver_orders):
        return silver_orders.selectExpr("sum(amount) as total", "count(*) as orders")


    @pipes.pipe("gold.log", inputs=["gold.totals"], output="gold.log")
    def log(gold_totals):
        return gold_totals
"""
CSV = "id,amount\n1,2.5\n2,\n3,-1\n4,4.0\n"


def outcome(app: App, *selection: str) -> Any:
    """The report of a run, also of one that failed."""
    try:
        return app.run(list(selection)) if selection else app.run()
    except RunFailed as error:
        return error.report


class Job:
    """A job in a folder of its own."""

    def __init__(self, folder: Path, pipes: str, features: tuple[str, ...], journal: str) -> None:
        self.folder, self.module = folder, f"sqlite_job_{next(NUMBERS)}"
        self.file = folder / "kindling.toml"
        self.pipes(pipes)
        self.file.write_text(
            f'[job]\nname = "shop"\nmodules = ["{self.module}"]\nfeatures = {json.dumps(list(features))}\n'
            f'[entities]\nroot = "./lake"\n[sqlite]\njournal = "{journal}"\n'
        )

    def pipes(self, text: str) -> None:
        """Write the job's module."""
        (self.folder / f"{self.module}.py").write_text(textwrap.dedent(PIPES) + textwrap.dedent(text))

    def csv(self, text: str) -> None:
        """Write the source."""
        (self.folder / "orders.csv").write_text(text)

    def app(self) -> App:
        """The App of the job, with its module read anew."""
        sys.modules.pop(self.module, None)
        return App.from_job(self.file)

    def run(self) -> dict[str, Any]:
        """Run all; pipe id -> its report."""
        with self.app() as app:
            return {pipe.pipe_id: pipe for pipe in outcome(app).pipes}

    def kindling(self, *words: str, status: int = 0) -> str:
        """Output of a command."""
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [KINDLING, *words, "--job", self.file], capture_output=True, text=True, cwd=self.folder, env=environment
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def database(self, layer: str, name: str) -> Path:
        """The file of an entity."""
        return self.folder / "lake" / layer / f"{name}.sqlite"

    def rows(self, entity_id: str, table: str = "") -> list[tuple[Any, ...]]:
        """What SQLite itself reads."""
        connection = sqlite3.connect(self.database(*entity_id.split(".")))
        try:
            return sorted(connection.execute(f'SELECT * FROM "{table or entity_id}"').fetchall())
        finally:
            connection.close()


MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeJob]:
    """Make the job of a test."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(pipes: str = ORDERS, features: tuple[str, ...] = ("entities", "sqlite"), journal: str = "wal") -> Job:
        job = Job(tmp_path, pipes, features, journal)
        job.csv(CSV)
        return job

    return make


def test_run_through_app(make_job: MakeJob) -> None:
    job = make_job()
    signals: list[tuple[str, dict[str, Any]]] = []
    with job.app() as app:
        app.signals.on("entity.*", lambda sender, signal_name, **fields: signals.append((signal_name, fields)))
        report = app.run()
    assert report.status == "succeeded", report
    assert job.rows("silver.orders", "orders") == [(1, 2.5), (4, 4.0)]
    assert job.rows("gold.totals") == [(6.5, 2)]
    told = {(name, fields["entity_id"]): fields for name, fields in signals}
    merged = told["entity.after_merge", "silver.orders"]
    assert (merged["rows_inserted"], merged["rows_updated"], merged["version"]) == (2, 0, 0)
    assert told["entity.after_write", "gold.totals"]["rows_written"] == 1
    assert told["entity.version_updated", "silver.orders"]["old_version"] is None
    note = next(pipe.note for pipe in report.pipes if pipe.pipe_id == "silver.orders")
    assert "has an amount: 1 dropped" in note
    assert "positive: 1 quarantined" in note

    job.csv("id,amount\n4,5.0\n5,1.0\n")
    assert all(pipe.status == "succeeded" for pipe in job.run().values())
    assert job.rows("silver.orders", "orders") == [(1, 2.5), (4, 5.0), (5, 1.0)]
    assert job.rows("gold.totals") == [(8.5, 3)]
    assert job.rows("gold.log") == [(6.5, 2), (8.5, 3)]


def test_command_line(make_job: MakeJob) -> None:
    job = make_job()
    assert "not written yet" in job.kindling("sqlite-tables")
    job.kindling("run")
    tables = {row["entity"]: row for row in json.loads(job.kindling("sqlite-tables", "--json"))}
    assert set(tables) == {"silver.orders", "gold.totals", "gold.log"}
    orders = tables["silver.orders"]
    assert (orders["table"], orders["rows"], orders["version"]) == ("orders", 2, 0)
    assert orders["file"] == str(job.database("silver", "orders"))
    assert "2 rows  version 0" in job.kindling("sqlite-tables")
    assert f"sqlite: {sqlite3.sqlite_version}" in job.kindling("doctor")
    assert "4.0" in job.kindling("show", "silver.orders")
    assert "sqlite" in job.kindling("entities")
    assert "not kept" in job.kindling("show", "silver.orders", "--version", "7", status=2)


def test_a_broken_file_is_listed_with_its_error(make_job: MakeJob) -> None:
    job = make_job()
    job.kindling("run")
    job.database("gold", "log").write_bytes(b"no database" * 100)
    tables = {row["entity"]: row for row in json.loads(job.kindling("sqlite-tables", "--json"))}
    assert "not a database" in tables["gold.log"]["error"]
    assert tables["gold.totals"]["rows"] == 1


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_journal(make_job: MakeJob, journal: str) -> None:
    job = make_job(journal=journal)
    job.run()
    connection = sqlite3.connect(job.database("gold", "log"))
    assert connection.execute("PRAGMA journal_mode").fetchone() == (journal,)
    connection.close()
    assert "'wal' or 'delete'" in job.kindling("plan", "--set", "sqlite.journal=memory", status=2)


def test_options_are_checked(make_job: MakeJob) -> None:
    job = make_job('sqlite("a.b", options={"tabel": "x"})\n')
    assert "Did you mean 'table'" in job.kindling("plan", status=2)


TYPES = """
    MOMENT = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=timezone.utc)
    DATA = pa.table(
        {
            "i": pa.array([2**62, -1, None], pa.int64()),
            "d": pa.array([1.5, float("nan"), None], pa.float64()),
            "s": pa.array(["it's", "", None], pa.string()),
            "b": pa.array([True, False, None], pa.bool_()),
            "t": pa.array([MOMENT, datetime(1900, 1, 1, tzinfo=timezone.utc), None], pa.timestamp("us", "UTC")),
            "day": pa.array([MOMENT.date(), None, None], pa.date32()),
            "money": pa.array(["1.10", None, None]).cast(pa.decimal128(10, 2)),
            "raw": pa.array([bytes([0, 255]), b"", None], pa.binary()),
        }
    )
    sqlite("a.types")
    sqlite("a.copy")
    sqlite("a.declared", columns={"i": "bigint", "t": "timestamp", "b": "boolean", "m": "decimal(10, 2)"})


    @pipes.pipe("a.types", inputs=[], output="a.types")
    def types():
        return DATA


    @pipes.pipe("a.copy", inputs=["a.types"], output="a.copy")
    def copy(a_types):
        return a_types
"""


def test_types_are_kept(make_job: MakeJob) -> None:
    job = make_job(TYPES)
    assert all(pipe.status == "succeeded" for pipe in job.run().values())
    with job.app() as app:
        store = app.service(EntityStore)
        first, copy = (store.read_entity(entity_id).toArrow() for entity_id in ("a.types", "a.copy"))
        kinds = "int64 double string bool timestamp[us, tz=UTC] date32[day] decimal128(10, 2) binary"
        assert " ".join(map(str, copy.schema.types)).replace("large_", "") == kinds
        assert str(copy.to_pylist()) == str(first.to_pylist())
        rows = copy.to_pylist()
        assert rows[0]["i"] == 2**62
        assert rows[0]["b"] is True
        assert rows[0]["s"] == "it's"
        assert rows[0]["t"] == datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=timezone.utc)
        assert rows[1]["d"] != rows[1]["d"]
        assert set(rows[2].values()) == {None}

        assert store.ensure_entity_table("a.declared") is not None
        assert store.read_entity("a.declared").count() == 0
        assert [str(kind) for kind in store.read_entity("a.declared").dtypes] == [
            "('i', 'bigint')", "('t', 'timestamp')", "('b', 'boolean')", "('m', 'decimal(10,2)')"
        ]  # fmt: skip


FAILURES = """
    sqlite("a.keys", keys=["id"], write_mode="merge")
    sqlite("a.declared", columns={"id": "bigint", "name": "string"})
    sqlite("a.cast", columns={"id": "bigint"})
    sqlite("a.positive", expectations=[expect_or_fail("positive", "id > 0")])
    sqlite("a.list")
    sqlite("a.parts", columns={"id": "bigint"}, partition_columns=["id"], overwrite_scope="partitions")


    def pipe(entity_id, data):
        pipes.pipe(entity_id, inputs=[], output=entity_id)(lambda: pa.table(data))


    pipe("a.keys", {"id": [1, 1]})
    pipe("a.declared", {"id": [1]})
    pipe("a.cast", {"id": ["x"]})
    pipe("a.positive", {"id": [-1]})
    pipe("a.list", {"id": [[1]]})
    pipe("a.parts", {"id": [1]})
"""


@pytest.mark.parametrize(
    ("entity_id", "error_type", "words"),
    [
        ("a.keys", "MergeKeyError", "id=1"),
        ("a.declared", "SchemaError", "name"),
        ("a.cast", "SchemaError", "id"),
        ("a.positive", "ExpectationError", "positive"),
        ("a.list", "UnsupportedError", "list"),
        ("a.parts", "UnsupportedError", "partitions"),
    ],
)
def test_failures_leave_nothing(make_job: MakeJob, entity_id: str, error_type: str, words: str) -> None:
    job = make_job(FAILURES)
    with job.app() as app:
        (pipe,) = outcome(app, entity_id).pipes
        assert (pipe.status, pipe.error_type) == ("failed", error_type)
        assert words in pipe.error
        assert not app.service(EntityStore).check_entity_exists(entity_id)
        with pytest.raises(EntityNotFoundError):
            app.service(EntityStore).read_entity(entity_id)


POLICY = """
    entities.entity("a.b", provider="sqlite", write_mode={mode!r}, keys=["id"], schema_policy={policy!r})


    @pipes.pipe("a.b", inputs=[], output="a.b")
    def rows():
        return pa.table({data})
"""


def test_columns_evolve(make_job: MakeJob) -> None:
    def text(data: dict[str, Any], mode: str, policy: str = "evolve") -> str:
        return POLICY.format(data=data, mode=mode, policy=policy)

    job = make_job(text({"id": [1, 2], "x": [1, 2]}, "overwrite"))
    assert job.run()["a.b"].status == "succeeded"
    job.pipes(text({"id": [2, 3], "y": ["b", "c"]}, "merge"))
    changes: list[list[str]] = []
    with job.app() as app:
        app.signals.on("entity.schema_changed", lambda sender, added, **_: changes.append(added))
        assert app.run().status == "succeeded"
    assert changes == [["y"]]
    everything = [(1, 1, None), (2, 2, "b"), (3, None, "c")]
    assert sorted(job.rows("a.b"), key=str) == everything
    job.pipes(text({"id": [9], "z": [1]}, "append", "fail"))
    assert job.run()["a.b"].error_type == "SchemaError"
    job.pipes(text({"id": ["text"]}, "append"))
    assert job.run()["a.b"].error_type == "SchemaError"
    assert sorted(job.rows("a.b"), key=str) == everything


def test_a_foreign_table_is_left_alone(make_job: MakeJob) -> None:
    job = make_job(POLICY.format(data={"id": [1]}, mode="overwrite", policy="evolve"))
    job.database("a", "b").parent.mkdir(parents=True)
    connection = sqlite3.connect(job.database("a", "b"))
    connection.execute('CREATE TABLE "a.b" (mine)')
    connection.close()
    assert job.run()["a.b"].error_type == "StorageError"
    assert job.rows("a.b") == []


def test_a_locked_file_is_a_conflict(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_provider, "BUSY_SECONDS", 0.05)
    job = make_job(POLICY.format(data={"id": [1]}, mode="append", policy="evolve"))
    assert job.run()["a.b"].status == "succeeded"
    connection = sqlite3.connect(job.database("a", "b"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    assert job.run()["a.b"].error_type == ConflictError.__name__
    connection.execute("ROLLBACK")
    connection.close()
    assert job.rows("a.b") == [(1,)]


def test_two_entities_in_one_file(make_job: MakeJob) -> None:
    job = make_job("""
        for name in ("one", "two"):
            sqlite(f"a.{name}", path="both", options={"table": name})
            pipes.pipe(f"a.{name}", inputs=[], output=f"a.{name}")(lambda: pa.table({"id": [1]}))
    """)
    assert all(pipe.status == "succeeded" for pipe in job.run().values())
    connection = sqlite3.connect(job.folder / "both.sqlite")
    found = connection.execute("SELECT table_name, version FROM kindling_tables ORDER BY 1").fetchall()
    connection.close()
    assert found == [("one", 0), ("two", 0)]


REPEAT = """
    from kindling_core import hookimpl


    class RepeatPlugin:
        requires = ("entities",)

        @hookimpl(wrapper=True)
        def kindling_write(self, request):
            request.transaction = ("nightly", 7)
            return (yield)
"""


def test_a_repeated_transaction_writes_nothing(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = tmp_path / "plugins"
    metadata = plugins / "kindling_repeat-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kindling-repeat\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[kindling]\nrepeat = kindling_repeat:RepeatPlugin\n")
    (plugins / "kindling_repeat.py").write_text(textwrap.dedent(REPEAT))
    monkeypatch.syspath_prepend(plugins)
    commits = []
    write = sqlite_provider.SqliteProvider.write

    def recorded(*arguments: Any, **named: Any) -> Any:
        commits.append(write(*arguments, **named))
        return commits[-1]

    monkeypatch.setattr(sqlite_provider.SqliteProvider, "write", recorded)
    for mode in ("append", "merge", "overwrite"):
        text = POLICY.format(data={"id": [1]}, mode=mode, policy="evolve").replace("a.b", f"a.{mode}")
        job = make_job(text, features=("entities", "sqlite", "repeat"))
        first = job.run()[f"a.{mode}"]
        again = job.run()[f"a.{mode}"]
        assert (first.status, first.rows) == ("succeeded", 1), first
        assert (again.status, again.rows) == ("succeeded", 0), again
        assert [commit.skipped for commit in commits[-2:]] == [False, True]
        assert job.rows(f"a.{mode}") == [(1,)]
        with job.app() as app:
            assert app.service(EntityStore).get_entity_version(f"a.{mode}") == 0


def test_uncommitted_rows_are_rolled_back(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(POLICY.format(data={"id": [1]}, mode="overwrite", policy="evolve"))
    job.run()
    job.pipes(POLICY.format(data={"id": [2], "x": [1]}, mode="overwrite", policy="evolve"))

    def fail(*_: Any) -> None:
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_provider, "_store", fail)
        with job.app() as app:
            (pipe,) = outcome(app).pipes
    assert pipe.status == "failed"
    assert job.rows("a.b") == [(1,)]


def test_changes_are_not_kept(make_job: MakeJob) -> None:
    job = make_job()
    job.run()
    with job.app() as app:
        store = app.service(EntityStore)
        with pytest.raises(UnsupportedError):
            store.read_entity("silver.orders", version=3)
