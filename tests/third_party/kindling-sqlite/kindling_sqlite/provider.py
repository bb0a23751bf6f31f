"""Entities as tables of SQLite files."""

import logging
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from kindling_entities import (
    Commit,
    ConflictError,
    EntityDefinition,
    EntityNotFoundError,
    MergeKeyError,
    SchemaChange,
    SchemaError,
    StorageError,
    Transaction,
    UnsupportedError,
)
from kindling_entities.protocols import Engine

log = logging.getLogger(__name__)

BUSY_SECONDS = 30.0
ROWS_AT_A_TIME = 20_000
STAGE = "temp.kindling_stage"

DECLARED_TYPES: dict[str, pa.DataType] = {
    "tinyint": pa.int8(),
    "byte": pa.int8(),
    "smallint": pa.int16(),
    "short": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "long": pa.int64(),
    "float": pa.float32(),
    "real": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}


@dataclass(frozen=True)
class TableState:
    """What the file says of one table."""

    version: int
    schema: pa.Schema
    rows: int


class SqliteProvider:
    """Each entity is a table in a SQLite file; older versions are not kept."""

    write_modes: ClassVar[frozenset[str]] = frozenset({"overwrite", "append", "merge"})
    options: ClassVar[frozenset[str]] = frozenset({"table"})

    def __init__(self, engine: Engine, journal: str = "wal") -> None:
        self._engine = engine
        self._journal = journal

    def read(
        self,
        entity: EntityDefinition,
        location: str,
        *,
        version: int | None = None,
        start_version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Return the rows as they are now."""
        if start_version is not None:
            raise UnsupportedError(f"{entity.entity_id}: SQLite tables keep no changes between versions.")
        table = table_name(entity)
        with _open(entity, location) as connection, _transaction(connection, "DEFERRED"):
            found = _stored(connection, table)
            if found is None:
                raise _not_found(entity, location)
            newest, schema = found
            if version is not None and version != newest:
                raise UnsupportedError(
                    f"{entity.entity_id}: version {version} is not kept; SQLite tables have the newest only ({newest})."
                )
            schema = _selected(entity, schema, columns)
            return self._engine.from_arrow(_load(connection, table, schema))

    def write(
        self,
        entity: EntityDefinition,
        location: str,
        frame: Any,
        mode: str,
        transaction: Transaction | None = None,
    ) -> Commit:
        """Write all rows of the frame in one transaction, or none."""
        if mode not in self.write_modes:
            raise UnsupportedError(f"{entity.entity_id}: SQLite tables have no write mode {mode!r}.")
        if mode == "overwrite" and entity.overwrite_scope != "table":
            raise UnsupportedError(f"{entity.entity_id}: SQLite tables have no partitions to overwrite.")
        table = table_name(entity)
        with _open(entity, location, create=self._journal) as connection:
            _prepare(connection)
            skipped = _skipped(connection, table, transaction)
            if skipped is not None:
                return skipped
            schema, staged = self._stage(connection, entity, frame)
            if mode == "merge":
                _check_keys(connection, entity, schema)
            with _transaction(connection, "IMMEDIATE"):
                # another process may have been faster while the frame was computed
                skipped = _skipped(connection, table, transaction)
                if skipped is not None:
                    return skipped
                return _commit(connection, entity, table, schema, staged, mode, transaction)

    def ensure(self, entity: EntityDefinition, location: str) -> bool:
        """Create the table with the declared columns unless there is one."""
        table = table_name(entity)
        if self.exists(entity, location):
            return False
        if not entity.columns:
            raise SchemaError(f"{entity.entity_id}: declare columns; SQLite has no tables without any.")
        schema = pa.schema([(name, _declared_type(entity, name)) for name in entity.columns])
        _check_schema(entity, schema)
        with _open(entity, location, create=self._journal) as connection:
            _prepare(connection)
            with _transaction(connection, "IMMEDIATE"):
                if _stored(connection, table) is not None:
                    return False
                _create(connection, entity, table, schema)
                _store(connection, table, 0, schema)
        return True

    def exists(self, entity: EntityDefinition, location: str) -> bool:
        """Whether the table was ever written or created."""
        return _version(entity, location) is not None

    def versions(self, entities: Mapping[str, tuple[EntityDefinition, str]]) -> dict[str, int | Exception]:
        """Tell the newest version of each, or why it cannot be told."""
        found: dict[str, int | Exception] = {}
        for entity_id, (entity, location) in entities.items():
            try:
                version = _version(entity, location)
                found[entity_id] = _not_found(entity, location) if version is None else version
            except (StorageError, ConflictError, UnsupportedError) as error:
                found[entity_id] = error
        return found

    def _stage(self, connection: sqlite3.Connection, entity: EntityDefinition, frame: Any) -> tuple[pa.Schema, int]:
        """Compute the frame into a temporary table, so that no lock is held meanwhile."""
        reader = self._engine.to_reader(frame)
        schema = _written_schema(entity, reader.schema)
        rows = 0
        with _transaction(connection, "DEFERRED"):
            connection.execute(f"CREATE TABLE {STAGE} ({_columns_sql(schema)})")
            insert = f"INSERT INTO {STAGE} VALUES ({', '.join('?' * len(schema))})"
            for batch in reader:
                columns = [_encode(entity, field, batch.column(i)) for i, field in enumerate(schema)]
                connection.executemany(insert, zip(*columns, strict=True))
                rows += batch.num_rows
        return schema, rows


def table_name(entity: EntityDefinition) -> str:
    """The name of the entity's table."""
    return str(entity.options.get("table") or entity.entity_id)


def database_path(location: str) -> Path:
    """The file of a location."""
    text = str(location)
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme != "file":
            raise UnsupportedError(f"SQLite files lie on a local disk, not at {text}.")
        text = unquote(parts.path)
    return Path(text.rstrip("/") + ".sqlite")


def table_state(entity: EntityDefinition, location: str) -> TableState | None:
    """Version, columns and rows of the entity's table; None if there is none."""
    if not database_path(location).exists():
        return None
    table = table_name(entity)
    with _open(entity, location) as connection, _transaction(connection, "DEFERRED"):
        found = _stored(connection, table)
        if found is None:
            return None
        (rows,) = connection.execute(f"SELECT count(*) FROM {_quote(table)}").fetchone()
        return TableState(found[0], found[1], rows)


def _version(entity: EntityDefinition, location: str) -> int | None:
    if not database_path(location).exists():
        return None
    with _open(entity, location) as connection:
        found = _stored(connection, table_name(entity))
        return None if found is None else found[0]


def _not_found(entity: EntityDefinition, location: str) -> EntityNotFoundError:
    return EntityNotFoundError(
        f"{entity.entity_id}: there is no table {table_name(entity)!r} in {database_path(location)}."
    )


# ---- the file


@contextmanager
def _open(entity: EntityDefinition, location: str, *, create: str | None = None) -> Iterator[sqlite3.Connection]:
    """A connection to the file, which `create` makes with this journal; sqlite3's errors become ours."""
    path = database_path(location)
    if create is None and not path.exists():
        raise _not_found(entity, location)
    try:
        if create is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            if create is not None:
                _set_journal(connection, create, path)
            yield connection
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise ConflictError(f"{entity.entity_id}: somebody else holds {path} ({error}).") from error
        raise StorageError(f"{entity.entity_id}: {path}: {error}.") from error
    except sqlite3.Error as error:
        raise StorageError(f"{entity.entity_id}: {path}: {error}.") from error
    except OSError as error:
        if error.filename is None or Path(str(error.filename)) not in (path, *path.parents):
            raise
        raise StorageError(f"{entity.entity_id}: {path}: {error}.") from error


def _set_journal(connection: sqlite3.Connection, journal: str, path: Path) -> None:
    (current,) = connection.execute("PRAGMA journal_mode").fetchone()
    if current == journal:
        return
    try:
        connection.execute(f"PRAGMA journal_mode = {journal}").fetchone()
    except sqlite3.OperationalError as error:
        log.info("%s keeps the journal %s while it is in use (%s)", path, current, error)


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables that hold versions, schemas and transaction ids."""
    if _has_table(connection, "kindling_transactions"):
        return
    with _transaction(connection, "IMMEDIATE"):
        connection.execute(
            "CREATE TABLE IF NOT EXISTS kindling_tables ("
            "table_name TEXT PRIMARY KEY COLLATE NOCASE, version INTEGER NOT NULL, arrow_schema BLOB NOT NULL)"
        )
        connection.execute(
            "CREATE TABLE IF NOT EXISTS kindling_transactions ("
            "table_name TEXT COLLATE NOCASE, app_id TEXT, version INTEGER NOT NULL, PRIMARY KEY (table_name, app_id))"
        )


def _has_table(connection: sqlite3.Connection, table: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE"
    return connection.execute(query, (table,)).fetchone() is not None


def _stored(connection: sqlite3.Connection, table: str) -> tuple[int, pa.Schema] | None:
    """Version and schema of a table that we wrote."""
    if not _has_table(connection, "kindling_tables"):
        return None
    query = "SELECT version, arrow_schema FROM kindling_tables WHERE table_name = ?"
    row = connection.execute(query, (table,)).fetchone()
    return None if row is None else (row[0], pa.ipc.read_schema(pa.py_buffer(row[1])))


def _store(connection: sqlite3.Connection, table: str, version: int, schema: pa.Schema) -> None:
    connection.execute(
        "INSERT INTO kindling_tables VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET version = excluded.version, arrow_schema = excluded.arrow_schema",
        (table, version, schema.serialize().to_pybytes()),
    )


def _skipped(connection: sqlite3.Connection, table: str, transaction: Transaction | None) -> Commit | None:
    """The commit to report if the transaction was there already."""
    found = _stored(connection, table)
    if transaction is None or found is None:
        return None
    query = "SELECT 1 FROM kindling_transactions WHERE table_name = ? AND app_id = ? AND version >= ?"
    if connection.execute(query, (table, transaction.app_id, transaction.version)).fetchone() is None:
        return None
    return Commit(version=found[0], old_version=found[0], rows_written=0, skipped=True)


# ---- writing


def _commit(
    connection: sqlite3.Connection,
    entity: EntityDefinition,
    table: str,
    schema: pa.Schema,
    staged: int,
    mode: str,
    transaction: Transaction | None,
) -> Commit:
    """Move the staged rows into the table and count the version."""
    found = _stored(connection, table)
    old_version, old_schema = found if found is not None else (None, None)
    if old_schema is None:
        new_schema, change = schema, None
        _create(connection, entity, table, schema)
    else:
        new_schema = schema if mode == "overwrite" else _united(entity, old_schema, schema)
        change = _change(entity, old_schema, new_schema)
        if mode == "overwrite":
            connection.execute(f"DROP TABLE {_quote(table)}")
            _create(connection, entity, table, new_schema)
        else:
            for field in new_schema:
                if field.name not in old_schema.names:
                    connection.execute(f"ALTER TABLE {_quote(table)} ADD COLUMN {_columns_sql([field])}")
    inserted = updated = None
    if mode == "merge":
        updated, inserted = _merge(connection, table, schema, entity.keys)
    else:
        names = _names(schema.names)
        connection.execute(f"INSERT INTO {_quote(table)} ({names}) SELECT {names} FROM {STAGE}")
    version = 0 if old_version is None else old_version + 1
    _store(connection, table, version, new_schema)
    if transaction is not None:
        connection.execute(
            "INSERT INTO kindling_transactions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version",
            (table, transaction.app_id, transaction.version),
        )
    return Commit(
        version=version,
        old_version=old_version,
        rows_written=None if mode == "merge" else staged,
        rows_inserted=inserted,
        rows_updated=updated,
        rows_deleted=0 if mode == "merge" else None,
        created=old_version is None,
        schema_change=change,
    )


def _create(connection: sqlite3.Connection, entity: EntityDefinition, table: str, schema: pa.Schema) -> None:
    if table.lower().startswith(("sqlite_", "kindling_")):
        raise UnsupportedError(f"{entity.entity_id}: a table cannot be called {table!r}; the name is reserved.")
    if _has_table(connection, table):
        raise StorageError(f"{entity.entity_id}: the file has a table {table!r} already that Kindling did not write.")
    connection.execute(f"CREATE TABLE {_quote(table)} ({_columns_sql(schema)})")


def _merge(connection: sqlite3.Connection, table: str, schema: pa.Schema, keys: Sequence[str]) -> tuple[int, int]:
    """Update the rows whose keys match, insert the others; return both counts."""
    target, names = _quote(table), _names(schema.names)
    index = _quote("kindling_keys_" + "_".join((table, *keys)))
    connection.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {target} ({_names(keys)})")
    match = " AND ".join(f"{target}.{_quote(key)} = stage.{_quote(key)}" for key in keys)
    assignments = ", ".join(f"{_quote(name)} = stage.{_quote(name)}" for name in schema.names)
    updated = connection.execute(f"UPDATE {target} SET {assignments} FROM {STAGE} AS stage WHERE {match}").rowcount
    inserted = connection.execute(
        f"INSERT INTO {target} ({names}) SELECT {names} FROM {STAGE} AS stage "
        f"WHERE NOT EXISTS (SELECT 1 FROM {target} WHERE {match})"
    ).rowcount
    return updated, inserted


def _check_keys(connection: sqlite3.Connection, entity: EntityDefinition, schema: pa.Schema) -> None:
    """Refuse missing, null and duplicate keys."""
    if not entity.keys:
        raise MergeKeyError(f"{entity.entity_id}: a merge needs keys; declare keys=[...].")
    missing = [key for key in entity.keys if key not in schema.names]
    if missing:
        raise MergeKeyError(f"{entity.entity_id}: the frame has no key column {', '.join(missing)}.")
    for key in entity.keys:
        (nulls,) = connection.execute(f"SELECT count(*) FROM {STAGE} WHERE {_quote(key)} IS NULL").fetchone()
        if nulls:
            raise MergeKeyError(f"{entity.entity_id}: {nulls} rows have null in the key {key}.")
    names = _names(entity.keys)
    connection.execute(f"CREATE INDEX temp.kindling_stage_keys ON kindling_stage ({names})")
    twice = connection.execute(
        f"SELECT {names}, count(*) FROM {STAGE} GROUP BY {names} HAVING count(*) > 1 LIMIT 1"
    ).fetchone()
    if twice is not None:
        decoded = [
            _decoder(schema.field(key).type)(value) if _decoder(schema.field(key).type) else value
            for key, value in zip(entity.keys, twice, strict=False)
        ]
        shown = ", ".join(f"{key}={value}" for key, value in zip(entity.keys, decoded, strict=True))
        raise MergeKeyError(f"{entity.entity_id}: {twice[-1]} rows have the key {shown}.")


# ---- columns and types


def _written_schema(entity: EntityDefinition, schema: pa.Schema) -> pa.Schema:
    """The columns to write: those of the frame, declared ones with their declared types."""
    missing = [name for name in entity.columns if name not in schema.names]
    if missing:
        raise SchemaError(f"{entity.entity_id}: the frame lacks the declared columns {', '.join(missing)}.")
    others = [name for name in schema.names if name not in entity.columns]
    if entity.columns and others and entity.schema_policy == "fail":
        raise SchemaError(f"{entity.entity_id}: the frame has columns that are not declared: {', '.join(others)}.")
    fields = [
        (field.name, _declared_type(entity, field.name) if field.name in entity.columns else _plain(field.type))
        for field in schema
    ]
    written = pa.schema(fields)
    _check_schema(entity, written)
    return written


def _check_schema(entity: EntityDefinition, schema: pa.Schema) -> None:
    if not schema.names:
        raise SchemaError(f"{entity.entity_id}: the frame has no columns.")
    if len({name.lower() for name in schema.names}) < len(schema.names):
        raise SchemaError(f"{entity.entity_id}: columns differ in case only, which SQLite does not tell apart.")
    for field in schema:
        if _affinity(field.type) is None:
            raise UnsupportedError(f"{entity.entity_id}: column {field.name}: SQLite tables hold no {field.type}.")


def _declared_type(entity: EntityDefinition, name: str) -> pa.DataType:
    text = str(entity.columns[name]).strip().lower().replace(" ", "")
    if text.startswith("decimal(") and text.endswith(")"):
        precision, _, scale = text[len("decimal(") : -1].partition(",")
        if precision.isdigit() and (scale.isdigit() or not scale):
            return pa.decimal128(int(precision), int(scale or 0))
    elif text == "decimal":
        return pa.decimal128(10, 0)
    elif text in DECLARED_TYPES:
        return DECLARED_TYPES[text]
    raise UnsupportedError(f"{entity.entity_id}: column {name}: SQLite tables hold no {entity.columns[name]}.")


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without what depends on how the frame was made."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_date64(kind):
        return pa.date32()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return kind


def _affinity(kind: pa.DataType) -> str | None:
    """SQLite's type for an Arrow type; empty for none, None if it cannot be kept."""
    types = pa.types
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_date32(kind) or types.is_timestamp(kind):
        return None if types.is_uint64(kind) else "INTEGER"
    if types.is_float32(kind) or types.is_float64(kind):
        return "REAL"
    if types.is_string(kind) or types.is_decimal(kind):
        return "TEXT"
    if types.is_binary(kind):
        return "BLOB"
    return "" if types.is_null(kind) else None


def _encode(entity: EntityDefinition, field: pa.Field, column: pa.Array) -> Iterable[Any]:
    """Values of one column as SQLite keeps them."""
    kind = field.type
    try:
        if pa.types.is_timestamp(column.type) and pa.types.is_timestamp(kind):
            column = column.cast(kind, safe=False)  # nanoseconds are cut off
        elif column.type != kind:
            column = column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"{entity.entity_id}: column {field.name} is no {kind}: {error}") from error
    if pa.types.is_timestamp(kind):
        return column.cast(pa.int64()).to_pylist()
    if pa.types.is_date32(kind):
        return column.cast(pa.int32()).to_pylist()
    values = column.to_pylist()
    if pa.types.is_decimal(kind):
        return [None if value is None else str(value) for value in values]
    if pa.types.is_floating(kind):  # SQLite would make NaN null
        return ["NaN" if value is not None and math.isnan(value) else value for value in values]
    return values


