"""Reads a table's log: without Spark where the log lies on this machine, else by SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from kindling_entities.declare.quoting import quote
from kindling_entities.engines import _log as files
from kindling_entities.engines import _transactions as transactions
from kindling_entities.engines._commit_info import commit_info, read_commits
from kindling_entities.engines._commits import commit_file
from kindling_entities.engines._damage import refuse_empty_commits
from kindling_entities.engines._places import unreachable
from kindling_entities.engines.spark._errors import mapped_errors
from kindling_entities.engines.spark._frames import schema_of
from kindling_entities.errors import EntityNotFoundError, VersionsGone
from kindling_entities.protocols import CommitInfo, Table, TableInfo, Transaction


def is_local(table: Table) -> bool:
    """Whether the log can be read without Spark."""
    return table.name is None and "://" not in table.location and unreachable(table.location) is None


def identifier(table: Table) -> str:
    """The table as SQL names it."""
    return ".".join(map(quote, table.name)) if table.name else f"delta.{quote(table.location)}"


def newest_version(session: Any, table: Table) -> int | None:
    """The newest version, None if there is no table."""
    if is_local(table):
        refuse_empty_commits(table)
        return files.newest_version(table.location)
    return _sql_version(session, table)


def newest_versions(session: Any, tables: Iterable[Table]) -> dict[str, int | Exception]:
    """The newest version of each table by entity id, or its own error."""
    tables = list(tables)
    found = files.newest_versions(table for table in tables if is_local(table))
    for table in tables:
        if not is_local(table):
            try:
                version = _sql_version(session, table)
                found[table.entity_id] = files.not_found(table) if version is None else version
            except Exception as error:  # noqa: BLE001 - one table's error must not hide the others' versions
                found[table.entity_id] = error
    return found


def describe(session: Any, table: Table, *, figures: bool = True) -> TableInfo | None:
    """The table as it stands, None if there is none; ``figures`` cost nothing where SQL answers the rest."""
    if is_local(table):
        return files.describe(table, figures=figures)
    version = _sql_version(session, table)
    if version is None:
        return None
    with mapped_errors(table, "Reading"):
        detail = session.sql(f"describe detail {identifier(table)}").collect()[0]
        schema = schema_of(session.sql(f"select * from {identifier(table)} limit 0"))
    return TableInfo(
        version,
        schema,
        tuple(detail["partitionColumns"]),
        dict(detail["properties"] or {}),
        size_bytes=detail["sizeInBytes"],
        files=detail["numFiles"],
        table_id=str(detail["id"] or ""),
    )


def committed(session: Any, table: Table, transaction: Transaction) -> bool:
    """Whether the table has this transaction, or a later one of the same application."""
    if is_local(table):
        return transactions.committed(table, transaction)
    if _sql_version(session, table) is None:
        return False
    with mapped_errors(table, "Reading the log of"):
        here = on_this_machine(session, table)
        if here is not None:
            return transactions.committed(here, transaction)
        log = _text(session, place_of(session, table)).selectExpr(
            "get_json_object(value, '$.txn.appId') as id",
            "cast(get_json_object(value, '$.txn.version') as bigint) as v",
        )
        rows = log.where(log["id"] == transaction.app_id).agg({"v": "max"}).collect()
    return rows[0][0] is not None and int(rows[0][0]) >= transaction.version


def newest_transaction(session: Any, table: Table, ending: str) -> str:
    """The newest transaction id with this ending, "" if there is none."""
    if is_local(table):
        return transactions.newest_transaction(table, ending)
    if _sql_version(session, table) is None:
        return ""
    with mapped_errors(table, "Reading the log of"):
        here = on_this_machine(session, table)
        if here is not None:
            return transactions.newest_transaction(here, ending)
        log = _text(session, place_of(session, table)).selectExpr(
            "get_json_object(value, '$.txn.appId') as id", "_metadata.file_name as file"
        )
        rows = log.where(log["id"].endswith(ending)).orderBy(log["file"].desc()).limit(1).collect()
    return str(rows[0]["id"]) if rows else ""


def place_of(session: Any, table: Table) -> str:
    """The URI of a table's folder."""
    return str(session.sql(f"describe detail {identifier(table)}").collect()[0]["location"])


