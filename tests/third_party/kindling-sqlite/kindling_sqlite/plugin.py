"""The feature `sqlite`: provider, settings, check and command."""

import sqlite3
from typing import Any, Literal

import click
from pydantic import BaseModel, ConfigDict

from kindling_core import App, Check, KindlingError, hookimpl
from kindling_core.cli import job_options, json_option
from kindling_entities import DataEntityManager, EntityStore
from kindling_entities import hookimpl as entities_hookimpl
from kindling_sqlite.provider import SqliteProvider, database_path, table_name, table_state

PROVIDER = "sqlite"
OLDEST_SQLITE = (3, 33, 0)  # the first with UPDATE ... FROM


class SqliteSettings(BaseModel):
    """The section [sqlite]."""

    model_config = ConfigDict(extra="forbid")

    journal: Literal["wal", "delete"] = "wal"


class ProviderFactory:
    """Makes the provider of one App with the settings of its job."""

    options = SqliteProvider.options
    write_modes = SqliteProvider.write_modes

    def __init__(self) -> None:
        self.settings = SqliteSettings()

    def __call__(self, engine: Any) -> SqliteProvider:
        """Make the provider for this engine."""
        return SqliteProvider(engine, journal=self.settings.journal)


class SqlitePlugin:
    """Entities in SQLite files."""

    requires = ("entities",)

    def __init__(self) -> None:
        self._factory = ProviderFactory()

    @hookimpl
    def kindling_config(self) -> dict[str, type[BaseModel]]:
        """Own the section [sqlite]."""
        return {"sqlite": SqliteSettings}

    @hookimpl
    def kindling_start(self, app: App) -> None:
        """Take the job's settings."""
        self._factory.settings = app.config.section("sqlite")

    @entities_hookimpl
    def kindling_entity_providers(self) -> dict[str, Any]:
        """Offer the provider `sqlite`."""
        return {PROVIDER: self._factory}

    @hookimpl
    def kindling_checks(self) -> list[Check]:
        """Tell the version of SQLite."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            oldest = ".".join(map(str, OLDEST_SQLITE))
            advice = f"use a Python that is built with SQLite {oldest} or newer"
            return [Check("error", "sqlite", f"{sqlite3.sqlite_version} cannot merge", advice)]
        return [Check("ok", "sqlite", sqlite3.sqlite_version)]

    @hookimpl
    def kindling_commands(self) -> list[click.Command]:
        """Add `kindling sqlite-tables`."""
        return [sqlite_tables]


@click.command("sqlite-tables")
@job_options
@json_option
@click.pass_obj
def sqlite_tables(context: Any) -> None:
    """List the job's sqlite entities with rows and version."""
    with context.app() as app:
        tables = describe_tables(app)

    def render(console: Any) -> None:
        for table in tables:
            if table["error"]:
                state = table["error"]
            elif table["exists"]:
                state = f"{table['rows']} rows  version {table['version']}"
            else:
                state = "not written yet"
            console.print(
                f"{table['entity']}  {table['file']}  {table['table']}  {state}", soft_wrap=True, markup=False
            )

    context.emit(tables, render)


def describe_tables(app: App) -> list[dict[str, Any]]:
    """One row for each entity of the App that lies in SQLite."""
    manager, store = app.service(DataEntityManager), app.service(EntityStore)
    rows: list[dict[str, Any]] = []
    for entity_id in manager.get_entity_ids():
        entity = manager.get_entity_definition(entity_id)
        if entity.provider != PROVIDER:
            continue
        location = store.location(entity_id)
        row = {"entity": entity_id, "table": table_name(entity), "file": str(location), "error": None}
        try:
            row["file"] = str(database_path(location))
            state = table_state(entity, location)
        except KindlingError as error:
            state, row["error"] = None, str(error)
        row |= {"exists": state is not None}
        row |= {"rows": state.rows if state else None, "version": state.version if state else None}
        rows.append(row)
    return rows