def _decoder(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """What makes an Arrow value of a kept value; None if it is one."""
    if pa.types.is_boolean(kind):
        return bool
    if pa.types.is_floating(kind):
        return float
    if pa.types.is_decimal(kind):
        return Decimal
    return None


def _load(connection: sqlite3.Connection, table: str, schema: pa.Schema) -> pa.Table:
    """The rows of a table as Arrow data."""
    cursor = connection.execute(f"SELECT {_names(schema.names)} FROM {_quote(table)} ORDER BY rowid")
    batches = []
    while rows := cursor.fetchmany(ROWS_AT_A_TIME):
        arrays = [_decode(field.type, values) for field, values in zip(schema, zip(*rows, strict=True), strict=True)]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)


def _decode(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    decoder = _decoder(kind)
    if decoder is not None:
        values = [None if value is None else decoder(value) for value in values]
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    if pa.types.is_date32(kind):
        return pa.array(values, pa.int32()).cast(kind)
    return pa.array(values, kind)


def _selected(entity: EntityDefinition, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    if columns is None:
        return schema
    unknown = [name for name in columns if name not in schema.names]
    if unknown:
        raise SchemaError(f"{entity.entity_id}: there is no column {', '.join(unknown)}; found {schema.names}.")
    return pa.schema([schema.field(name) for name in columns])


def _united(entity: EntityDefinition, old: pa.Schema, new: pa.Schema) -> pa.Schema:
    """The table's columns, with new ones at the end and numbers as wide as either side needs."""
    fields = []
    by_case = {name.lower(): name for name in old.names}
    for field in new:
        if by_case.get(field.name.lower(), field.name) != field.name:
            raise SchemaError(
                f"{entity.entity_id}: {field.name} and {by_case[field.name.lower()]} differ in case only."
            )
    for field in old:
        kind = field.type
        if field.name in new.names:
            found = _wider(kind, new.field(field.name).type)
            if found is None:
                raise SchemaError(
                    f"{entity.entity_id}: column {field.name} is {kind}, the frame's is {new.field(field.name).type}."
                )
            kind = found
        fields.append((field.name, kind))
    fields += [(field.name, field.type) for field in new if field.name not in old.names]
    return pa.schema(fields)


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both; None if there is none."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    for same in (pa.types.is_signed_integer, pa.types.is_floating):
        if same(one) and same(other):
            return one if one.bit_width >= other.bit_width else other
    numbers = (one, other)
    if any(map(pa.types.is_floating, numbers)) and any(
        pa.types.is_signed_integer(kind) and kind.bit_width <= 32 for kind in numbers
    ):
        return pa.float64()
    return None


def _change(entity: EntityDefinition, old: pa.Schema, new: pa.Schema) -> SchemaChange | None:
    """How the columns change; refused or logged as the entity's policy says."""
    added = {field.name: str(field.type) for field in new if field.name not in old.names}
    removed = {field.name: str(field.type) for field in old if field.name not in new.names}
    changed = {
        field.name: (str(old.field(field.name).type), str(field.type))
        for field in new
        if field.name in old.names and old.field(field.name).type != field.type
    }
    if not (added or removed or changed):
        return None
    told = f"{entity.entity_id}: columns differ (added {list(added)}, removed {list(removed)}, changed {list(changed)})"
    if entity.schema_policy == "fail":
        raise SchemaError(f"{told}, which schema_policy='fail' refuses.")
    if entity.schema_policy == "warn":
        log.warning("%s", told)
    return SchemaChange(added=added, removed=removed, changed=changed)


def _columns_sql(fields: Iterable[pa.Field]) -> str:
    return ", ".join(f"{_quote(field.name)} {_affinity(field.type)}".rstrip() for field in fields)


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(_quote, names))


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