def on_this_machine(session: Any, table: Table) -> Table | None:
    """A table by its path, None where its files lie elsewhere. A named table is looked up."""
    if is_local(table):
        return table
    place = place_of(session, table)
    if not place.startswith("file:"):
        return None
    here = replace(table, name=None, location=unquote(urlsplit(place).path))
    return here if is_local(here) else None


def at_version(session: Any, table: Table, version: int) -> Any:
    """A lazy frame of a version."""
    with mapped_errors(table, "Reading", wanted=(version, version)):
        reader = session.read.format("delta").option("versionAsOf", version)
        return reader.table(identifier(table)) if table.name else reader.load(table.location)


def lines(
    session: Any, table: Table, start_version: int, end_version: int | None, kinds: Sequence[str]
) -> dict[int, list[dict[str, Any]]]:
    """The actions of some kinds in the commits after a version, by version; read by Spark.

    Args:
        end_version: None is the newest.
    """
    log = _text(session, place_of(session, table)).selectExpr(
        "value", "cast(substr(_metadata.file_name, 1, 20) as bigint) as version"
    )
    wanted = " or ".join(f"ltrim(value) like '{{\"{kind}\"%'" for kind in kinds)
    bound = f"version > {start_version}" + ("" if end_version is None else f" and version <= {end_version}")
    found: dict[int, list[dict[str, Any]]] = {}
    for row in log.where(f"{bound} and ({wanted})").collect():
        found.setdefault(int(row["version"]), []).append(json.loads(row["value"]))
    return found


def commits(session: Any, table: Table, since: int | None) -> list[CommitInfo]:
    """What the log says of the commits after a version, oldest first."""
    newest = newest_version(session, table)
    if newest is None:
        raise files.not_found(table)
    here = on_this_machine(session, table)
    if here is not None:
        return read_commits(here, since)
    with mapped_errors(table, "Reading the log of"):
        found = lines(session, table, -1 if since is None else since, newest, ("commitInfo", "txn"))
    first = min(found, default=newest + 1) if since is None else since + 1
    missing = [version for version in range(max(first, 0), newest + 1) if version not in found]
    if missing:
        oldest = min(found, default=None)
        raise VersionsGone(table.entity_id, (max(first, 0), newest), oldest, "the table's log was cleaned")
    return [commit_info(version, actions) for version, actions in sorted(found.items())]


def _text(session: Any, place: str) -> Any:
    """The lines of all commits of a log."""
    return session.read.text(f"{place.rstrip('/')}/_delta_log/[0-9]*.json")


def commit_with(session: Any, table: Table, marker: str, after: int | None) -> tuple[int, dict[str, Any]] | None:
    """The version and the metrics of the commit that carries a marker as its user metadata.

    Args:
        after: only later versions are looked at; None looks at all.
    """
    first = -1 if after is None else after
    if is_local(table):
        newest = files.newest_version(table.location)
        for version in range(newest if newest is not None else -1, first, -1):
            info = _commit_info(table.location, version)
            if info.get("userMetadata") == marker:
                return version, dict(info.get("operationMetrics") or {})
        return None
    newest = _sql_version(session, table)
    if newest is None or newest <= first:
        return None
    rows = session.sql(f"describe history {identifier(table)} limit {newest - first}").collect()
    for row in rows:
        # CREATE TABLE AS SELECT keeps no user metadata, but it fails unless version 0 is its own.
        if row["userMetadata"] == marker or (after is None and row["version"] == 0):
            return int(row["version"]), dict(row["operationMetrics"] or {})
    return None


def _commit_info(location: str, version: int) -> dict[str, Any]:
    with open(commit_file(location, version), encoding="utf8") as lines:
        for line in lines:
            if line.startswith('{"commitInfo"'):
                info: dict[str, Any] = json.loads(line)["commitInfo"]
                return info
    return {}


def _sql_version(session: Any, table: Table) -> int | None:
    try:
        with mapped_errors(table, "Reading the version"):
            rows = session.sql(f"describe history {identifier(table)} limit 1").collect()
    except EntityNotFoundError:
        return None
    return int(rows[0]["version"]) if rows else None
